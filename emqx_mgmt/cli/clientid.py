"""`emqx-mgmt clientid`."""

from emqx_mgmt.cli.users import password_table

clientid = password_table("clientid", "emqx_auth_clientid", "clientid", "Client id")
