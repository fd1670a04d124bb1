"""The dashboard as a plugin: while it is loaded, its page and log-ins are served (`emqx_mgmt.dashboard`). The API on
its port does not depend on it."""

from __future__ import annotations

from emqx_mgmt.plugins import Plugin


class Dashboard(Plugin):
    name = "emqx_dashboard"
    description = "EMQ X Web Dashboard"
    decides = ()

    def load(self) -> None:
        self.host.store.logins.are_offered = True

    def unload(self) -> None:
        if not self.host.services.stopping:
            self.host.store.logins.are_offered = False
            self.host.store.logins.end_all()
