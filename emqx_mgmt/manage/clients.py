"""Clients of one node: their connections, sessions and subscriptions, and actions on their behalf."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import gevent
from msgspec import Struct

from emqx_mgmt.broker import reasons, refused
from emqx_mgmt.broker.auth.client import Unavailable
from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.manage import rows
from emqx_mgmt.manage.errors import (
    BAD_TOPIC,
    NOT_ON_DISK,
    NOT_ONLINE,
    UNKNOWN_ERROR,
    MessageRefused,
    MqttRefused,
    RequestRefused,
)
from emqx_mgmt.manage.explain import Explanation, explain
from emqx_mgmt.manage.listing import GLANCES, Page, Paging, Test, filtered, in_turns, page_of
from router_ext.engine.inspect import connected
from router_ext.engine.session_end import empty_queue
from router_ext.protocol.topic import split_share, valid_filter, valid_name

if TYPE_CHECKING:

    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.auth.client import Client
    from emqx_mgmt.plugins import Plugins
    from router_ext.engine.channel import Channel
    from router_ext.session.session import Session

# Seconds for the store to send what a client that has just left was still waiting for.
PAGE_WITHIN = 5.0


class Authority(Struct):
    """Whether a client is a super user at present."""

    client_id: str
    is_superuser: bool


class Clients:
    """`name` is the name of the node."""

    def __init__(self, name: str, broker: Broker, plugins: Plugins) -> None:
        self._name = name
        self._broker = broker
        self._plugins = plugins
        self._connection = partial(rows.connection, name)
        self._session_row = partial(rows.session, name)

    # -- connections and sessions -----------------------------------------------------------------

    def connections(self, paging: Paging, extended: bool = False) -> Page:
        """One page of connections, in the order in which their sessions began."""
        listed = self._sessions(paging)
        online: list[Session] = []
        for start in in_turns(range(0, len(listed), GLANCES), 1):
            online += connected(listed[start : start + GLANCES])
        return page_of(online, paging, self._extended_connection if extended else self._connection)

    def connection(self, client_id: str, extended: bool = False) -> list[rows.Connection]:
        """The row of a connected client, in a list; an empty list when it is not connected."""
        row = self._extended_connection if extended else self._connection
        rows_found = [row(session) for session in self._session(client_id)]
        return [row for row in rows_found if row is not None]

    def waiting(self) -> dict[str, int]:
        """The number of messages queued for sessions, and of messages in flight."""
        queued = inflight = 0
        for session in in_turns(self._sessions(), GLANCES):
            queued += session.mqueue_len
            inflight += session.inflight_len
        return {"queued/count": queued, "inflight/count": inflight}

    def sessions(self, paging: Paging, extended: bool = False) -> Page:
        """One page of the sessions that the filters of `paging` let through, connected or not."""
        return page_of(self._sessions(paging), paging, self._extended_session if extended else self._session_row)

    def session(self, client_id: str, extended: bool = False) -> list[rows.SessionRow]:
        """The row of a session, in a list; an empty list when there is none."""
        row = self._extended_session if extended else self._session_row
        return [row(session) for session in self._session(client_id)]

    def connections_of(self, username: str) -> list[rows.Connection]:
        """The rows of all connections with that user name."""
        found = [self._connection(session) for session in self._sessions_of(username)]
        return [row for row in found if row is not None]

    def kick_all_of(self, username: str) -> int:
        """Closes all connections with that user name; returns how many."""
        return sum(self.kick(session.client_id) for session in self._sessions_of(username))

    def delete_session(self, client_id: str) -> str:
        """Deletes a persistent session: `deleted`, `not_found` or, when its client is connected, `running_session`.
        Raises RequestRefused when the disk does not take it in time."""
        broker = self._broker
        session = broker.sessions.get(client_id)
        if session is None:
            return "not_found"
        if session.channel is not None:
            return "running_session"
        broker.session_manager.end(session, "deleted")
        if not broker.durable.wait():
            raise RequestRefused(NOT_ON_DISK)
        return "deleted"

    def empty_queue(self, client_id: str) -> int | str:
        """Deletes the messages that wait for a client; how many, or `not_found`, or `running_session` when it is
        connected. Raises RequestRefused when the disk does not answer in time."""
        deadline = time.monotonic() + PAGE_WITHIN
        while True:
            session = self._broker.sessions.get(client_id)
            if session is None:
                return "not_found"
            if session.channel is not None:
                return "running_session"
            deleted = empty_queue(self._broker.engine, session)
            if deleted >= 0:
                break
            if time.monotonic() > deadline:
                raise RequestRefused(NOT_ON_DISK)
            gevent.sleep(0.05)
        self._broker.engine.metrics.count("dropped/session_ended", deleted)
        if not self._broker.durable.wait():
            raise RequestRefused(NOT_ON_DISK)
        return deleted

    def delete_sessions(self, where: tuple[Test, ...]) -> list[str]:
        """Deletes the sessions of clients that are not connected and whose extended rows pass the filters. Returns the
        client ids. Raises RequestRefused when the disk does not take it in time."""
        chosen = [session for session in in_turns(self._sessions()) if session.channel is None
                  and all(test(self._extended_session(session)) for test in where)]
        ended: list[str] = []
        for session in in_turns(chosen):
            client_id: str = session.client_id
            if session.channel is None and self._session(client_id) == [session]:
                self._broker.session_manager.end(session, "deleted")
                ended.append(client_id)
        if ended and not self._broker.durable.wait():
            raise RequestRefused(NOT_ON_DISK)
        return ended

    def kick(self, client_id: str) -> bool:
        """Closes the client's connection; its will is sent. False when it is not connected."""
        return self._broker.kick(client_id)

    def clean_acl_cache(self, client_id: str, topic: str) -> bool:
        """Forgets the client's cached verdicts. False when it is not connected."""
        channel = self._channel(client_id)
        if channel is None:
            return False
        self._plugins.forget(channel.context)
        channel.clean_acl_cache(topic.encode())
        return True

    def clean_all_acl_caches(self) -> None:
        """Clears the caches of access rules and verdicts of all clients, in the broker and in its plugins."""
        self._plugins.forget()
        for session in in_turns(self._sessions(), GLANCES):
            if session.channel is not None:
                session.channel.clean_acl_cache()

    def reauthorize(self, client_id: str) -> Authority | None:
        """Asks the plugins again whether a client is a super user, and clears its caches. None when the client is not
        connected here. Raises RequestRefused where no plugin can decide at present."""
        channel = self._channel(client_id)
        if channel is None:
            return None
        client: Client = channel.context
        try:
            answer = self._plugins.reauthorize(client)
        except HandlerFailed as failed:
            raise RequestRefused(str(failed)) from None
        if isinstance(answer, Unavailable):
            raise RequestRefused(f"nobody can say at present: {answer.why}")
        if channel.context is not client or not channel.is_open:
            return None
        if answer is not None:
            client.is_super = answer
        channel.grant(client.is_super)  # clears the verdicts as well
        return Authority(client_id, client.is_super)

    def _channel(self, client_id: str) -> Channel | None:
        session = self._broker.sessions.get(client_id)
        return None if session is None else session.channel

    # -- subscriptions and routes -----------------------------------------------------------------

    def subscriptions(self, paging: Paging, extended: bool = False) -> Page:
        """One page of subscriptions, client by client."""
        if paging.selects:
            return filtered(self._all_subscriptions(self._sessions(paging), extended), paging)
        listed = self._sessions()
        begin, skip = _beginning(listed, paging.first)
        found = islice(self._all_subscriptions(listed[begin:], extended), skip, skip + paging.limit)
        return Page(list(found), paging, self._broker.router.counts.subscriptions)

    def _all_subscriptions(self, sessions: Iterable[Session], extended: bool) -> Iterator[rows.Subscription]:
        """A turn ends after so many rows, of however many sessions, and after so many sessions, which may have none."""
        return in_turns(row for session in in_turns(sessions) for row in self._subscription_rows(session, extended))

    def subscriptions_of(self, client_id: str, extended: bool = False) -> list[rows.Subscription]:
        """One row for each subscription of the client; none when it has no session."""
        return [row for session in self._session(client_id) for row in self._subscription_rows(session, extended)]

    def routes(self, paging: Paging) -> Page:
        """One page of routes, in the order of the table, which stays the same while the routes do."""
        router = self._broker.router
        if paging.selects:
            return filtered((self._route(topic) for topic in in_turns(router.routes())), paging)
        wanted = islice(in_turns(router.routes()), paging.first, paging.first + paging.limit)
        return Page([self._route(topic) for topic in wanted], paging, router.counts.topics)

    def routes_to(self, topic: str) -> list[rows.Route]:
        """One row for each route with exactly this filter; wildcards match nothing."""
        return [self._route(topic)] * self._broker.router.has_route(topic.encode())

    def explain(self, topic: str, client_id: str | None, qos: int, limit: int) -> Explanation:
        """Whether `client_id` may publish to `topic`, and which subscribers the message reaches, at most `limit` of
        them."""
        return explain(self._broker, topic, client_id, qos, limit)

    # -- messages ---------------------------------------------------------------------------------

    def publish(self, topics: list[str], payload: bytes, qos: int, retain: bool, client_id: str,
                properties: dict[str, Any]) -> None:
        """Publishes to each topic. Raises MqttRefused when no topic is valid, MessageRefused when a handler refuses a
        message."""
        names = [topic for topic in topics if valid_name(topic)]
        if not names:
            raise MqttRefused("bad_topic", BAD_TOPIC)
        for name in names:
            try:
                self._broker.publish(name, payload, qos, retain, client_id, properties)
            except refused.PacketRefused as error:
                code = BAD_TOPIC if error.code == reasons.TOPIC_NAME_INVALID else UNKNOWN_ERROR
                raise MessageRefused(f"{name}: {error.why or reasons.TEXTS[error.code]}", code) from None

    @contextlib.contextmanager
    def stored(self) -> Iterator[None]:
        """The end of the block waits until all that the block published or changed is on disk, as far as it is stored.
        Raises MqttRefused when that takes too long; messages may be delivered nevertheless."""
        durable = self._broker.durable
        before = durable.awaited
        yield
        if durable.awaited != before and not durable.wait():
            raise MqttRefused(NOT_ON_DISK)

    def subscribe(self, client_id: str, topics: list[str], qos: int) -> None:
        """Raises MqttRefused when the client has no session on this node or no topic is a valid filter."""
        filters = [topic for topic in topics if _valid_subscription(topic)]
        if not filters:
            raise MqttRefused("bad_topic", BAD_TOPIC)
        for topic_filter in filters:
            if not self._broker.subscribe(client_id, topic_filter, qos):
                raise MqttRefused("session_not_found", NOT_ONLINE)

    def unsubscribe(self, client_id: str, topic: str) -> None:
        """Raises MqttRefused when the topic is no valid filter or the client has no session."""
        if not _valid_subscription(topic):
            raise MqttRefused("bad_topic", BAD_TOPIC)
        if not self._broker.unsubscribe(client_id, topic):
            raise MqttRefused("session_not_found", NOT_ONLINE)

    # -- rows -------------------------------------------------------------------------------------

    def _sessions(self, paging: Paging | None = None) -> list[Session]:
        """The sessions among which the rows of a page are, in the order in which they began."""
        if paging is not None and paging.client_id is not None:
            return self._session(paging.client_id)
        return list(self._broker.sessions.values())

    def _session(self, client_id: str) -> list[Session]:
        session = self._broker.sessions.get(client_id)
        return [] if session is None else [session]

    def _sessions_of(self, username: str) -> list[Session]:
        return [session for session in in_turns(self._sessions(), GLANCES) if session.username == username]

    def _extended_connection(self, session: Session) -> rows.ExtendedConnection | None:
        return rows.extended_connection(self._name, session)

    def _extended_session(self, session: Session) -> rows.ExtendedSession:
        return rows.extended_session(self._name, session)

    def _subscription_rows(self, session: Session, extended: bool) -> list[rows.Subscription]:
        if extended:
            return [
                rows.ExtendedSubscription(
                    session.client_id, self._name, options & 3, topic_filter,
                    rows.UNDEFINED if group is None else group,
                    bool(options & 4), bool(options & 8), options >> 4 & 3, identifier)
                for topic_filter, group, options, identifier in self._broker.router.subscriptions(session)
            ]
        return [
            rows.Subscription(session.client_id, self._name, options & 3, topic_filter)
            for topic_filter, _group, options, _id in self._broker.router.subscriptions(session)
        ]

    def _route(self, topic: str) -> rows.Route:
        return rows.Route(self._name, topic)


def _beginning(listed: list[Session], first: int) -> tuple[int, int]:
    """The session that the subscription in that place belongs to, and how many of its own come before it."""
    for position, session in enumerate(in_turns(listed, GLANCES)):
        if first < session.subscription_count:
            return position, first
        first -= session.subscription_count
    return len(listed), 0


def _valid_subscription(topic: str) -> bool:
    try:
        _group, topic_filter = split_share(topic)
    except ValueError:
        return False
    return valid_filter(topic_filter)
