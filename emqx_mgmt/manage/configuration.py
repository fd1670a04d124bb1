"""Changes to a running node: settings that take effect at once, log levels, plugins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emqx_mgmt.manage import rows
from emqx_mgmt.manage.errors import ALREADY_LOADED, NOT_LOADED, UNKNOWN_ERROR, ConfigRefused, RequestRefused, Unknown
from emqx_mgmt.plugins import PluginRefused, PluginRow, UnknownPlugin
from emqx_mgmt.plugins.config import MASK
from emqx_mgmt.settings import Key, log_levels
from emqx_mgmt.settings.hot import CORE, HOT_KEYS, HotKey, find_hot
from emqx_mgmt.settings.in_effect import Setting, in_effect, names
from emqx_mgmt.settings.table import TABLE

if TYPE_CHECKING:
    from emqx_mgmt.node import Node


# Return codes for the words by which the plugin system refuses.
CODES = {"already_started": ALREADY_LOADED, "not_started": NOT_LOADED}


class Configuration:
    """Settings, log levels and plugins as the API shows and changes them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # -- hot configuration ------------------------------------------------------------------------

    def configs(self) -> list[rows.ConfigItem]:
        """One row for each setting that can be changed, of the broker and of running plugins, by key."""
        settings = self._node.settings
        own = [
            rows.ConfigItem(hot.name, settings.text(hot.key), settings.datatype(hot.key), CORE) for hot in HOT_KEYS
        ]
        theirs = [
            rows.ConfigItem(key.name, config.shown(key.name), key.kind.label, plugin)
            for plugin, key, config in self._node.plugins.hot()
        ]
        return sorted([*own, *theirs], key=lambda item: item.key)

    def settings(self) -> list[Setting]:
        return in_effect(self._node.settings)

    def extended_configs(self) -> list[rows.ConfigItem]:
        """All settings of the broker itself, with the names of `configs` for hot ones, and the hot settings of running
        plugins. `plugin_configs` has all settings of a plugin."""
        settings, hot = self._node.settings, {one.key: one.name for one in HOT_KEYS}
        found: list[rows.ConfigItem] = []
        for key, name in [(one, name) for one in TABLE for name in names(settings, one)]:
            value = settings.text(name) if not key.secret else MASK if settings[name] else ""
            found.append(rows.ExtendedConfigItem(
                hot.get(name, name), value, settings.datatype(name), CORE, setting=name, desc=key.doc,
                **rows.form(key, name in hot, settings.default(name), settings.source(name))))
        for plugin, key, config in self._node.plugins.hot():
            found.append(rows.ExtendedConfigItem(
                key.name, config.shown(key.name), key.kind.label, plugin, setting=key.name, desc=key.doc,
                **rows.form(key, True, default_of(key), config.source(key.name))))
        return sorted(found, key=lambda item: item.key)

    def configure(self, app: str, name: str, value: str) -> None:
        """Stores a value and puts it in effect. Raises ValueError when it does not fit the key."""
        if app == CORE:
            self._node.change_setting(_hot(name).key, value)
            return
        with _plugin_errors():
            self._node.plugins.change(app, name, value)

    def reset(self, app: str, name: str) -> None:
        """Deletes a value that was set over REST. Raises RequestRefused for a key that cannot be set over REST."""
        if app == CORE:
            self._node.reset_setting(_hot(name).key)
            return
        with _plugin_errors():
            self._node.plugins.take_back(app, name)

    def is_secret(self, app: str, name: str) -> bool:
        """Whether a value may not be shown. True for unknown settings."""
        if app == CORE:
            return find_hot(name) is None
        try:
            key = self._node.plugins.config(app).find(name)
        except (UnknownPlugin, PluginRefused):
            return True
        return key is None or key.secret

    # -- access rules -----------------------------------------------------------------------------

    def reload_acl(self) -> rows.AclRead:
        """Raises RequestRefused where the file cannot be used; the rules from before stay then."""
        try:
            self._node.read_rules_again()
        except ValueError as error:
            raise RequestRefused(f"{self._node.settings.text('acl_file')} {error}") from None
        read = self._node.settings["acl_file"]
        return rows.AclRead("" if read.is_shipped else read.path, len(read.rules))

    # -- log levels -------------------------------------------------------------------------------

    def log_levels(self) -> list[rows.LogLevel]:
        """One row for each component, with whether its level was set."""
        return [rows.LogLevel(one, log_levels.level_of(one), self._node.settings.is_set(log_levels.key_of(one)))
                for one in self._components()]

    def set_log_level(self, component: str, level: str) -> None:
        """`level` as in `log.level`. Raises ValueError for another word."""
        self._node.change_setting(self._level_key(component), level)

    def reset_log_level(self, component: str) -> None:
        """The component logs as `log.level` says again."""
        self._node.reset_setting(self._level_key(component))

    def _components(self) -> list[str]:
        return [*log_levels.COMPONENTS, *(row.name for row in self._node.plugins.rows())]

    def _level_key(self, component: str) -> str:
        if component not in self._components():
            raise Unknown(component)
        return log_levels.key_of(component)

    # -- plugins ----------------------------------------------------------------------------------

    def plugins(self) -> list[PluginRow]:
        """One row for each plugin that is installed, loaded or not."""
        return self._node.plugins.rows()

    def load_plugin(self, name: str) -> None:
        """Raises Unknown, or RequestRefused when it is loaded or cannot be."""
        with _plugin_errors():
            self._node.plugins.load(name)

    def unload_plugin(self, name: str) -> None:
        """Raises Unknown, or RequestRefused when it is not loaded or cannot be unloaded."""
        with _plugin_errors():
            self._node.plugins.unload(name)

    def reload_plugin(self, name: str) -> None:
        """Reads the plugin's settings again and restarts it. Raises Unknown, or RequestRefused when it is not
        loaded."""
        with _plugin_errors():
            self._node.plugins.reload(name)

    def plugin_configs(self, name: str) -> list[rows.PluginSetting]:
        """The settings of a plugin: first those that have been set, then the others."""
        with _plugin_errors():
            config = self._node.plugins.config(name)
        given = [rows.PluginSetting(name, text, key.doc, True) for key, name, text in config.given()]
        return given + [rows.PluginSetting(key.name, "", key.doc, False) for key in config.others()]

    def extended_plugin_configs(self, name: str) -> list[rows.PluginSetting]:
        with _plugin_errors():
            config = self._node.plugins.config(name)
        given = [(key, name, text, True) for key, name, text in config.given()]
        others = [(key, key.name, "", False) for key in config.others()]
        return [
            rows.ExtendedPluginSetting(name, text, key.doc, is_set, shown=config.shown(name),
                                       **rows.form(key, key.hot, default_of(key), config.source(name)))
            for key, name, text, is_set in given + others
        ]

    def configure_plugin(self, name: str, texts: dict[str, Any]) -> None:
        """Replaces the plugin's settings by `texts`, key to text. Raises Unknown and ConfigRefused."""
        with _plugin_errors(ConfigRefused):
            self._node.plugins.configure(name, texts)


def default_of(key: Key) -> str:
    """The default as the API shows it; a key with a user-chosen word may have none."""
    return "" if key.default is None else key.kind.show(key.kind.parse(key.default))


@contextmanager
def _plugin_errors(refusal: type[RequestRefused] = RequestRefused) -> Iterator[None]:
    try:
        yield
    except UnknownPlugin as error:
        raise Unknown(str(error)) from None
    except PluginRefused as error:
        raise refusal(str(error), CODES.get(str(error), UNKNOWN_ERROR)) from None


def _hot(name: str) -> HotKey:
    """Raises RequestRefused for a key that the broker does not have."""
    hot = find_hot(name)
    if hot is None:
        raise RequestRefused("not_found")
    return hot
