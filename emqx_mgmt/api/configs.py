"""Hot configuration."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("get_all_configs", "GET", "/configs/", "Get all configs", None),
    Endpoint("get_all_configs", "GET", "/nodes/:node/configs/", "Get all configs of a node", None),
    Endpoint("update_config", "PUT", "/configs/:app", "Update config of an application in the cluster", None),
    Endpoint(
        "update_node_config",
        "PUT",
        "/nodes/:node/configs/:app",
        "Update config of an application on a node",
        None,
    ),
)
