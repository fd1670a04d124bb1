"""Reloads changed code of plugins while the broker runs (behaviour, 22.17), for authors of plugins."""

from __future__ import annotations

import time
from pathlib import Path

import gevent

from emqx_mgmt.plugins import Key, Plugin
from emqx_mgmt.plugins.system import PluginRefused
from emqx_mgmt.settings.kinds import DURATION_KIND, PATH


class Reloader(Plugin):
    name = "emqx_reloader"
    description = "EMQ X Reloader Plugin"
    decides = ()
    settings = (
        Key("reloader.interval", DURATION_KIND, "60s", "How often the source files of plugins are looked at."),
        Key("reloader.logfile", PATH, "reloader.log", "Where each reload is noted; empty for the log alone."),
    )

    def load(self) -> None:
        self._logfile = self.host.settings["reloader.logfile"]
        self.host.every(max(self.host.settings["reloader.interval"], 0.1), self.look)

    def look(self) -> None:
        for name in self.host.services.changed_sources():
            # Not in a greenlet of this plugin, because its own code may be what changed.
            gevent.spawn(self.renew, name)

    def renew(self, name: str) -> None:
        try:
            self.host.services.renew(name)
        except PluginRefused as refused:
            self.note(f"{name} changed and stays as it was: {refused}")
        else:
            self.note(f"{name} changed and was loaded again")

    def note(self, sentence: str) -> None:
        self.host.log.info("%s", sentence)
        if self._logfile:
            with Path(self._logfile).open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")
