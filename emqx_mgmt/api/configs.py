"""Hot configuration: keys that take effect when they are changed."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.local_node import LocalNode
from emqx_mgmt.manage.rows import ConfigItem
from emqx_mgmt.plugins.config import MASK


class NodeConfig(Struct):
    config: list[ConfigItem]
    node: str


class Change(Struct):
    key: str
    value: str


class Reset(Struct):
    key: str


def get_cluster_configs(cluster: Cluster) -> list[NodeConfig]:
    return [NodeConfig(items_of(node), node.name) for node in cluster.running()]


def get_node_configs(cluster: Cluster, node: str) -> list[ConfigItem]:
    return items_of(cluster.named(node))


def items_of(node: LocalNode) -> list[ConfigItem]:
    return node.configuration.extended_configs() if extended() else node.configuration.configs()


def update_config(cluster: Cluster, app: str, params: Change) -> Done:
    for node in cluster.running():
        _configure(node, app, params)
    return Done()


def update_node_config(cluster: Cluster, node: str, app: str, params: Change) -> Done:
    _configure(cluster.named(node), app, params)
    return Done()


def reset_config(cluster: Cluster, app: str, params: Reset) -> Done:
    """Deletes a stored change."""
    for node in cluster.running():
        node.configuration.reset(app, params.key)
    return Done()


def conceal(cluster: Cluster, given: dict[str, Any], app: str, **_path: str) -> dict[str, Any]:
    """Masks the values of secret keys for the audit record."""
    hidden = cluster.local.configuration.is_secret(app, str(given.get("key")))
    return {"key": given.get("key"), "value": MASK if hidden else given.get("value")}


def _configure(node: LocalNode, app: str, change: Change) -> None:
    try:
        node.configuration.configure(app, change.key, change.value)
    except ValueError as error:
        raise BadParameter("value", str(error)) from None


ENDPOINTS = (
    Endpoint("get_all_configs", "GET", "/configs/", "Get all configs", get_cluster_configs),
    Endpoint("get_all_configs", "GET", "/nodes/:node/configs/", "Get all configs of a node", get_node_configs),
    Endpoint(
        "update_config",
        "PUT",
        "/configs/:app",
        "Update config of an application in the cluster",
        update_config,
        takes=Change,
        conceals=conceal,
    ),
    Endpoint(
        "update_node_config",
        "PUT",
        "/nodes/:node/configs/:app",
        "Update config of an application on a node",
        update_node_config,
        takes=Change,
        conceals=conceal,
    ),
    Endpoint(
        "reset_config",
        "DELETE",
        "/configs/:app",
        "Take back a change to the config of an application",
        reset_config,
        takes=Reset,
        listed=False,
    ),
)
