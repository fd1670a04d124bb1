"""The rule engine of v3.1, which this broker does not have: there are no rules and no resources to list.

EMQ X's dashboard 3.2 requests both.
"""

from __future__ import annotations

from typing import Any

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.manage import Cluster


def list_none(_cluster: Cluster) -> list[dict[str, Any]]:
    return []


ENDPOINTS = (
    Endpoint("list_rules", "GET", "/rules/", "A list of rules: always empty, there is no rule engine", list_none,
             listed=False),
    Endpoint("list_resources", "GET", "/resources/", "A list of resources of rules: always empty", list_none,
             listed=False),
)
