"""How much the broker logs, by component, changed while it runs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import LogLevel


class Level(Struct):
    level: Literal["debug", "info", "warning", "error"]


def list_log_levels(cluster: Cluster) -> list[LogLevel]:
    return cluster.local.configuration.log_levels()


def set_log_level(cluster: Cluster, component: str, params: Level) -> Done:
    for node in cluster.running():
        node.configuration.set_log_level(component, params.level)
    return Done()


def reset_log_level(cluster: Cluster, component: str) -> Done:
    for node in cluster.running():
        node.configuration.reset_log_level(component)
    return Done()


ENDPOINTS = (
    Endpoint(
        "list_log_levels",
        "GET",
        "/log/levels",
        "List what each component logs",
        list_log_levels,
        listed=False,
    ),
    Endpoint(
        "set_log_level",
        "PUT",
        "/log/levels/:component",
        "Change what a component logs",
        set_log_level,
        takes=Level,
        listed=False,
    ),
    Endpoint(
        "reset_log_level",
        "DELETE",
        "/log/levels/:component",
        "Take back a change to what a component logs",
        reset_log_level,
        listed=False,
    ),
)
