"""Authentication by client id and password (behaviour, 22.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.plugins.password_auth import PasswordAuth, settings_of, table_of

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client


class AuthClientid(PasswordAuth):
    name = "emqx_auth_clientid"
    description = "EMQ X Authentication with ClientId/Password"
    member = "clientid"
    prefix = "auth.client"
    path = "/auth_clientid"
    overwrites = True
    settings = settings_of(prefix, member)
    tables = (table_of(name),)

    def name_of(self, client: Client) -> str | None:
        return client.client_id
