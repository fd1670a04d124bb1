"""Stats: gauges and the highest value each has had."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Counters
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster


def list_stats(cluster: Cluster) -> list[Counters]:
    """One flat object for each node, unlike the list of metrics."""
    return [Counters(node.stats(extended()), node.v32_stats(), node.name) for node in cluster.running()]


def lookup_node_stats(cluster: Cluster, node: str) -> Counters:
    found = cluster.named(node)
    return Counters(found.stats(extended()), found.v32_stats())


ENDPOINTS = (
    Endpoint("lookup_node_stats", "GET", "/nodes/:node/stats/", "A list of stats of a node", lookup_node_stats),
    Endpoint("list_stats", "GET", "/stats/", "A list of stats of all nodes in the cluster", list_stats),
)
