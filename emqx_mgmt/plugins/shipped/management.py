"""The management API as a row in the list of plugins (behaviour, 22.14). The API itself is `emqx_mgmt.api`."""

from __future__ import annotations

from emqx_mgmt.plugins import Plugin


class Management(Plugin):
    name = "emqx_management"
    description = "EMQ X Management API and CLI"
    decides = ()
    stays = "emqx_management answers this request and cannot be unloaded"
