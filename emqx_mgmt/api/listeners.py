"""Listeners: what is listened on and who is there."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import Listener


class NodeListeners(Struct):
    listeners: list[Listener]
    node: str


def list_listeners(cluster: Cluster) -> list[NodeListeners]:
    return [NodeListeners(node.listeners(), node.name) for node in cluster.running()]


def list_node_listeners(cluster: Cluster, node: str) -> list[Listener]:
    return cluster.named(node).listeners()


ENDPOINTS = (
    Endpoint("list_listeners", "GET", "/listeners/", "A list of listeners in the cluster", list_listeners),
    Endpoint(
        "list_node_listeners",
        "GET",
        "/nodes/:node/listeners",
        "A list of listeners on the node",
        list_node_listeners,
    ),
)
