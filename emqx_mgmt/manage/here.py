"""What this node answers to the management API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from emqx_mgmt.broker.about import SYSDESCR, VERSION, datetime_text, uptime_text
from emqx_mgmt.manage import rows
from emqx_mgmt.manage.errors import BAD_TOPIC, NOT_ONLINE, ConfigRefused, MqttRefused, Refused, Unknown
from emqx_mgmt.manage.explain import Explanation, explain
from emqx_mgmt.manage.exposition import COUNTER, GAUGE, Family, counters, gauge, gauges
from emqx_mgmt.manage.formats import memory_text
from emqx_mgmt.manage.listing import Page, Paging, filtered, in_turns, page_of
from emqx_mgmt.manage.retained import Retained
from emqx_mgmt.manage.runtime import RELEASE, Runtime
from emqx_mgmt.plugins import PluginRefused, PluginRow, UnknownPlugin
from emqx_mgmt.settings.hot import CORE, HOT_KEYS, HotKey, find_hot
from router_ext.topic import split_share, valid_filter, valid_name

if TYPE_CHECKING:
    from emqx_mgmt.broker.alarms import Alarm
    from emqx_mgmt.broker.banned import Ban, Key
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.node import Node
    from emqx_mgmt.storage import Applications, ScramUsers, Users
    from router_ext.session import Session

# What Prometheus clients of all languages call the figures of their process.
PROCESS = "process_"
RUNNING = "Running"


class ThisNode:
    """Rows and actions of the node in this process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._runtime = Runtime()
        self.retained = Retained(node.broker.engine)

    @property
    def name(self) -> str:
        return self._node.name

    @property
    def is_running(self) -> bool:
        return self._node.started_at > 0

    @property
    def is_ready(self) -> bool:
        """It serves MQTT clients, and goes on to."""
        return self.is_running and not self._node.is_draining

    @property
    def applications(self) -> Applications:
        return self._node.store.applications

    @property
    def users(self) -> Users:
        return self._node.store.users

    @property
    def scram_users(self) -> ScramUsers:
        return self._node.store.scram_users

    # -- the node itself --------------------------------------------------------------------------

    def uptime(self) -> str:
        return uptime_text(int(time.time() - self._node.started_at))

    def broker(self) -> rows.Broker:
        return rows.Broker(
            datetime=datetime_text(time.time()),
            node_status=RUNNING,
            otp_release=RELEASE,
            sysdescr=SYSDESCR,
            uptime=self.uptime(),
            version=VERSION,
        )

    def listed_broker(self) -> rows.ListedBroker:
        return rows.ListedBroker(node=self.name, **_members(self.broker()))

    def info(self) -> rows.NodeInfo:
        figures = self._runtime.figures()
        load1, load5, load15 = figures.load
        return rows.NodeInfo(
            connections=self._node.broker.stats()["connections/count"],
            load1=load1,
            load15=load15,
            load5=load5,
            max_fds=figures.max_fds,
            memory_total=figures.memory_total,
            memory_used=figures.memory_used,
            name=self.name,
            node_status=RUNNING,
            otp_release=RELEASE,
            process_available=figures.max_threads,
            process_used=figures.threads,
            uptime=self.uptime(),
            version=VERSION,
        )

    def listed_info(self) -> rows.ListedNode:
        members = _members(self.info())
        members["memory_total"] = memory_text(members["memory_total"])
        members["memory_used"] = memory_text(members["memory_used"])
        return rows.ListedNode(node=self.name, **members)

    def metrics(self) -> dict[str, int]:
        return self._node.broker.metrics()

    def stats(self) -> dict[str, int]:
        return self._node.broker.stats()

    def families(self) -> Iterator[Family]:
        """Everything that `/metrics` shows."""
        engine, figures = self._node.broker.engine, self._runtime.figures()
        yield from counters(engine.metrics.snapshot(), engine.metrics.extended())
        yield from gauges(self.stats())
        mqtt = [(_listener_labels(one), one) for one in self._node.listeners if one.is_mqtt]
        yield Family("listener_connections", GAUGE, "Open connections by listener.",
                     [(labels, one.current_conns) for labels, one in mqtt])
        yield Family("listener_shutdowns_total", COUNTER, "Connections that did not end normally, by reason.",
                     [((*labels, ("reason", reason)), count) for labels, one in mqtt
                      for reason, count in sorted(one.shutdown_count.items())])
        yield gauge("alarms", "Alarms that stand.", len(self._node.alarms.present()))
        yield Family("build_info", GAUGE, "1, with the node's name and versions.",
                     [((("node", self.name), ("version", VERSION), ("release", RELEASE)), 1)])
        yield Family("cpu_seconds_total", COUNTER, "User and system CPU time.", [((), time.process_time())], PROCESS)
        yield Family("resident_memory_bytes", GAUGE, "Resident memory.", [((), figures.memory_used)], PROCESS)
        yield Family("start_time_seconds", GAUGE, "When the node started, unix time.",
                     [((), self._node.started_at)], PROCESS)
        yield Family("max_fds", GAUGE, "The most open file descriptors.", [((), figures.max_fds)], PROCESS)

    def listeners(self) -> list[rows.Listener]:
        """MQTT listeners by protocol and address, bare ports first; then those over HTTP by name."""
        return [
            rows.Listener(
                acceptors=listener.acceptors,
                current_conns=listener.current_conns,
                listen_on=listener.listen_on,
                max_conns=listener.max_conns,
                protocol=listener.protocol,
                shutdown_count=dict(listener.shutdown_count) or [],
            )
            for listener in sorted(self._node.listeners, key=_listener_rank)
        ]

    # -- hot configuration ------------------------------------------------------------------------

    def configs(self) -> list[rows.ConfigItem]:
        """Of the broker itself and of the plugins that run, by key."""
        settings = self._node.settings
        own = [
            rows.ConfigItem(hot.name, settings.text(hot.key), settings.datatype(hot.key), CORE) for hot in HOT_KEYS
        ]
        theirs = [
            rows.ConfigItem(key.name, config.shown(key.name), key.kind.label, plugin)
            for plugin, key, config in self._node.plugins.hot()
        ]
        return sorted([*own, *theirs], key=lambda item: item.key)

    def configure(self, app: str, name: str, value: str) -> None:
        """Stores a change and puts it in effect. ValueError when the value does not fit the key."""
        if app == CORE:
            self._node.change_setting(_hot(name).key, value)
            return
        with _plugin_errors():
            self._node.plugins.change(app, name, value)

    def reset(self, app: str, name: str) -> None:
        if app == CORE:
            self._node.reset_setting(_hot(name).key)
            return
        with _plugin_errors():
            self._node.plugins.take_back(app, name)

    # -- plugins ----------------------------------------------------------------------------------

    def plugins(self) -> list[PluginRow]:
        return self._node.plugins.rows()

    def load_plugin(self, name: str) -> None:
        with _plugin_errors():
            self._node.plugins.load(name)

    def unload_plugin(self, name: str) -> None:
        with _plugin_errors():
            self._node.plugins.unload(name)

    def reload_plugin(self, name: str) -> None:
        with _plugin_errors():
            self._node.plugins.reload(name)

    def plugin_configs(self, name: str) -> list[rows.PluginSetting]:
        """What is set, then the rest of what the plugin knows."""
        with _plugin_errors():
            config = self._node.plugins.config(name)
        given = [rows.PluginSetting(name, text, key.doc, True) for key, name, text in config.given()]
        return given + [rows.PluginSetting(key.name, "", key.doc, False) for key in config.others()]

    def configure_plugin(self, name: str, texts: dict[str, Any]) -> None:
        with _plugin_errors(ConfigRefused):
            self._node.plugins.configure(name, texts)

    # -- alarms -----------------------------------------------------------------------------------

    def alarms(self) -> list[rows.AlarmRow]:
        """Those that stand, newest first."""
        return [rows.AlarmRow(*_alarm_members(alarm)) for alarm in self._node.alarms.present()]

    def alarm_history(self) -> list[rows.ClearedAlarm]:
        """Those that were cleared, newest first."""
        return [
            rows.ClearedAlarm(*_alarm_members(alarm), datetime_text(cleared_at))
            for alarm, cleared_at in self._node.store.alarm_history.all()
        ]

    # -- clients ----------------------------------------------------------------------------------

    def connections(self, paging: Paging) -> Page:
        """In the order in which their sessions began."""
        online = [session for session in in_turns(self._sessions()) if session.channel is not None]
        return page_of(online, paging, self._connection)

    def connection(self, client_id: str) -> list[rows.Connection]:
        rows_found = [self._connection(session) for session in self._session(client_id)]
        return [row for row in rows_found if row is not None]

    def sessions(self, paging: Paging) -> Page:
        return page_of(self._sessions(), paging, self._session_row)

    def session(self, client_id: str) -> list[rows.SessionRow]:
        return [self._session_row(session) for session in self._session(client_id)]

    def connections_of(self, username: str) -> list[rows.Connection]:
        found = [self._connection(session) for session in self._sessions_of(username)]
        return [row for row in found if row is not None]

    def kick_all_of(self, username: str) -> int:
        """How many connections were closed."""
        return sum(self.kick(session.client_id) for session in self._sessions_of(username))

    def delete_session(self, client_id: str) -> str:
        """`deleted`, `not_found` or, when its client is connected, `running_session`."""
        broker = self._node.broker
        session = broker.sessions.get(client_id)
        if session is None:
            return "not_found"
        if session.channel is not None:
            return "running_session"
        broker.sessions_life.end(session, "deleted")
        broker.durable.wait()
        return "deleted"

    def kick(self, client_id: str) -> bool:
        return self._node.broker.kick(client_id)

    def clean_acl_cache(self, client_id: str, topic: str) -> bool:
        """False when the client is not connected here."""
        session = self._node.broker.sessions.get(client_id)
        if session is None or session.channel is None:
            return False
        session.channel.clean_acl_cache(topic.encode())
        return True

    def bans(self, paging: Paging, row: Callable[[Ban], Any]) -> Page:
        return page_of(list(self._node.store.bans.table), paging, row)

    def ban(self, ban: Ban) -> None:
        self._node.store.bans.put(ban)

    def unban(self, key: Key) -> None:
        self._node.store.bans.remove(key)

    # -- subscriptions and routes -----------------------------------------------------------------

    def subscriptions(self, paging: Paging) -> Page:
        """Client by client; whole clients before the page are skipped by their count."""
        if paging.where:
            sessions = in_turns(self._sessions())
            return filtered((row for session in sessions for row in self._subscription_rows(session)), paging)
        items: list[rows.Subscription] = []
        position = 0
        for session in in_turns(self._sessions()):
            start, position = position, position + session.subscription_count
            if position <= paging.first or len(items) >= paging.limit:
                continue
            items += self._subscription_rows(session)[max(paging.first - start, 0) :]
        return Page(items[: paging.limit], paging, position)

    def subscriptions_of(self, client_id: str) -> list[rows.Subscription]:
        return [row for session in self._session(client_id) for row in self._subscription_rows(session)]

    def routes(self, paging: Paging) -> Page:
        """In an order of the table's own, which stays the same while the routes do."""
        router = self._node.broker.router
        if paging.where:
            return filtered((self._route(topic) for topic in in_turns(router.routes())), paging)
        wanted = islice(in_turns(router.routes()), paging.first, paging.first + paging.limit)
        return Page([self._route(topic) for topic in wanted], paging, router.counts.topics)

    def routes_to(self, topic: str) -> list[rows.Route]:
        """One row for each route of exactly this filter; nothing is matched against wildcards."""
        return [self._route(topic)] * self._node.broker.router.has_route(topic.encode())

    def explain(self, topic: str, client_id: str | None, qos: int, limit: int) -> Explanation:
        return explain(self._node.broker, topic, client_id, qos, limit)

    # -- messages ---------------------------------------------------------------------------------

    def publish(self, topics: list[str], payload: bytes, qos: int, retain: bool, client_id: str,
                properties: dict[str, Any]) -> None:
        """Raises MqttRefused when no topic is a valid topic name."""
        names = [topic for topic in topics if valid_name(topic)]
        if not names:
            raise MqttRefused("bad_topic", BAD_TOPIC)
        for name in names:
            self._node.broker.publish(name, payload, qos, retain, client_id, properties)

    def subscribe(self, client_id: str, topics: list[str], qos: int) -> None:
        """Raises MqttRefused when the client has no session here or no topic is a valid filter."""
        filters = [topic for topic in topics if _valid_subscription(topic)]
        if not filters:
            raise MqttRefused("bad_topic", BAD_TOPIC)
        for topic_filter in filters:
            if not self._node.broker.subscribe(client_id, topic_filter, qos):
                raise MqttRefused("session_not_found", NOT_ONLINE)

    def unsubscribe(self, client_id: str, topic: str) -> None:
        if not _valid_subscription(topic):
            raise MqttRefused("bad_topic", BAD_TOPIC)
        if not self._node.broker.unsubscribe(client_id, topic):
            raise MqttRefused("session_not_found", NOT_ONLINE)

    # -- rows -------------------------------------------------------------------------------------

    def _sessions(self) -> list[Session]:
        return list(self._node.broker.sessions.values())

    def _session(self, client_id: str) -> list[Session]:
        session = self._node.broker.sessions.get(client_id)
        return [] if session is None else [session]

    def _sessions_of(self, username: str) -> list[Session]:
        return [session for session in in_turns(self._sessions()) if session.username == username]

    def _connection(self, session: Session) -> rows.Connection | None:
        return rows.connection(self.name, session)

    def _session_row(self, session: Session) -> rows.SessionRow:
        return rows.session(self.name, session)

    def _subscription_rows(self, session: Session) -> list[rows.Subscription]:
        return [
            rows.Subscription(session.client_id, self.name, options & 3, topic_filter)
            for topic_filter, _group, options, _id in self._node.broker.router.subscriptions(session)
        ]

    def _route(self, topic: str) -> rows.Route:
        return rows.Route(self.name, topic)


@contextmanager
def _plugin_errors(refusal: type[Refused] = Refused) -> Iterator[None]:
    try:
        yield
    except UnknownPlugin as error:
        raise Unknown(str(error)) from None
    except PluginRefused as error:
        raise refusal(str(error)) from None


def _members(row: rows.Broker | rows.NodeInfo) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _alarm_members(alarm: Alarm) -> tuple[str, str, str, str, str]:
    return alarm.id, alarm.severity, alarm.summary, datetime_text(alarm.ts), alarm.title


def _listener_labels(listener: Listener) -> tuple[tuple[str, str], ...]:
    return ("protocol", listener.protocol), ("listener", listener.name)


def _hot(name: str) -> HotKey:
    """Raises Refused for a key that the broker does not have."""
    hot = find_hot(name)
    if hot is None:
        raise Refused("not_found")
    return hot


def _listener_rank(listener: Listener) -> tuple[bool, str, bool, str]:
    over_http = listener.protocol not in ("mqtt:tcp", "mqtt:ssl")
    return over_http, listener.protocol, ":" in listener.listen_on, listener.listen_on


def _valid_subscription(topic: str) -> bool:
    try:
        _group, topic_filter = split_share(topic)
    except ValueError:
        return False
    return valid_filter(topic_filter)
