"""Users of the dashboard."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("auth_user", "POST", "/auth", "Authenticate an user", None),
    Endpoint("change_pwd", "PUT", "/change_pwd/:username", "Change password for an user", None),
    Endpoint("create_user", "POST", "/users/", "Create an user", None),
    Endpoint("delete_user", "DELETE", "/users/:name", "Delete an user", None),
    Endpoint("list_users", "GET", "/users/", "List users", None),
    Endpoint("update_user", "PUT", "/users/:name", "Update an user", None),
)
