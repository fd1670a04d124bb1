"""Retained messages (MQTT 5.0, section 3.3.1.3; behaviour, 22.18): the routing core keeps and delivers them."""

from __future__ import annotations

import math

from emqx_mgmt.plugins import Key, Plugin
from emqx_mgmt.settings.kinds import BYTESIZE, EXPIRY, enum, integer
from router_ext.engine.retained_delivery import sweep_retained

SWEEP_S = 0.1
SWEEP_BUDGET = 5000  # messages examined in one sweep


class Retainer(Plugin):
    name = "emqx_retainer"
    description = "EMQ X Retainer"
    decides = ()
    settings = (
        Key("retainer.storage_type", enum("ram", "disc", "disc_only"), "ram",
            "Known for compatibility: where messages are kept is the broker's durability setting."),
        Key("retainer.max_retained_messages", integer(0, 0xFFFFFFFF), "0",
            "The most retained messages; 0 for no limit. A message on a topic that has one replaces it.", hot=True),
        Key("retainer.max_payload_size", BYTESIZE, "1MB", "The largest payload that is retained; 0 for no limit.",
            hot=True),
        Key("retainer.expiry_interval", EXPIRY, "0",
            "How long a message without an expiry interval of its own is kept; 0 for ever.", hot=True),
    )

    def load(self) -> None:
        engine = self.host.broker.engine
        self.apply()
        engine.retained = self.host.services.retained
        self.host.every(SWEEP_S, self.sweep)

    def unload(self) -> None:
        """The retained messages are kept for the next load. Until then they are neither sent nor replaced."""
        self.host.broker.engine.retained = None
        if self.host.services.stopping:
            return
        self.host.log.warning("The retained service is stopped: nothing is retained or sent to new subscribers, and "
                              "MQTT 5 clients that connect are told so. %d messages wait for it to be loaded again.",
                              len(self.host.services.retained))

    def changed(self, key: str) -> None:
        self.apply()

    def apply(self) -> None:
        engine, settings = self.host.broker.engine, self.host.settings
        engine.max_retained = settings["retainer.max_retained_messages"]
        engine.max_retained_payload = settings["retainer.max_payload_size"]
        # MQTT sends whole seconds. A fraction is rounded up, since 0 would mean never.
        engine.retained_expiry = math.ceil(settings["retainer.expiry_interval"])

    def sweep(self) -> None:
        sweep_retained(self.host.broker.engine, SWEEP_BUDGET)
