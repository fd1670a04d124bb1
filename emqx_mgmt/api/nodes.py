"""Nodes: the process and its machine."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import ListedNode, NodeInfo


def list_nodes(cluster: Cluster) -> list[ListedNode]:
    return [node.extended_info() if extended() else node.listed_info() for node in cluster.running()]


def get_node(cluster: Cluster, node: str) -> NodeInfo:
    return cluster.named(node).info()


ENDPOINTS = (
    Endpoint("list_nodes", "GET", "/nodes/", "A list of nodes in the cluster", list_nodes),
    Endpoint("get_node", "GET", "/nodes/:node", "Lookup a node in the cluster", get_node),
)
