"""Sessions, of connected clients and of others."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Chosen, Paged, filters_shown
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import NOT_ONLINE, RequestRefused
from emqx_mgmt.manage.listing import Page, Paging, Test
from emqx_mgmt.manage.queued import QueuedMessage
from emqx_mgmt.manage.rows import ExtendedSession, SessionRow


def list_sessions(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.clients.sessions(params, extended())


def list_node_sessions(cluster: Cluster, node: str, params: Paging) -> Page:
    return cluster.named(node).clients.sessions(params, extended())


def lookup_session(cluster: Cluster, clientid: str) -> list[SessionRow]:
    return [row for node in cluster.running() for row in node.clients.session(clientid, extended())]


def lookup_node_session(cluster: Cluster, node: str, clientid: str) -> list[SessionRow]:
    return cluster.named(node).clients.session(clientid, extended())


def list_queued(cluster: Cluster, clientid: str, params: Paging) -> Page:
    return cluster.local.queued.page(clientid, params)


def list_node_queued(cluster: Cluster, node: str, clientid: str, params: Paging) -> Page:
    return cluster.named(node).queued.page(clientid, params)


def clean_session(cluster: Cluster, clientid: str) -> Done:
    outcomes = {node.clients.delete_session(clientid) for node in cluster.running()}
    return deleted(outcomes)


def clean_node_session(cluster: Cluster, node: str, clientid: str) -> Done:
    return deleted({cluster.named(node).clients.delete_session(clientid)})


def empty_queue(cluster: Cluster, clientid: str) -> Deleted:
    return emptied([node.clients.empty_queue(clientid) for node in cluster.running()])


def empty_node_queue(cluster: Cluster, node: str, clientid: str) -> Deleted:
    return emptied([cluster.named(node).clients.empty_queue(clientid)])


def emptied(outcomes: list[int | str]) -> Deleted:
    """Each node says how many, `not_found` or `running_session`."""
    counts = [one for one in outcomes if isinstance(one, int)]
    if not counts:
        deleted({str(one) for one in outcomes})
    return Deleted(sum(counts))


class Deleted(Struct):
    deleted: int


class Ended(Struct):
    client_id: str
    code: int


def clean_sessions(cluster: Cluster, params: tuple[Test, ...]) -> list[Ended]:
    """Deletes sessions; those of connected clients stay."""
    return [Ended(client_id, 0) for node in cluster.running() for client_id in node.clients.delete_sessions(params)]


def deleted(outcomes: set[str]) -> Done:
    """The result of each node: `deleted`, `not_found` or `running_session`."""
    if "running_session" in outcomes:
        raise RequestRefused("running_session")
    if "deleted" not in outcomes:
        raise RequestRefused("not_found", NOT_ONLINE)
    return Done()


ENDPOINTS = (
    Endpoint(
        "clean_sessions",
        "DELETE",
        "/sessions/persistent",
        "Delete the sessions that filters choose, of clients that are not connected, with their queues",
        clean_sessions,
        takes=Chosen(ExtendedSession),
        conceals=filters_shown,
        listed=False,
    ),
    Endpoint(
        "clean_session",
        "DELETE",
        "/sessions/persistent/:clientid",
        "Delete the session of a client that is not connected, with its queue",
        clean_session,
        listed=False,
    ),
    Endpoint(
        "clean_node_session",
        "DELETE",
        "nodes/:node/sessions/persistent/:clientid",
        "Delete the session of a client that is not connected, with its queue, on a node",
        clean_node_session,
        listed=False,
    ),
    Endpoint(
        "list_sessions",
        "GET",
        "/sessions/",
        "A list of sessions in the cluster",
        list_sessions,
        takes=Paged(SessionRow, ExtendedSession),
    ),
    Endpoint(
        "list_node_sessions",
        "GET",
        "nodes/:node/sessions/",
        "A list of sessions on a node",
        list_node_sessions,
        takes=Paged(SessionRow, ExtendedSession),
    ),
    Endpoint(
        "lookup_session",
        "GET",
        "/sessions/:clientid",
        "Lookup a session in the cluster",
        lookup_session,
    ),
    Endpoint(
        "lookup_node_session",
        "GET",
        "nodes/:node/sessions/:clientid",
        "Lookup a session on the node",
        lookup_node_session,
    ),
    Endpoint(
        "list_queued_messages",
        "GET",
        "/sessions/:clientid/messages/",
        "The messages queued for a client, without their payloads",
        list_queued,
        takes=Paged(QueuedMessage),
        listed=False,
    ),
    Endpoint(
        "empty_queue",
        "DELETE",
        "/sessions/:clientid/messages/",
        "Delete the messages queued for a client that is not connected",
        empty_queue,
        listed=False,
    ),
    Endpoint(
        "empty_node_queue",
        "DELETE",
        "nodes/:node/sessions/:clientid/messages/",
        "Delete the messages queued for a client that is not connected, on a node",
        empty_node_queue,
        listed=False,
    ),
    Endpoint(
        "list_node_queued_messages",
        "GET",
        "nodes/:node/sessions/:clientid/messages/",
        "The messages queued for a client on a node, without their payloads",
        list_node_queued,
        takes=Paged(QueuedMessage),
        listed=False,
    ),
)
