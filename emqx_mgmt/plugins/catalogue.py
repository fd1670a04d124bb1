"""The plugins that exist: those that come with the broker, and those of installed packages."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.plugins.faults import LOAD_CPU_LIMIT_S, Faults, Watched
from emqx_mgmt.plugins.guards import POINTS
from emqx_mgmt.plugins.plugin import Plugin
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.table import find

log = logging.getLogger(__name__)

GROUP = "emqx_mgmt.plugins"
SHIPPED_PACKAGE = "emqx_mgmt.plugins.shipped"
SHIPPED = [
    EntryPoint(name, f"{SHIPPED_PACKAGE}.{module}", GROUP)
    for name, module in (
        ("emqx_auth_clientid", "auth_clientid:AuthClientid"),
        ("emqx_auth_http", "auth_http:AuthHttp"),
        ("emqx_auth_jwt", "auth_jwt:AuthJwt"),
        ("emqx_auth_ldap", "auth_ldap:AuthLdap"),
        ("emqx_auth_mongo", "auth_mongo:AuthMongo"),
        ("emqx_auth_mysql", "auth_mysql:AuthMysql"),
        ("emqx_auth_pgsql", "auth_pgsql:AuthPgsql"),
        ("emqx_auth_redis", "auth_redis:AuthRedis"),
        ("emqx_auth_username", "auth_username:AuthUsername"),
        ("emqx_dashboard", "dashboard:Dashboard"),
        ("emqx_delayed_publish", "delayed_publish:DelayedPublish"),
        ("emqx_management", "management:Management"),
        ("emqx_plugin_template", "plugin_template:PluginTemplate"),
        ("emqx_recon", "recon:Recon"),
        ("emqx_reloader", "reloader:Reloader"),
        ("emqx_retainer", "retainer:Retainer"),
    )
]

# Other plugins of EMQ X: every node lists their names, but this broker does not have them. They decide about no client.
ELSEWHERE = frozenset({
    "emqx_coap", "emqx_lwm2m", "emqx_sn", "emqx_statsd", "emqx_stomp", "emqx_web_hook",
})


class Catalogue:
    """Plugin classes by name. A package that is installed while the broker runs is found at the next look-up."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Plugin]] = {}
        self._origins: dict[str, EntryPoint] = {}
        self._stamps: dict[str, float] = {}
        self._places: list[tuple[str, float]] = []
        self._broken: set[str] = set()

    def all(self) -> list[type[Plugin]]:
        self._refresh()
        return [self._classes[name] for name in sorted(self._classes)]

    def get(self, name: str) -> type[Plugin] | None:
        self._refresh()
        return self._classes.get(name)

    def absence(self, name: str) -> str:
        """The reason why a plugin does not exist, as the end of a sentence."""
        return "its code cannot be used, as the log says above" if name in self._broken else "it is not installed"

    def decides(self, name: str) -> Sequence[str]:
        """The hook points at which the plugin may refuse a client; all of them where that is not known."""
        plugin = self._classes.get(name)
        if plugin is not None and plugin.decides is not None:
            return plugin.decides
        return () if plugin is None and name in ELSEWHERE else POINTS

    def _refresh(self) -> None:
        places = _import_places()
        if places == self._places:
            return
        self._places = places
        known = set(self._origins.values())
        for origin in (*SHIPPED, *entry_points(group=GROUP)):
            if origin not in known:
                self._add(origin)

    def _add(self, origin: EntryPoint) -> None:
        self._broken.add(origin.name)
        try:
            plugin = Watched(origin.name, "import", origin.load, Faults(), cpu_limit=LOAD_CPU_LIMIT_S)()
        except HandlerFailed:
            log.error("The plugin of %s cannot be imported and is not listed", origin.value)
            return
        try:
            complaint = flaw(plugin)
        except Exception as error:  # declarations of a foreign package
            complaint = f"what it declares cannot be read: {error}"
        if complaint is None and plugin.name in self._classes:
            complaint = f"there is another plugin of the name {plugin.name}"
        if complaint is not None:
            log.error("The plugin of %s is not listed: %s", origin.value, complaint)
            return
        self._broken.discard(origin.name)
        self._classes[plugin.name] = plugin
        self._origins[plugin.name] = origin
        self._stamps[plugin.name] = _newest(plugin)

    # -- code that changes while it runs --------------------------------------------------------------

    def changed_sources(self) -> list[str]:
        """The plugins whose source files are newer than the imported code."""
        return [name for name, plugin in self._classes.items() if _newest(plugin) > self._stamps[name]]

    def renew(self, name: str) -> type[Plugin]:
        """Imports the plugin's code again. If that raises, the old code stays in place."""
        before = {module: sys.modules.pop(module) for module in _modules_of(self._classes[name])}
        self._stamps[name] = _newest(self._classes[name], before)
        importlib.invalidate_caches()
        try:
            plugin: type[Plugin] = self._origins[name].load()
            complaint = flaw(plugin)
            if complaint is None and plugin.name != name:
                complaint = f"it now calls itself {plugin.name}"
            if complaint is not None:
                raise ImportError(complaint)
        except BaseException:
            for module in _modules_of(self._classes[name]):
                sys.modules.pop(module, None)
            sys.modules.update(before)
            raise
        self._classes[name] = plugin
        return plugin


def flaw(plugin: object) -> str | None:
    """The reason why an object is no plugin, as the end of a sentence."""
    if not isinstance(plugin, type) or not issubclass(plugin, Plugin):
        return "it is not a subclass of Plugin"
    name = getattr(plugin, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "its name must be lower-case letters, digits and _"
    if not isinstance(plugin.description, str) or not plugin.description or not isinstance(plugin.version, str):
        return "its description and version must be text"
    if plugin.decides is not None and not set(plugin.decides) <= set(POINTS):
        return f"`decides` may name {', '.join(POINTS)}"
    return _flaw_of_settings(plugin.settings)


def _flaw_of_settings(keys: Sequence[Key]) -> str | None:
    names = [key.name for key in keys]
    for key in keys:
        if find(key.name):
            return f"the broker itself has the setting {key.name}"
        if names.count(key.name) > 1:
            return f"it has the setting {key.name} twice"
        if key.default is None and "$" in key.name:
            continue
        try:
            key.kind.parse(key.default or "")
        except ValueError as error:
            return f"the default of {key.name} {error}"
    return None


def _import_places() -> list[tuple[str, float]]:
    """The directories that modules are imported from, with the time of each one's latest change."""
    places = []
    for entry in sys.path:
        try:
            places.append((entry, Path(entry or ".").stat().st_mtime))
        except OSError:
            continue
    return places


def _modules_of(plugin: type[Plugin]) -> list[str]:
    """The plugin's own modules: its package, or for a plugin of the broker its single module."""
    own = plugin.__module__
    if own.startswith(SHIPPED_PACKAGE):
        return [own] if own in sys.modules else []
    package = own.partition(".")[0]
    return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]


def _newest(plugin: type[Plugin], modules: dict[str, ModuleType] | None = None) -> float:
    """The time at which the newest of the plugin's source files was written; 0 when none can be read."""
    found = modules.values() if modules is not None else [sys.modules[name] for name in _modules_of(plugin)]
    stamps = [0.0]
    for module in found:
        try:
            stamps.append(Path(module.__file__ or "").stat().st_mtime)
        except OSError:
            continue
    return max(stamps)
