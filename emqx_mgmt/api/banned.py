"""Bans by client id, user name and address."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("create_banned", "POST", "/banned/", "Create banned", None),
    Endpoint("delete_banned", "DELETE", "/banned/:who", "Delete banned", None),
    Endpoint("list_banned", "GET", "/banned/", "List banned", None),
)
