"""Applications: who may use the management listener."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("add_app", "POST", "/apps/", "Add Application", None),
    Endpoint("del_app", "DELETE", "/apps/:appid", "Delete Application", None),
    Endpoint("list_apps", "GET", "/apps/", "List Applications", None),
    Endpoint("lookup_app", "GET", "/apps/:appid", "Lookup Application", None),
    Endpoint("update_app", "PUT", "/apps/:appid", "Update Application", None),
)
