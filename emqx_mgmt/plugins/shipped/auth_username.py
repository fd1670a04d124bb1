"""Authentication by user name and password (behaviour, 22.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.plugins.password_auth import PasswordAuth, settings_of, table_of

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client


class AuthUsername(PasswordAuth):
    name = "emqx_auth_username"
    description = "EMQ X Authentication with Username/Password"
    member = "username"
    prefix = "auth.user"
    path = "/auth_username"
    overwrites = False
    settings = settings_of(prefix, member)
    tables = (table_of(name),)

    def name_of(self, client: Client) -> str | None:
        return client.username
