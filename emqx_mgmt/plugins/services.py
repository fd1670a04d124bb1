"""The services of the broker that the hosts of all plugins share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.telemetry.alarms import Alarms
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.plugins.faults import Faults
    from emqx_mgmt.settings.place import Place
    from emqx_mgmt.storage import Store
    from router_ext.message.retained_store import RetainedStore


@dataclass(slots=True)
class Services:
    """`listeners` is the node's list. Deadlines are in seconds. The plugin system makes the members from `faults` on;
    `stopping` is true while plugins are unloaded because the broker stops."""

    broker: Broker
    store: Store
    retained: RetainedStore
    listeners: list[Listener]
    etc_dir: Path
    place: Place
    hook_deadline: float
    alarms: Alarms
    faults: Callable[[], dict[str, Faults]]
    changed_sources: Callable[[], list[str]]
    renew: Callable[[str], None]
    stopping: bool = False
