"""The node: builds all parts of the broker, starts them in order, and stops them in reverse."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import gevent
from gevent.event import Event

from emqx_mgmt.broker import Broker
from emqx_mgmt.broker.auth.acl_rules import AclRules
from emqx_mgmt.broker.auth.enhanced import HOOK as ENHANCED_AUTHENTICATE
from emqx_mgmt.broker.auth.scram_method import ScramMethod
from emqx_mgmt.broker.auth.verdicts import Verdicts
from emqx_mgmt.broker.loop.periodic import Background, Periodic
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.broker.loop.turns import ReactorDriver
from emqx_mgmt.broker.telemetry.alarms import Alarm, Alarms
from emqx_mgmt.broker.telemetry.events import Events
from emqx_mgmt.broker.telemetry.rates import Rates, Sample
from emqx_mgmt.broker.telemetry.slow_subscribers import SlowSubscribers
from emqx_mgmt.broker.telemetry.sys_topics import SysTopics
from emqx_mgmt.broker.telemetry.topic_metrics import TopicMetrics
from emqx_mgmt.broker.telemetry.traces import Traces
from emqx_mgmt.broker.zones import core_zone, refresh
from emqx_mgmt.listeners import Listener, close_listeners
from emqx_mgmt.listeners.acceptors import Acceptors
from emqx_mgmt.listeners.renewal import PERIOD_S as RENEWAL_S
from emqx_mgmt.listeners.renewal import Renewal
from emqx_mgmt.modules import modules_of
from emqx_mgmt.monitor import Certificates, HubLag, Monitor, Recent, watermarks
from emqx_mgmt.plugins import Plugins
from emqx_mgmt.settings import Settings, log_levels
from emqx_mgmt.storage import DataDirError, Store, backup
from emqx_mgmt.storage.messages import Recovered, StoreEnded, StoreLink, read_back
from router_ext.durable.journal import Journal
from router_ext.message.retained_store import RetainedStore
from router_ext.session.zone import Zone

log = logging.getLogger(__name__)

STORE_FULL = "message_store_full"
# Counters of what the promise to keep acknowledged messages does not cover.
REMOVED_COUNTERS = ("dropped/queue_full", "dropped/expired", "dropped/session_ended")
BAN_SWEEP_S = LOGIN_SWEEP_S = 60.0
RETRY_S = 1.0   # between two tries to open the records
GOODBYE = 0x8B  # Server shutting down (MQTT 5.0, section 2.4)
ANSWERS_S = 3.0  # for who was accepted and has no CONNACK yet, when the node drains


class Node:
    """Building it opens nothing; `start` takes listeners whose sockets are open."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name: str = settings["node.name"]
        self.listeners: list[Listener] = []
        self.store = Store(Path(settings["node.data_dir"]))
        self.store.logins.idle_timeout = settings["dashboard.login.idle_timeout"]
        self.store.logins.lifetime = settings["dashboard.login.lifetime"]
        self.broker = Broker(
            banned=self.store.bans.table,
            ban=lambda ban: gevent.spawn(self.store.bans.put, ban),
            response_topic_prefix=settings["mqtt.response_topic_prefix"],
            shared_strategy=settings["broker.shared_subscription_strategy"],
            verdicts=Verdicts(
                settings["plugins.hook_deadline"], settings["plugins.concurrent_decisions"],
                settings["plugins.waiting_decisions"], settings["plugins.decision_patience"]),
            zone_of=self._zone,
        )
        self.broker.engine.egress.limit(settings["mqtt.max_outbox_size"], settings["mqtt.max_total_outbox_size"])
        self.broker.engine.shared_dispatch_ack = settings["broker.shared_dispatch_ack_enabled"]
        self.retained = self.broker.engine.retained = RetainedStore()
        self.sys_topics = SysTopics(self.broker, self.name, settings["broker.sys_interval"], lambda: [self.name])
        self.modules = modules_of(settings, self.broker, self.sys_topics)
        self.broker.hooks.add(ENHANCED_AUTHENTICATE, ScramMethod(self.store.scram_users))
        self.turns: ReactorDriver | None = None
        self.acceptors: Acceptors | None = None
        self.link: StoreLink | None = None
        self.zones: dict[str, Zone] = {}
        self.events = Events(self.broker, self.name)
        self.traces = Traces(self.broker, self.events)
        self.topic_metrics = TopicMetrics(self.broker.engine)
        self.slow_subscribers = SlowSubscribers(self.broker, lambda: settings["management.slow_subscriber_threshold"])
        self.alarms = Alarms(self.sys_topics.publish, self.store.alarm_history.add, self.events.alarm_changed)
        self.plugins = Plugins(settings, self.broker, self.store, self.listeners, self.alarms)
        self.hub_lag = HubLag()
        self.failed_logins = Recent()
        self.monitor = Monitor(self.alarms, watermarks(
            settings, self.hub_lag, self._connections, self.most_connections, self._removed, self.failed_logins
        ))
        self.renewal = Renewal()
        self.certificates = Certificates(self.alarms, lambda: self.listeners, settings["monitor.certificate_notice"])
        self._shortages = 0
        self.chores: list[Background] = [
            self.hub_lag,
            Rates(self._counters, self._gauges, self._take_sample),
            Periodic(1.0, self.topic_metrics.sample),
            Periodic(1.0, self.slow_subscribers.look),
            Periodic(RENEWAL_S, self.renewal.look),
            Periodic(1.0, self._watch_descriptors),
            Periodic(1.0, lambda: self.certificates.look(time.time())),
            Periodic(BAN_SWEEP_S, lambda: self.store.bans.sweep(time.time())),
            Periodic(LOGIN_SWEEP_S, lambda: self.store.logins.sweep(time.time())),
            Periodic(settings["monitor.check_interval"], lambda: self.monitor.check(int(time.time()))),
        ]
        self.started_at = 0.0   # unix seconds
        self.started = 0.0      # monotonic seconds: the wall clock may be set
        self.hindered = Event()     # the start waits for something that may take long:
        self.hindrance = ""         # a sentence that says why, until it goes on
        self.is_draining = False
        self._answers_until = 0.0

    def start(self, listeners: list[Listener], alive: Callable[[], None]) -> None:
        """`alive` is called at intervals while the event loop is blocked."""
        while not self._open_records():
            gevent.sleep(RETRY_S)
        self._take_stored_changes()
        for topic in self.store.metered_topics.all():
            self.topic_metrics.put(topic, time.time())
        self.listeners[:] = listeners
        self.turns = ReactorDriver(self.broker)
        self.turns.start()
        stored = self._open_store(self.turns, alive)
        # Before the first client: one of them may be what decides who is let in.
        self.plugins.start()
        unknown = self.plugins.unknown(self.settings.unknown_variables)
        if unknown:
            log.warning("Unknown variables are ignored: %s", ", ".join(unknown))
        for module in self.modules:
            module.start()
            log.debug("Module started: %s", type(module).__name__)
        if stored is not None:
            try:
                self.broker.restore(stored, self.retained)
            finally:
                stored.close()
        self.acceptors = Acceptors(self.turns.reactor, self._zone, self.renewal)
        for listener in listeners:
            if listener.is_mqtt:
                self.acceptors.add(listener)
        self.sys_topics.start()
        for chore in self.chores:
            chore.start()
        self.started_at, self.started = time.time(), time.monotonic()

    def _open_records(self) -> bool:
        """False when the disk prevents it."""
        try:
            while not backup.try_to_put_in_place(Path(self.settings["node.data_dir"]), log.warning):
                gevent.sleep(0.05)
            self.store.open()
            self.store.applications.bootstrap(self.settings["management.bootstrap_app"])
            self.store.users.bootstrap(
                self.settings["dashboard.default_user.login"], self.settings["dashboard.default_user.password"]
            )
        except (DataDirError, OSError, sqlite3.Error) as error:
            if isinstance(error, DataDirError) and error.code != os.EX_OSERR:
                raise
            self.store.close()
            self._be_hindered(f"The records cannot be opened: {error}")
            return False
        self._be_hindered("")
        return True

    def _be_hindered(self, why: str) -> None:
        """An empty text: no longer."""
        if why != self.hindrance:
            self.hindrance = why
            if why:
                log.error("%s. Clients are served once that is mended.", why)
                self.hindered.set()
            else:
                log.info("The start goes on.")

    def _open_store(self, turns: ReactorDriver, alive: Callable[[], None]) -> Recovered | None:
        """Starts the message store. Its content is restored later. Raises StoreFailed."""
        durability = self.settings["durability"]
        if durability == "off":
            return None
        data_dir = Path(self.settings["node.data_dir"])
        self.link = StoreLink(data_dir, durability, self._be_hindered)
        try:
            descriptor = self.link.start()
        except StoreEnded:
            store_lost()
        journal = Journal(descriptor, waits=durability == "fsync")
        durable = self.broker.durable
        durable.on_lost = store_lost
        durable.on_full = lambda text: gevent.spawn(self._store_full, text)
        stored = read_back(data_dir, alive)
        durable.attach(journal, stored)
        turns.reactor.listen_to_store()
        return stored

    def _zone(self, name: str) -> Zone:
        """The record of a zone, which listeners and sessions share."""
        if name not in self.zones:
            self.zones[name] = core_zone(self.settings, name)
        return self.zones[name]

    # -- listeners of MQTT ----------------------------------------------------------------------------

    def can_stop(self, listener: Listener) -> bool:
        return self.acceptors is not None and listener in self.acceptors and not self.is_draining

    def accepts(self, listener: Listener) -> bool:
        return self.acceptors is not None and self.acceptors.accepts(listener)

    def start_listener(self, listener: Listener) -> None:
        """Raises OSError."""
        assert self.acceptors is not None
        self.acceptors.start(listener)
        log.info("Listening again: %s", listener)

    def stop_listener(self, listener: Listener) -> None:
        assert self.acceptors is not None
        self.acceptors.stop(listener)
        log.info("Stopped: %s", listener)
        for position, channel in enumerate(list(self.broker.engine.channels)):
            if channel.listener is listener:
                channel.close("shutdown", GOODBYE)
            if position % 500 == 499:
                yield_to_loop()

    # -- what is watched ------------------------------------------------------------------------------

    def _watch_descriptors(self) -> None:
        """Raises an alarm while connections wait because no descriptor is left."""
        now, shortages = int(time.time()), sum(listener.shortages for listener in self.listeners)
        if shortages > self._shortages:
            summary = "connections wait until others close; raise the limit of open files"
            self.alarms.set(Alarm("out_of_descriptors", "critical", "no file descriptors left", summary, now))
        else:
            self.alarms.clear("out_of_descriptors", now)
        self._shortages = shortages

    def _connections(self) -> int:
        return sum(listener.current_conns for listener in self.listeners if listener.is_mqtt)

    def _removed(self) -> int:
        return sum(self.broker.engine.metrics[name] for name in REMOVED_COUNTERS)

    def most_connections(self) -> int:
        """The sum of the listeners' limits, or what the descriptor limit allows, whichever is less."""
        mqtt = [listener for listener in self.listeners if listener.is_mqtt]
        allowed = sum(listener.max_conns for listener in mqtt)
        return min([allowed, *(listener.budget.limit for listener in mqtt)])

    # -- rates ----------------------------------------------------------------------------------------

    def _counters(self) -> dict[str, int]:
        return self.broker.metrics() | self.broker.extended_metrics()

    def _gauges(self) -> tuple[int, int]:
        return self.broker.online, self.broker.router.counts.subscriptions

    def _take_sample(self, sample: Sample) -> None:
        self.events.emit("rates", sample)
        self.store.rate_history.add(sample)

    # -- settings changed while it runs ---------------------------------------------------------------

    def change_setting(self, key: str, text: str) -> None:
        """Puts a key in effect at once, and stores it. Raises ValueError when the text does not fit the key."""
        self.settings.check(key, text)
        self.store.config_changes.put(key, text)
        self.settings.change(key, text)
        self._apply_settings()

    def reset_setting(self, key: str) -> None:
        """Takes back what `change_setting` has set. Raises StoreUnusable."""
        self.store.config_changes.remove(key)
        self.settings.take_back(key)
        self._apply_settings()

    def read_rules_again(self) -> None:
        """The file of access rules. ValueError where it cannot be used: those from before stay."""
        self.settings.read_again("acl_file")
        self._apply_settings()

    def _take_stored_changes(self) -> None:
        """Stored values override file and environment. Values that this version does not take are ignored."""
        for key, text in self.store.config_changes.all().items():
            try:
                before = self.settings.text(key)
                self.settings.change(key, text)
                log.info("%s = %s was set over REST and overrides %s", key, self.settings.text(key), before)
            except (KeyError, ValueError) as error:
                log.warning("%s = %s, set over REST, is ignored: %s", key, text, error)
        self._apply_settings()

    def _apply_settings(self) -> None:
        """Passes changed settings to the parts that have read them."""
        for zone in self.zones.values():
            refresh(zone, self.settings)
        self.broker.access.use(AclRules(self.settings["acl_file"].rules))
        log_levels.apply(self.settings)

    def drain(self) -> None:
        """Ends accepting MQTT connections, and disconnects clients. Connections that were just accepted have time to
        send their CONNECT and are answered first."""
        if not self.is_draining:
            self._answers_until = time.monotonic() + ANSWERS_S
        self.is_draining = True
        self.events.close()  # a worker that stops waits for answers that go on
        if self.acceptors is not None:
            self.acceptors.stop_all()
        close_listeners([listener for listener in self.listeners if listener.is_mqtt])
        while self._say_goodbye(time.monotonic() > self._answers_until):
            gevent.sleep(0.01)

    def _say_goodbye(self, to_all: bool) -> int:
        """Closes the connections that have their CONNACK, or all of them; returns how many are left."""
        for position, channel in enumerate(list(self.broker.engine.channels)):
            if to_all or channel.is_answered:
                channel.close("shutdown", GOODBYE)
            if position % 500 == 499:
                yield_to_loop()
        return len(self.broker.engine.channels)

    def stop(self) -> None:
        """Disconnects clients and closes the stores; returns once what was acknowledged is on disk."""
        self.sys_topics.stop()
        for chore in self.chores:
            chore.stop()
        if self.turns is not None:
            self.drain()
            self.plugins.stop()
            self.turns.stop()
        self._close_store()
        self.broker.verdicts.stop()
        self.store.close()

    def _store_full(self, text: str) -> None:
        """Raises the alarm of a full message store; clears it where `text` is empty."""
        now = int(time.time())
        if text:
            self.alarms.set(Alarm(STORE_FULL, "critical", "Message store full", f"Nothing can be stored: {text}", now))
        else:
            self.alarms.clear(STORE_FULL, now)

    def _close_store(self) -> None:
        journal = self.broker.durable.journal
        if self.link is not None and journal is not None:
            journal.policy = None
            if not self.link.close(journal):
                log.error("The message store did not finish in time.")


def store_lost() -> NoReturn:
    """Ends the worker, since nothing can be acknowledged without the store. The master starts a new one, which reads
    what is stored."""
    log.critical("The store process has ended: the worker ends too, and the next one goes on from what is on disk.")
    os._exit(1)
