"""Subscriptions, of connected clients and of others."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.rows import ExtendedSubscription, Subscription


def list_subscriptions(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.clients.subscriptions(params, extended())


def list_node_subscriptions(cluster: Cluster, node: str, params: Paging) -> Page:
    return cluster.named(node).clients.subscriptions(params, extended())


def lookup_client_subscriptions(cluster: Cluster, clientid: str) -> list[Subscription]:
    return [row for node in cluster.running() for row in node.clients.subscriptions_of(clientid, extended())]


def lookup_client_subscriptions_with_node(cluster: Cluster, node: str, clientid: str) -> list[Subscription]:
    return cluster.named(node).clients.subscriptions_of(clientid, extended())


ENDPOINTS = (
    Endpoint(
        "list_subscriptions",
        "GET",
        "/subscriptions/",
        "A list of subscriptions in the cluster",
        list_subscriptions,
        takes=Paged(Subscription, ExtendedSubscription),
    ),
    Endpoint(
        "lookup_client_subscriptions",
        "GET",
        "/subscriptions/:clientid",
        "A list of subscriptions of a client",
        lookup_client_subscriptions,
    ),
    Endpoint(
        "lookup_client_subscriptions_with_node",
        "GET",
        "/nodes/:node/subscriptions/:clientid",
        "A list of subscriptions of a client on the node",
        lookup_client_subscriptions_with_node,
    ),
    Endpoint(
        "list_node_subscriptions",
        "GET",
        "/nodes/:node/subscriptions/",
        "A list of subscriptions on a node",
        list_node_subscriptions,
        takes=Paged(Subscription, ExtendedSubscription),
    ),
)
