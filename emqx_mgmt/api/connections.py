"""Connections: clients that are online."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import paging
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import NOT_ONLINE, Refused
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.rows import Connection


def list_connections(cluster: Cluster, params: Paging) -> Page:
    return cluster.here.connections(params)


def list_node_connections(cluster: Cluster, node: str, params: Paging) -> Page:
    return cluster.named(node).connections(params)


def lookup_connections(cluster: Cluster, clientid: str) -> list[Connection]:
    return [row for node in cluster.running() for row in node.connection(clientid)]


def lookup_node_connections(cluster: Cluster, node: str, clientid: str) -> list[Connection]:
    return cluster.named(node).connection(clientid)


def kickout_connection(cluster: Cluster, clientid: str) -> Done:
    if not [node for node in cluster.running() if node.kick(clientid)]:
        raise Refused("not_found", NOT_ONLINE)
    return Done()


def clean_acl_cache(cluster: Cluster, clientid: str, topic: str) -> Done:
    if not [node for node in cluster.running() if node.clean_acl_cache(clientid, topic)]:
        raise Refused("not_found", NOT_ONLINE)
    return Done()


ENDPOINTS = (
    Endpoint(
        "list_connections",
        "GET",
        "/connections/",
        "A list of connections in the cluster",
        list_connections,
        takes=paging,
    ),
    Endpoint(
        "list_node_connections",
        "GET",
        "nodes/:node/connections/",
        "A list of connections on a node",
        list_node_connections,
        takes=paging,
    ),
    Endpoint(
        "lookup_connections",
        "GET",
        "/connections/:clientid",
        "Lookup a connection in the cluster",
        lookup_connections,
    ),
    Endpoint(
        "lookup_node_connections",
        "GET",
        "nodes/:node/connections/:clientid",
        "Lookup a connection on node",
        lookup_node_connections,
    ),
    Endpoint(
        "kickout_connection",
        "DELETE",
        "/connections/:clientid",
        "Kick out a connection",
        kickout_connection,
    ),
    Endpoint(
        "clean_acl_cache",
        "DELETE",
        "/connections/:clientid/acl/:topic",
        "Clean ACL cache of a connection",
        clean_acl_cache,
    ),
)
