"""Plugins and their configuration: listed in the index; they come with the plugin system."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("list_all_plugins", "GET", "/plugins/", "List all plugins in the cluster", None),
    Endpoint("list_node_plugins", "GET", "/nodes/:node/plugins/", "List all plugins on a node", None),
    Endpoint("load_plugin", "PUT", "/nodes/:node/plugins/:plugin/load", "Load a plugin", None),
    Endpoint("unload_plugin", "PUT", "/nodes/:node/plugins/:plugin/unload", "Unload a plugin", None),
    Endpoint(
        "get_plugin_configs",
        "GET",
        "/nodes/:node/plugin_configs/:plugin",
        "Get configurations of a plugin on the node",
        None,
    ),
    Endpoint(
        "update_plugin_configs",
        "PUT",
        "/nodes/:node/plugin_configs/:plugin",
        "Update configurations of a plugin on the node",
        None,
    ),
)
