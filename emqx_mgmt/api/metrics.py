"""Metrics: counters since the node's start."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Counters
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster


def list_all_metrics(cluster: Cluster) -> list[Counters]:
    return [
        Counters(node.metrics(extended()), node.v32_metrics(), node.name, "metrics") for node in cluster.running()
    ]


def list_node_metrics(cluster: Cluster, node: str) -> Counters:
    found = cluster.named(node)
    return Counters(found.metrics(extended()), found.v32_metrics())


ENDPOINTS = (
    Endpoint(
        "list_node_metrics",
        "GET",
        "/nodes/:node/metrics/",
        "A list of metrics of a node",
        list_node_metrics,
    ),
    Endpoint(
        "list_all_metrics",
        "GET",
        "/metrics/",
        "A list of metrics of all nodes in the cluster",
        list_all_metrics,
    ),
)
