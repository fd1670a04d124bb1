"""Plugins: parts of the broker that are loaded and unloaded while it runs. `docs/plugins.md` shows how to write one."""

from emqx_mgmt.broker.auth.client import Grant, Unavailable
from emqx_mgmt.broker.refused import PacketRefused
from emqx_mgmt.plugins.plugin import Figure, Plugin, Refused, Route
from emqx_mgmt.plugins.system import PluginRefused, PluginRow, Plugins, UnknownPlugin
from emqx_mgmt.settings.key import Key

__all__ = [
    "Figure", "Grant", "Key", "PacketRefused", "Plugin", "PluginRefused", "PluginRow", "Plugins", "Refused", "Route",
    "Unavailable", "UnknownPlugin",
]
