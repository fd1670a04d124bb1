"""The watermarks that the monitor compares with, and their settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from emqx_mgmt.monitor.growth import Growth
from emqx_mgmt.monitor.lag import HubLag
from emqx_mgmt.monitor.monitor import Watermark
from emqx_mgmt.monitor.recent import Recent
from emqx_mgmt.settings import Settings

REMOVED_ALARM = "messages_removed"


def watermarks(
    settings: Settings, lag: HubLag, connections: Callable[[], int], most_connections: Callable[[], int],
    removed: Callable[[], int], failed_logins: Recent,
) -> list[Watermark]:
    """`connections()` counts open connections, of which there can be `most_connections()`; `removed()` counts messages
    that were removed before their subscriber got them."""
    process = psutil.Process()
    data_dir = Path(settings["node.data_dir"])

    def share_of_connections() -> float:
        return 100 * connections() / max(most_connections(), 1)

    def disk_used() -> float:
        return float(psutil.disk_usage(str(data_dir)).percent)

    measured: list[tuple[str, str, str, str, Callable[[], float], str]] = [
        ("cpu_high_watermark", "warning", "CPU usage", "%", psutil.cpu_percent, "cpu"),
        ("system_memory_high_watermark", "warning", "system memory usage", "%", _system_memory, "sysmem"),
        ("process_memory_high_watermark", "warning", "memory usage of the broker", "%", process.memory_percent,
         "procmem"),
        ("too_many_connections", "error", "share of the connection limit in use", "%", share_of_connections,
         "connections"),
        ("hub_lag_high_watermark", "warning", "delay of the event loop", " ms", lag.worst, "hub_lag"),
        ("disk_high_watermark", "critical", "disk usage of the data directory", "%", disk_used, "disk"),
        ("failed_logins", "warning", "the number of failed log-ins to the API within a minute", "",
         failed_logins.within_a_minute, "failed_logins"),
    ]  # fmt: skip
    return [
        Watermark(
            alarm_id,
            severity,
            title,
            unit,
            measure,
            settings[f"monitor.{name}_high_watermark"],
            settings[f"monitor.{name}_low_watermark"],
        )
        for alarm_id, severity, title, unit, measure, name in measured
    ] + [Watermark(REMOVED_ALARM, "warning", "the number of messages that limits, expiry or administrators removed",
                   " since the last look", Growth(removed), high=0, low=1)]


def _system_memory() -> float:
    return float(psutil.virtual_memory().percent)
