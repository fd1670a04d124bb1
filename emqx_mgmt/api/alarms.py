"""Alarms that are present, and alarms that were cleared."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import AlarmRow, ClearedAlarm, PresentAlarm


class NodeAlarms(Struct):
    alarms: list[AlarmRow]
    node: str


class NodePresent(Struct):
    alarms: list[PresentAlarm]
    node: str


class NodeHistory(Struct):
    alarms: list[ClearedAlarm]
    node: str


def list_all_alarms(cluster: Cluster) -> list[NodeAlarms]:
    return [NodeAlarms(node.alarms(), node.name) for node in cluster.running()]


def list_node_alarms(cluster: Cluster, node: str) -> list[AlarmRow]:
    return cluster.named(node).alarms()


def list_all_present(cluster: Cluster) -> list[NodePresent]:
    return [NodePresent(node.present_alarms(extended()), node.name) for node in cluster.running()]


def list_node_present(cluster: Cluster, node: str) -> list[PresentAlarm]:
    return cluster.named(node).present_alarms(extended())


def list_all_history(cluster: Cluster) -> list[NodeHistory]:
    return [NodeHistory(node.alarm_history(extended()), node.name) for node in cluster.running()]


def list_node_history(cluster: Cluster, node: str) -> list[ClearedAlarm]:
    return cluster.named(node).alarm_history(extended())


ENDPOINTS = (
    Endpoint("list_node_alarms", "GET", "/alarms/:node", "List alarms of a node", list_node_alarms),
    Endpoint("list_all_alarms", "GET", "/alarms/", "List all alarms", list_all_alarms),
    Endpoint("list_present", "GET", "/alarms/present", "List all alarms that stand", list_all_present, listed=False),
    Endpoint(
        "list_node_present",
        "GET",
        "/alarms/present/:node",
        "List alarms of a node that stand",
        list_node_present,
        listed=False,
    ),
    Endpoint(
        "list_history",
        "GET",
        "/alarms/history",
        "List all alarms that were cleared",
        list_all_history,
        listed=False,
    ),
    Endpoint(
        "list_node_history",
        "GET",
        "/alarms/history/:node",
        "List alarms of a node that were cleared",
        list_node_history,
        listed=False,
    ),
)
