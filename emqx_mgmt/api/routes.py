"""Routes: each filter that has subscribers, and the node they are on."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.rows import Route


def list_routes(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.clients.routes(params)


def lookup_routes(cluster: Cluster, topic: str) -> list[Route]:
    return [row for node in cluster.running() for row in node.clients.routes_to(topic)]


ENDPOINTS = (
    Endpoint("list_routes", "GET", "/routes/", "List routes", list_routes, takes=Paged(Route)),
    Endpoint("lookup_routes", "GET", "/routes/:topic", "Lookup routes to a topic", lookup_routes),
)
