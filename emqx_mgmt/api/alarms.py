"""Alarms that stand now."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint

ENDPOINTS = (
    Endpoint("list_node_alarms", "GET", "/alarms/:node", "List alarms of a node", None),
    Endpoint("list_all_alarms", "GET", "/alarms/", "List all alarms", None),
)
