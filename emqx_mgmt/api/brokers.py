"""Brokers: version, uptime and clock of each node."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import Broker, ListedBroker


def list_brokers(cluster: Cluster) -> list[ListedBroker]:
    return [node.listed_broker() for node in cluster.running()]


def get_broker(cluster: Cluster, node: str) -> Broker:
    return cluster.named(node).broker()


ENDPOINTS = (
    Endpoint("list_brokers", "GET", "/brokers/", "A list of brokers in the cluster", list_brokers),
    Endpoint("get_broker", "GET", "/brokers/:node", "Get broker info of a node", get_broker),
)
