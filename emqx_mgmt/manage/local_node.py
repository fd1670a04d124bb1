"""The node of this process, as the management API sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from msgspec import UNSET

from emqx_mgmt.broker.telemetry.about import SYSDESCR, VERSION, datetime_text, uptime_text
from emqx_mgmt.broker.telemetry.traces import Subject
from emqx_mgmt.manage import rows
from emqx_mgmt.manage.backups import Backups
from emqx_mgmt.manage.clients import Clients
from emqx_mgmt.manage.configuration import Configuration
from emqx_mgmt.manage.delayed import DelayedMessages
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.manage.exposition import COUNTER, GAUGE, Family, counters, gauge, gauges, of_plugins, waiting
from emqx_mgmt.manage.formats import memory_text
from emqx_mgmt.manage.fresh_secrets import FreshSecrets
from emqx_mgmt.manage.listeners import Listeners
from emqx_mgmt.manage.queued import QueuedMessages
from emqx_mgmt.manage.retained import Retained
from emqx_mgmt.manage.runtime import RELEASE, Runtime, open_descriptors
from emqx_mgmt.manage.slow_subscribers import SlowSubscriberRows
from emqx_mgmt.manage.topic_metrics import MeteredRows
from emqx_mgmt.manage.topic_tree import TopicTree
from emqx_mgmt.storage.rate_history import MINUTE, SECOND

if TYPE_CHECKING:
    from emqx_mgmt.broker.telemetry.alarms import Alarm
    from emqx_mgmt.broker.telemetry.event_subscriber import EventSubscriber, Owner
    from emqx_mgmt.broker.telemetry.rates import Sample
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.listeners.tls import TlsOptions
    from emqx_mgmt.node import Node
    from emqx_mgmt.storage import Applications, Bans, BrowserLogins, ScramUsers, Users
    from emqx_mgmt.storage.audit import Audit

# The usual names of Prometheus clients for figures of a process.
PROCESS = "process_"
RUNNING = "Running"
DAY_S = 86_400


class LocalNode:
    """The node in this process: itself, its clients, and what may be changed on it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._runtime = Runtime()
        self.clients = Clients(node.name, node.broker, node.plugins)
        self.configuration = Configuration(node)
        self.queued = QueuedMessages(node.broker, Path(node.settings["node.data_dir"]))
        self.retained = Retained(node.broker)
        self.delayed = DelayedMessages(node.broker)
        self.topic_tree = TopicTree(node.broker)
        self.topic_metrics = MeteredRows(node.name, node.topic_metrics, node.store.metered_topics)
        self.listeners = Listeners(node)
        self.slow_subscribers = SlowSubscriberRows(node.name, node.slow_subscribers)
        self.fresh_secrets = FreshSecrets()
        self.backups = Backups(Path(node.settings["node.data_dir"]))

    @property
    def name(self) -> str:
        """As `node.name`: name@host."""
        return self._node.name

    @property
    def is_running(self) -> bool:
        """Whether the node has started: it may be up for HTTP only."""
        return self._node.started_at > 0

    @property
    def hindrance(self) -> str:
        """The reason why the node has not started yet, where that takes long; else empty."""
        return self._node.hindrance

    @property
    def is_ready(self) -> bool:
        """Whether the node serves MQTT clients and does not drain."""
        return self.is_running and not self._node.is_draining and not self.complaints()

    def complaints(self) -> list[str]:
        """The reasons why the node serves no clients or refuses some, a sentence for each."""
        return [*filter(None, [self.hindrance]), *self._node.plugins.complaints()]

    @property
    def applications(self) -> Applications:
        """The records of applications."""
        return self._node.store.applications

    @property
    def audit(self) -> Audit:
        """The record of requests that changed something."""
        return self._node.store.audit

    @property
    def users(self) -> Users:
        """The users of the dashboard."""
        return self._node.store.users

    @property
    def logins(self) -> BrowserLogins:
        """Log-ins of browsers to the dashboard."""
        return self._node.store.logins

    @property
    def scram_users(self) -> ScramUsers:
        """Users of SCRAM-SHA-256."""
        return self._node.store.scram_users

    @property
    def bans(self) -> Bans:
        """The table of bans."""
        return self._node.store.bans

    def reload_certificates(self) -> None:
        """Reads TLS files again. Raises RequestRefused where some cannot be used; the others are read nevertheless."""
        complaints = self._node.renewal.read_again()
        if complaints:
            raise RequestRefused("; ".join(complaints))

    def certificates(self) -> list[rows.CertificateRow]:
        """A row for each TLS listener."""
        return [self._certificate(one, one.tls, time.time()) for one in self._node.listeners if one.tls is not None]

    def _certificate(self, listener: Listener, tls: TlsOptions, now: float) -> rows.CertificateRow:
        until = tls.valid_until
        return rows.CertificateRow(
            listener.identifier, listener.listen_on, tls.certfile or rows.UNDEFINED,
            rows.UNDEFINED if until is None else datetime_text(until),
            rows.UNDEFINED if until is None else int((until - now) // DAY_S), self.name)

    # -- the node itself --------------------------------------------------------------------------

    def uptime(self) -> str:
        """Since the node was built, as EMQ X writes it: `2 days,3 hours, 4 minutes, 5 seconds`."""
        return uptime_text(int(time.monotonic() - self._node.started))

    def broker(self) -> rows.Broker:
        """The row of `GET /brokers/:node`."""
        return rows.Broker(
            datetime=datetime_text(time.time()),
            node_status=RUNNING,
            otp_release=RELEASE,
            sysdescr=SYSDESCR,
            uptime=self.uptime(),
            version=VERSION,
        )

    def listed_broker(self) -> rows.ListedBroker:
        """The row of `GET /brokers/`: the same with the node's name."""
        return rows.ListedBroker(node=self.name, **_members(self.broker()))

    def info(self) -> rows.NodeInfo:
        """The row of `GET /nodes/:node`; memory in bytes."""
        figures = self._runtime.figures()
        load1, load5, load15 = figures.load
        return rows.NodeInfo(
            connections=self._node.broker.stats.rows()["connections/count"],
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
        """The row of `GET /nodes/`: with the node's name, and memory as text."""
        members = _members(self.info())
        members["memory_total"] = memory_text(members["memory_total"])
        members["memory_used"] = memory_text(members["memory_used"])
        return rows.ListedNode(node=self.name, **members)

    def extended_info(self) -> rows.ExtendedNode:
        """The row with members that EMQ X does not have; seconds and milliseconds."""
        return rows.ExtendedNode(
            node=self.name,
            **_members(self.info()),
            uptime_s=int(time.monotonic() - self._node.started),
            datetime_ts=int(time.time()),
            max_connections=self._node.most_connections(),
            hub_lag_ms=self._node.hub_lag.recent(),
        )

    def metrics(self, extended: bool = False) -> dict[str, int]:
        """The documented counters; `extended` adds this broker's own."""
        broker = self._node.broker
        own = broker.extended_metrics() | {"logins/failed": self._node.failed_logins.total}
        return broker.metrics() | own if extended else broker.metrics()

    def v32_metrics(self) -> dict[str, int]:
        """Counters that v3.2 has beyond the documented ones."""
        return self._node.broker.v32_metrics()

    def v32_stats(self) -> dict[str, int]:
        """Gauges that v3.2 has beyond the documented ones."""
        return self._node.broker.v32_stats()

    def stats(self, extended: bool = False) -> dict[str, int]:
        """Gauges by name; `extended` adds those that EMQ X does not have."""
        broker = self._node.broker
        if not extended:
            return broker.stats.rows()
        disk = psutil.disk_usage(self._node.settings["node.data_dir"])
        return broker.stats.rows() | broker.extended_stats() | self.clients.waiting() | {
            "descriptors/open": open_descriptors(), "disk/free": disk.free, "disk/used": disk.used,
            "disk/total": disk.total,
        }

    def families(self) -> Iterator[Family]:
        """Everything that `/metrics` shows."""
        broker, figures = self._node.broker, self._runtime.figures()
        yield from counters(broker.metrics(), broker.extended_metrics())
        stats = self.stats(extended=True)
        yield from gauges(stats)
        yield from waiting(stats)
        mqtt = [(_listener_labels(one), one) for one in self._node.listeners if one.is_mqtt]
        yield Family("listener_connections", GAUGE, "Open connections by listener.",
                     [(labels, one.current_conns) for labels, one in mqtt])
        yield Family("listener_shutdowns_total", COUNTER, "Connections that did not end normally, by reason.",
                     [((*labels, ("reason", reason)), count) for labels, one in mqtt
                      for reason, count in sorted(one.shutdown_count.items())])
        yield from self.topic_metrics.families()
        yield from self.slow_subscribers.families()
        yield from of_plugins(self._node.plugins.figures())
        yield Family("logins_failed_total", COUNTER, "Log-ins to the API with wrong credentials.",
                     [((), self._node.failed_logins.total)])
        yield gauge("alarms", "Alarms that stand.", len(self._node.alarms.present()))
        yield Family("certificate_expiry_timestamp_seconds", GAUGE, "When a listener's certificate expires.", [
            (_listener_labels(one), one.tls.valid_until) for one in self._node.listeners
            if one.tls is not None and one.tls.valid_until is not None])
        yield Family("build_info", GAUGE, "1, with the node's name and versions.",
                     [((("node", self.name), ("version", VERSION), ("release", RELEASE)), 1)])
        yield Family("cpu_seconds_total", COUNTER, "User and system CPU time.", [((), time.process_time())], PROCESS)
        yield Family("resident_memory_bytes", GAUGE, "Resident memory.", [((), figures.memory_used)], PROCESS)
        yield Family("start_time_seconds", GAUGE, "When the node started, unix time.",
                     [((), self._node.started_at)], PROCESS)
        yield Family("open_fds", GAUGE, "Open file descriptors.", [((), stats["descriptors/open"])], PROCESS)
        yield Family("max_fds", GAUGE, "The most open file descriptors.", [((), figures.max_fds)], PROCESS)

    # -- what happens, and what happened ----------------------------------------------------------

    def subscribe_events(self, kinds: frozenset[str], owner: Owner, client_id: str | None = None) -> EventSubscriber:
        """A stream of events; with `client_id` only that client's. Raises TooMany."""
        return self._node.events.subscribe(kinds, owner, client_id)

    def trace(self, client_id: str | None, topic: str, owner: Owner, seconds: int, most_bytes: int,
              payload_bytes: int = 0) -> EventSubscriber:
        """Starts a trace of a client, or without one of a topic or topic filter. Raises TooMany."""
        return self._node.traces.start(Subject(client_id, topic), owner, seconds, most_bytes, payload_bytes)

    def traces(self) -> list[rows.TraceRow]:
        """The running traces, oldest first."""
        return [
            rows.TraceRow(one.id, rows.UNDEFINED if one.subject.client_id is None else one.subject.client_id,
                          one.subject.topic or rows.UNDEFINED, " ".join(one.owner[:2]), datetime_text(one.started_at),
                          self.name)
            for one in self._node.traces.running()
        ]

    def stop_trace(self, trace_id: str) -> bool:
        """Ends a trace. False where none has this id."""
        return self._node.traces.stop(trace_id)

    def rates_by_second(self, first: int, last: int) -> list[Sample]:
        """Samples of the seconds from `first` to `last` (unix seconds), of which the last hour is kept."""
        return self._node.store.rate_history.between(SECOND, first, last)

    def rates_by_minute(self, first: int, last: int) -> list[Sample]:
        """The means of minutes from `first` to `last` (unix seconds), of which the last week is kept."""
        return self._node.store.rate_history.between(MINUTE, first, last)

    # -- alarms -----------------------------------------------------------------------------------

    def alarms(self) -> list[rows.AlarmRow]:
        """The alarms that are present, newest first."""
        return [rows.AlarmRow(*_alarm_members(alarm)) for alarm in self._node.alarms.present()]

    def present_alarms(self, extended: bool = False) -> list[rows.PresentAlarm]:
        """The alarms that are present, with v3.2's members."""
        return [rows.PresentAlarm(*_alarm_members(alarm), alarm.summary, alarm.ts if extended else UNSET)
                for alarm in self._node.alarms.present()]

    def alarm_history(self, extended: bool = False) -> list[rows.ClearedAlarm]:
        """The alarms that were cleared, newest first."""
        return [
            rows.ClearedAlarm(*_alarm_members(alarm), alarm.summary, datetime_text(cleared_at),
                              *((alarm.ts, cleared_at) if extended else ()))
            for alarm, cleared_at in self._node.store.alarm_history.all()
        ]

def _members(row: rows.Broker | rows.NodeInfo) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _alarm_members(alarm: Alarm) -> tuple[str, str, str, str, str]:
    return alarm.id, alarm.severity, alarm.summary, datetime_text(alarm.ts), alarm.title


def _listener_labels(listener: Listener) -> tuple[tuple[str, str], ...]:
    return ("protocol", listener.protocol), ("listener", listener.name)

