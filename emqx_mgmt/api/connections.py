"""Connections: clients that are online."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.clients import Authority
from emqx_mgmt.manage.errors import NOT_ONLINE, RequestRefused
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.rows import Connection, ExtendedConnection


def list_connections(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.clients.connections(params, extended())


def list_node_connections(cluster: Cluster, node: str, params: Paging) -> Page:
    return cluster.named(node).clients.connections(params, extended())


def lookup_connections(cluster: Cluster, clientid: str) -> list[Connection]:
    return [row for node in cluster.running() for row in node.clients.connection(clientid, extended())]


def lookup_node_connections(cluster: Cluster, node: str, clientid: str) -> list[Connection]:
    return cluster.named(node).clients.connection(clientid, extended())


def kickout_connection(cluster: Cluster, clientid: str) -> Done:
    if not [node for node in cluster.running() if node.clients.kick(clientid)]:
        raise RequestRefused("not_found", NOT_ONLINE)
    return Done()


def lookup_conns_via_username(cluster: Cluster, username: str) -> list[Connection]:
    return [row for node in cluster.running() for row in node.clients.connections_of(username)]


def lookup_node_conns_via_username(cluster: Cluster, node: str, username: str) -> list[Connection]:
    return cluster.named(node).clients.connections_of(username)


class Kicked(Struct):
    kicked: int


def kickout_username(cluster: Cluster, username: str) -> Kicked:
    kicked = sum(node.clients.kick_all_of(username) for node in cluster.running())
    if not kicked:
        raise RequestRefused("not_found", NOT_ONLINE)
    return Kicked(kicked)


class ManyIds(Struct):
    client_ids: list[str]


class KickResult(Struct):
    client_id: str
    code: int


def kickout_batch(cluster: Cluster, params: ManyIds) -> list[KickResult]:
    """Disconnects many clients; each has its own result."""
    kicked = {one: sum(node.clients.kick(one) for node in cluster.running()) for one in params.client_ids}
    return [KickResult(one, 0 if nodes else NOT_ONLINE) for one, nodes in kicked.items()]


def clean_acl_cache(cluster: Cluster, clientid: str, topic: str) -> Done:
    if not [node for node in cluster.running() if node.clients.clean_acl_cache(clientid, topic)]:
        raise RequestRefused("not_found", NOT_ONLINE)
    return Done()


def clean_acl_caches(cluster: Cluster) -> Done:
    for node in cluster.running():
        node.clients.clean_all_acl_caches()
    return Done()


def reauthorize(cluster: Cluster, clientid: str) -> Authority:
    for node in cluster.running():
        authority = node.clients.reauthorize(clientid)
        if authority is not None:
            return authority
    raise RequestRefused("not_found", NOT_ONLINE)


ENDPOINTS = (
    Endpoint(
        "list_connections",
        "GET",
        "/connections/",
        "A list of connections in the cluster",
        list_connections,
        takes=Paged(Connection, ExtendedConnection),
    ),
    Endpoint(
        "list_node_connections",
        "GET",
        "nodes/:node/connections/",
        "A list of connections on a node",
        list_node_connections,
        takes=Paged(Connection, ExtendedConnection),
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
    Endpoint(
        "clean_acl_caches",
        "DELETE",
        "/acl_cache",
        "Forget what is remembered of access rules, of all clients",
        clean_acl_caches,
        listed=False,
    ),
    Endpoint(
        "reauthorize",
        "PUT",
        "/connections/:clientid/reauthorize",
        "Ask again whether a client is a super user, and what it may do",
        reauthorize,
        listed=False,
    ),
    Endpoint(
        "lookup_conns_via_username",
        "GET",
        "/connection/username/:username",
        "Lookup connections via username in the cluster",
        lookup_conns_via_username,
        listed=False,
    ),
    Endpoint(
        "lookup_node_conns_via_username",
        "GET",
        "/nodes/:node/connection/username/:username",
        "Lookup connections via username on a node",
        lookup_node_conns_via_username,
        listed=False,
    ),
    Endpoint(
        "kickout_username",
        "DELETE",
        "/connection/username/:username",
        "Kick out all connections of a user",
        kickout_username,
        listed=False,
    ),
    Endpoint(
        "kickout_batch",
        "POST",
        "/connections/kickout_batch",
        "Kick out many clients",
        kickout_batch,
        takes=ManyIds,
        listed=False,
    ),
)
