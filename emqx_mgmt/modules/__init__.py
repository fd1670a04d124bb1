"""The modules presence, subscription and rewrite (EMQ X 3, "Modules"), which the settings `module.…` turn on, and the
quota of users, which a setting of zones turns on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from emqx_mgmt.modules.presence import Presence
from emqx_mgmt.modules.rewrite import Rewrite
from emqx_mgmt.modules.subscription import AutoSubscribe
from emqx_mgmt.modules.user_quota import UserQuota
from emqx_mgmt.settings.table import SHIPPED

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.telemetry.sys_topics import SysTopics
    from emqx_mgmt.settings import Settings


class Module(Protocol):
    """A part of the broker that settings turn on, for as long as it runs."""

    def start(self) -> None:
        """Adds its handlers."""


def modules_of(settings: Settings, broker: Broker, sys_topics: SysTopics) -> list[Module]:
    """The modules that the settings turn on."""
    modules: list[Module] = []
    if settings["module.presence"]:
        modules.append(Presence(broker, sys_topics, settings["module.presence.qos"]))
    if settings["module.subscription"]:
        numbers = sorted(settings.words("module.subscription", ()), key=in_order)
        rows = [(settings[f"module.subscription.{n}.topic"], settings[f"module.subscription.{n}.qos"]) for n in numbers]
        modules.append(AutoSubscribe(broker, [(topic, qos) for topic, qos in rows if topic]))
    if settings["module.rewrite"]:
        numbers = sorted(settings.words("module.rewrite.rule", ()), key=in_order)
        modules.append(Rewrite(broker, [settings[f"module.rewrite.rule.{number}"] for number in numbers]))
    zones = [settings.zone(name) for name in settings.words("zone", SHIPPED)]
    if any(zone.max_connections_per_user or zone.max_subscriptions_per_user or zone.publish_limit_per_user
           for zone in zones):
        modules.append(UserQuota(broker, {zone.name: zone.max_connections_per_user for zone in zones}))
    return modules


def in_order(word: str) -> tuple[int, str]:
    """Sorts 1, 2, 10 as numbers, and words behind them."""
    return (int(word), "") if word.isdigit() else (1 << 30, word)


__all__ = ["Module", "modules_of"]
