"""The plugin system: loads, unloads and configures plugins."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import RLock
from msgspec import Struct

from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.plugins.catalogue import ELSEWHERE, Catalogue
from emqx_mgmt.plugins.config import Config, ConfigError
from emqx_mgmt.plugins.faults import LOAD_CPU_LIMIT_S, WatchdogTimeout, Watched, enter
from emqx_mgmt.plugins.guards import Guards
from emqx_mgmt.plugins.host import Host
from emqx_mgmt.plugins.plugin import Figure, Plugin, Route
from emqx_mgmt.plugins.services import Services
from emqx_mgmt.plugins.watchdog import Watchdog

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.auth.client import Client, Unavailable
    from emqx_mgmt.broker.telemetry.alarms import Alarms
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.settings import Key, Settings
    from emqx_mgmt.storage import Store

log = logging.getLogger(__name__)

LOAD_DEADLINE_S = 10.0
# A new worker starts while the old one still has its sockets.
PORT_RETRY_S = 0.5
PORT_RETRIES = 60


class UnknownPlugin(LookupError):
    """No plugin of this name is installed."""


class PluginRefused(Exception):
    """The change cannot be made. The text is the word or sentence of the answer."""


class PluginRow(Struct):
    name: str
    version: str
    description: str
    active: bool


@dataclass(slots=True)
class Loaded:
    """A plugin that runs."""

    plugin: Plugin
    host: Host
    routes: tuple[Route, ...]


class Plugins:
    """The plugins of the node. Methods may switch greenlets, and change one plugin at a time."""

    def __init__(self, settings: Settings, broker: Broker, store: Store, listeners: list[Listener],
                 alarms: Alarms) -> None:
        self._catalogue = Catalogue()
        self._configured: tuple[str, ...] = settings["plugins.loaded"]
        self._store = store
        self._loaded: dict[str, Loaded] = {}
        self._lock = RLock()
        self._guards = Guards(broker.hooks, alarms)
        assert broker.engine.retained is not None
        self._services = Services(
            broker=broker,
            store=store,
            retained=broker.engine.retained,
            listeners=listeners,
            etc_dir=Path(settings["plugins.etc_dir"]),
            place=settings.place,
            hook_deadline=settings["plugins.hook_deadline"],
            alarms=alarms,
            faults=lambda: {name: loaded.host.faults for name, loaded in self._loaded.items()},
            changed_sources=self._catalogue.changed_sources,
            renew=self.renew,
        )
        self._watchdog = Watchdog(lambda: broker.now, settings["plugins.processor_limit"])
        # Incremented whenever the routes change.
        self.generation = 0

    # -- the node's life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Loads the plugins that should run. A plugin that fails is logged, and the others are loaded nevertheless. If
        it may be a guard, its decisions are refused."""
        self._watchdog.start()
        self._services.broker.engine.retained = None  # until the plugin for it is loaded
        for name in self._wanted():
            plugin = self._catalogue.get(name)
            if plugin is None:
                self._missing(name, self._catalogue.absence(name))
                continue
            try:
                self._start_wanted(plugin)
            except PluginRefused as refused:
                if isinstance(refused.__cause__, OSError) and refused.__cause__.errno == errno.EADDRINUSE:
                    gevent.spawn(self._retry, plugin)

    def _retry(self, plugin: type[Plugin]) -> None:
        for _ in range(PORT_RETRIES):
            gevent.sleep(PORT_RETRY_S)
            with self._lock:
                if plugin.name in self._loaded or plugin.name not in self._wanted():
                    return
                try:
                    self._start_wanted(plugin)
                except PluginRefused:
                    continue
            log.info("The plugin %s is loaded after all", plugin.name)
            return

    def stop(self) -> None:
        self._services.stopping = True
        with self._lock:
            for name in reversed(list(self._loaded)):
                self._stop(name)
        self._watchdog.stop()

    def _wanted(self) -> list[str]:
        """The plugins that should run: those of the configuration with the changes made over REST, and those that
        cannot be unloaded."""
        wanted = list(dict.fromkeys([*self._configured, *(one.name for one in self._catalogue.all() if one.stays)]))
        for name, loaded in self._store.plugins.changes().items():
            if loaded and name not in wanted:
                wanted.append(name)
            elif not loaded and name in wanted and not self._stays(name):
                wanted.remove(name)
        return wanted

    def _is_missing(self, name: str) -> bool:
        """Whether the plugin should run and does not."""
        return name not in self._loaded and name in self._wanted()

    def complaints(self) -> list[str]:
        """A sentence for each guard that is not loaded, because of which clients are refused."""
        return self._guards.complaints()

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The figures of running plugins for `/metrics`, each with its plugin's name."""
        for name, loaded in list(self._loaded.items()):
            asked = loaded.host.watched("figures", lambda plugin=loaded.plugin: list(plugin.figures()))
            with contextlib.suppress(HandlerFailed):
                yield from ((name, figure) for figure in asked())

    def _stays(self, name: str) -> bool:
        plugin = self._catalogue.get(name)
        return plugin is not None and bool(plugin.stays)

    def unknown(self, variables: Sequence[str]) -> list[str]:
        """The variables of the environment that are no setting of any plugin."""
        nothing, place = Path(os.devnull), self._services.place
        tables = [Config(one.settings, nothing, {}, {}, False, place) for one in self._catalogue.all()]
        return [variable for variable in variables if not any(table.knows(variable) for table in tables)]

    # -- what an operator asks ------------------------------------------------------------------------

    def rows(self) -> list[PluginRow]:
        """A row for each installed plugin, by name."""
        return [PluginRow(one.name, one.version, one.description, one.name in self._loaded)
                for one in self._catalogue.all()]

    def load(self, name: str) -> None:
        """Loads a plugin. Raises UnknownPlugin or PluginRefused; then nothing has changed."""
        with self._lock:
            plugin = self._known(name)
            if name in self._loaded:
                raise PluginRefused("already_started")
            if self._is_missing(name):
                self._start_wanted(plugin)
                return
            self._start(plugin)
            try:
                self._remember(name, True)
            except PluginRefused:
                self._stop(name)
                raise

    def unload(self, name: str) -> None:
        """Unloads a plugin. A plugin that could not be loaded is removed from the list of those that should run, even
        if its code is missing."""
        with self._lock:
            if self._is_missing(name) and not self._stays(name):
                self._remember(name, False)
                self._guards.arrived(name)
                return
            plugin = self._known(name)
            if name not in self._loaded:
                raise PluginRefused("not_started")
            if plugin.stays:
                raise PluginRefused(plugin.stays)
            self._remember(name, False)
            self._stop(name)

    def reload(self, name: str) -> None:
        """Reads a plugin's settings again and restarts it. Where they have a fault, the plugin is not stopped."""
        with self._lock:
            plugin = self._known(name)
            if self._is_missing(name):
                self._start_wanted(plugin)
                return
            if name not in self._loaded:
                raise PluginRefused("not_started")
            self._restart(plugin, self._config(plugin))

    def renew(self, name: str) -> None:
        """Imports a plugin's code again and, if the plugin should run, replaces the running instance. Where that fails,
        the old instance continues."""
        with self._lock:
            self._known(name)
            try:
                new = self._catalogue.renew(name)
            except Exception as error:
                raise PluginRefused(f"{type(error).__name__}: {error}") from error
            if name in self._loaded:
                self._restart(new, self._config(new))
            elif self._is_missing(name):
                self._start_wanted(new)

    def _known(self, name: str) -> type[Plugin]:
        plugin = self._catalogue.get(name)
        if plugin is not None:
            return plugin
        if name in ELSEWHERE:
            raise PluginRefused("not_found")
        raise UnknownPlugin(name)

    def _remember(self, name: str, loaded: bool) -> None:
        try:
            self._store.plugins.set_loaded(name, None if (name in self._configured) == loaded else loaded)
        except sqlite3.Error as error:
            raise PluginRefused(str(error)) from error

    # -- settings -------------------------------------------------------------------------------------

    def config(self, name: str) -> Config:
        """The settings in effect; for a plugin that does not run, those that it would start with."""
        loaded = self._loaded.get(name)
        return loaded.host.settings if loaded is not None else self._config(self._known(name))

    def _config(self, plugin: type[Plugin]) -> Config:
        stored, replaced = self._store.plugins.settings(plugin.name)
        return self._config_with(plugin, stored, replaced)

    def _config_with(self, plugin: type[Plugin], stored: Mapping[str, str], replaced: bool) -> Config:
        file = self._services.etc_dir / f"{plugin.name}.conf"
        try:
            return Config(plugin.settings, file, os.environ, stored, replaced, self._services.place)
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            raise PluginRefused(str(error)) from error

    def configure(self, name: str, texts: Mapping[str, Any]) -> None:
        """Replaces all stored settings; a running plugin continues with them."""
        with self._lock:
            plugin = self._known(name)
            for key, text in texts.items():
                if not isinstance(text, str):
                    raise PluginRefused(f"the value of {key} must be a string")
            before = self._config(plugin)
            wanted = before.unmasked(texts)
            after = self._config_with(plugin, wanted, True)
            was = self._store.plugins.settings(name)
            self._store.plugins.replace_settings(name, wanted, True)
            try:
                self._apply(plugin, before, after)
            except PluginRefused:
                self._store.plugins.replace_settings(name, *was)
                raise

    def _apply(self, plugin: type[Plugin], before: Config, after: Config) -> None:
        loaded = self._loaded.get(plugin.name)
        if loaded is None:
            return
        changed = [name for name in {*before.names(), *after.names()} if before.text(name) != after.text(name)]
        if all(key is not None and key.hot for key in map(after.find, changed)):
            self._adopt(loaded, after, changed)
            return
        self._restart(plugin, after)

    def forget(self, client: Client | None = None) -> None:
        """Clears the plugins' cached answers about one client, or about all of them."""
        for loaded in list(self._loaded.values()):
            loaded.host.watched("forget", loaded.plugin.forget).quietly(client)

    def reauthorize(self, client: Client) -> bool | Unavailable | None:
        """Whether the client is a super user. Plugins are asked in the reverse order of loading, and the first that
        knows decides. Raises HandlerFailed."""
        for loaded in reversed(list(self._loaded.values())):
            asked = loaded.host.watched("reauthorize", loaded.plugin.reauthorize, self._services.hook_deadline)
            answer: bool | Unavailable | None = asked(client)
            if answer is not None:
                return answer
        return None

    def hot(self) -> Iterator[tuple[str, Key, Config]]:
        """For each hot setting of a running plugin, by key: the plugin, the setting and its Config."""
        found = [(name, key, loaded.host.settings) for name, loaded in self._loaded.items()
                 for key in loaded.plugin.settings if key.hot]
        return iter(sorted(found, key=lambda row: row[1].name))

    def change(self, name: str, key: str, text: str) -> None:
        """Stores a new value of one hot setting, which takes effect at once. Raises ValueError for a value that the
        setting cannot have."""
        with self._lock:
            loaded = self._with_hot(name, key)
            before = loaded.host.settings.copy()
            try:
                loaded.host.settings.parse(key, text)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            self._store.plugins.put_setting(name, key, text)
            try:
                self._adopt(loaded, before.with_text(key, text), [key])
            except PluginRefused:
                self._store.plugins.put_setting(name, key, before.text(key))
                raise

    def take_back(self, name: str, key: str) -> None:
        """Undoes `change`: environment, file and default decide the value."""
        with self._lock:
            loaded = self._with_hot(name, key)
            self._store.plugins.remove_setting(name, key)
            self._adopt(loaded, self._config(type(loaded.plugin)), [key])

    def _with_hot(self, name: str, key: str) -> Loaded:
        """The running plugin that has this hot setting. Raises PluginRefused where there is none."""
        self._known(name)
        loaded = self._loaded.get(name)
        found = loaded.host.settings.find(key) if loaded is not None else None
        if loaded is None or found is None or not found.hot:
            raise PluginRefused("not_found")
        return loaded

    def _adopt(self, loaded: Loaded, after: Config, changed: list[str]) -> None:
        before = loaded.host.settings.copy()
        loaded.host.settings.adopt(after)
        try:
            for name in changed:
                loaded.host.watched(f"change of {name}", loaded.plugin.changed)(name)
        except HandlerFailed as error:
            loaded.host.settings.adopt(before)
            for name in changed:
                loaded.host.watched(f"change of {name}", loaded.plugin.changed).quietly(name)
            raise PluginRefused(str(error)) from error

    # -- routes ---------------------------------------------------------------------------------------

    def routes(self) -> list[tuple[Route, Host]]:
        return [(route, loaded.host) for loaded in self._loaded.values() for route in loaded.routes]

    # -- starting and stopping one --------------------------------------------------------------------

    def _start_wanted(self, plugin: type[Plugin]) -> None:
        """Starts a plugin that is on the list already. Where that fails, its decisions are refused."""
        try:
            self._start(plugin)
        except PluginRefused as refused:
            self._missing(plugin.name, str(refused))
            raise

    def _missing(self, name: str, why: str) -> None:
        log.error("The plugin %s is to be loaded and is not: %s", name, why)
        self._guards.missing(name, self._catalogue.decides(name), why)

    def _start(self, plugin: type[Plugin], config: Config | None = None) -> None:
        config = config or self._config(plugin)
        host = Host(plugin, self._services, config)
        try:
            self._store.plugins.migrate(plugin.name, plugin.tables)
            loaded = self._call(plugin, host)
        except BaseException as error:
            host.take_back()
            if isinstance(error, gevent.GreenletExit):
                raise
            log.warning("plugin %s failed to load", plugin.name, exc_info=error)
            raise PluginRefused(_reason(error)) from error
        self._loaded[plugin.name] = loaded
        self._guards.arrived(plugin.name)
        self.generation += 1
        log.info("Plugin loaded: %s", plugin.name)
        inert = [name for key, name, _ in config.given() if key.inert]
        if inert:
            log.info("plugin %s: known, and without effect here: %s", plugin.name, ", ".join(inert))

    def _call(self, plugin: type[Plugin], host: Host) -> Loaded:
        def begin() -> Loaded:
            instance = plugin(host)
            instance.load()
            return Loaded(instance, host, self._free(instance.routes()))

        watched = Watched(plugin.name, "load", begin, host.faults, cpu_limit=LOAD_CPU_LIMIT_S)
        with gevent.Timeout(LOAD_DEADLINE_S):
            loaded: Loaded = enter(watched, (), {})
            return loaded

    def _free(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """The routes, checked: each can be served, and no other plugin has it."""
        taken = {route.shape: host.name for route, host in self.routes()}
        for route in routes:
            if not isinstance(route, Route):
                raise TypeError(f"{route!r} is no Route")
            route.check()
            if route.shape in taken:
                raise ValueError(f"{route.method} {route.path} is a route of the plugin {taken[route.shape]}")
        return tuple(routes)

    def _restart(self, plugin: type[Plugin], config: Config) -> None:
        """Replaces the running instance. Where the new one cannot start, one with the old settings and code does.
        Decisions wait until then."""
        old = self._loaded[plugin.name]
        decides = old.host.decides
        with self._guards.held(decides):
            try:
                self._stop(plugin.name)
                self._start(plugin, config)
            except BaseException:
                self._start_again(old, decides)
                raise

    def _start_again(self, old: Loaded, decides: Sequence[str]) -> None:
        plugin = type(old.plugin)
        try:
            self._start(plugin, old.host.settings)
        except PluginRefused as refused:
            log.error("The plugin %s runs no more: %s", plugin.name, refused)
            self._guards.missing(plugin.name, decides, str(refused))

    def _stop(self, name: str) -> None:
        loaded = self._loaded.pop(name)
        self.generation += 1
        loaded.host.unhook()
        Watched(name, "unload", loaded.plugin.unload, loaded.host.faults, LOAD_DEADLINE_S).quietly()
        loaded.host.take_back()
        log.info("Plugin unloaded: %s", name)


def _reason(error: BaseException) -> str:
    if isinstance(error, WatchdogTimeout):
        return "it held the processor and was interrupted"
    if isinstance(error, gevent.Timeout):
        return f"it took longer than {LOAD_DEADLINE_S:g} s"
    return str(error) or type(error).__name__
