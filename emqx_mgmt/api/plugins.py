"""Plugins and their configuration."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import PluginSetting
from emqx_mgmt.plugins import PluginRow
from emqx_mgmt.plugins.config import MASK


class NodePlugins(Struct):
    node: str
    plugins: list[PluginRow]


def list_all_plugins(cluster: Cluster) -> list[NodePlugins]:
    return [NodePlugins(node.name, node.configuration.plugins()) for node in cluster.running()]


def list_node_plugins(cluster: Cluster, node: str) -> list[PluginRow]:
    return cluster.named(node).configuration.plugins()


def load_plugin(cluster: Cluster, node: str, plugin: str) -> Done:
    cluster.named(node).configuration.load_plugin(plugin)
    return Done()


def unload_plugin(cluster: Cluster, node: str, plugin: str) -> Done:
    cluster.named(node).configuration.unload_plugin(plugin)
    return Done()


def reload_plugin(cluster: Cluster, node: str, plugin: str) -> Done:
    cluster.named(node).configuration.reload_plugin(plugin)
    return Done()


def unload_everywhere(cluster: Cluster, plugin: str) -> Done:
    for node in cluster.running():
        node.configuration.unload_plugin(plugin)
    return Done()


def reload_everywhere(cluster: Cluster, plugin: str) -> Done:
    for node in cluster.running():
        node.configuration.reload_plugin(plugin)
    return Done()


def get_plugin_configs(cluster: Cluster, node: str, plugin: str) -> list[PluginSetting]:
    configuration = cluster.named(node).configuration
    return configuration.extended_plugin_configs(plugin) if extended() else configuration.plugin_configs(plugin)


def update_plugin_configs(cluster: Cluster, node: str, plugin: str, params: dict[str, Any]) -> Done:
    cluster.named(node).configuration.configure_plugin(plugin, params)
    return Done()


def conceal(cluster: Cluster, given: dict[str, Any], node: str, plugin: str) -> dict[str, Any]:
    """Masks the values of secret settings for the audit record."""
    is_secret = cluster.local.configuration.is_secret
    return {key: MASK if is_secret(plugin, key) else value for key, value in given.items()}


ENDPOINTS = (
    Endpoint("list_all_plugins", "GET", "/plugins/", "List all plugins in the cluster", list_all_plugins),
    Endpoint("list_node_plugins", "GET", "/nodes/:node/plugins/", "List all plugins on a node", list_node_plugins),
    Endpoint("load_plugin", "PUT", "/nodes/:node/plugins/:plugin/load", "Load a plugin", load_plugin),
    Endpoint("unload_plugin", "PUT", "/nodes/:node/plugins/:plugin/unload", "Unload a plugin", unload_plugin),
    Endpoint("reload_plugin", "PUT", "/nodes/:node/plugins/:plugin/reload", "Reload a plugin", reload_plugin,
             listed=False),
    # v3.1 has these paths without a node.
    Endpoint("unload_plugin", "PUT", "/plugins/:plugin/unload", "Unload a plugin in the cluster", unload_everywhere,
             listed=False),
    Endpoint("reload_plugin", "PUT", "/plugins/:plugin/reload", "Reload a plugin in the cluster", reload_everywhere,
             listed=False),
    Endpoint(
        "get_plugin_configs",
        "GET",
        "/nodes/:node/plugin_configs/:plugin",
        "Get configurations of a plugin on the node",
        get_plugin_configs,
    ),
    Endpoint(
        "update_plugin_configs",
        "PUT",
        "/nodes/:node/plugin_configs/:plugin",
        "Update configurations of a plugin on the node",
        update_plugin_configs,
        takes=dict,
        conceals=conceal,
    ),
)
