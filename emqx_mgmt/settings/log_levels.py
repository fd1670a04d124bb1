"""Log levels of components: `log.level`, or `log.level.<component>` where that is set."""

from __future__ import annotations

import logging

from emqx_mgmt.settings.load import Settings

PACKAGE = "emqx_mgmt"
PLUGINS = "plugins"
COMPONENTS = ("api", "broker", "listeners", "modules", "monitor", "node", PLUGINS, "server", "storage")


def key_of(component: str) -> str:
    """The setting of a component."""
    return f"log.level.{component}"


def apply(settings: Settings) -> None:
    """Sets the levels of all loggers. Each plugin is a component; without a level of its own, it has that of
    `plugins`."""
    logging.getLogger().setLevel(settings["log.level"].upper())
    for component in COMPONENTS:
        _logger(component).setLevel(settings[key_of(component)].upper())
    for plugin in {*_plugin_loggers(), *settings.words("log.level", ())} - {*COMPONENTS}:
        key = key_of(plugin)
        _logger(PLUGINS, plugin).setLevel(settings[key].upper() if settings.is_set(key) else logging.NOTSET)


def level_of(component: str) -> str:
    """The lowest level that the component logs."""
    logger = _logger(component) if component in COMPONENTS else _logger(PLUGINS, component)
    return logging.getLevelName(logger.getEffectiveLevel()).lower()


def _plugin_loggers() -> list[str]:
    below = f"{PACKAGE}.{PLUGINS}."
    return [name.removeprefix(below) for name in list(logging.root.manager.loggerDict) if name.startswith(below)]


def _logger(*names: str) -> logging.Logger:
    return logging.getLogger(".".join((PACKAGE, *names)))
