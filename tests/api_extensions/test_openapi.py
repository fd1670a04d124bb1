"""The OpenAPI document, held against the index and against answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.api.reference import INDEX
from tests.broker_process import BrokerProcess


def spec(broker: BrokerProcess, style: str = "bare") -> dict[str, Any]:
    answer = requests.get(f"{broker.base_url}/api-spec.json?_style={style}", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    document: dict[str, Any] = answer.json()
    return document


def test_everything_in_the_index_is_described(broker: BrokerProcess) -> None:
    paths = spec(broker)["paths"]
    for entry in INDEX:
        path = "/api/v3/" + re.sub(r":(\w+)", r"{\1}", entry["path"].strip("/"))
        assert entry["method"].lower() in paths[path], path


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, item in document["paths"].items() for method, one in item.items()]


def test_operations_are_well_formed(broker: BrokerProcess) -> None:
    document = spec(broker)
    assert document["openapi"] == "3.1.0"
    found = operations(document)
    assert len({one["operationId"] for _, _, one in found}) == len(found)
    for path, _, one in found:
        in_path = [parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert all(answer["description"] for answer in one["responses"].values())


def test_every_reference_is_there(broker: BrokerProcess) -> None:
    text = requests.get(f"{broker.base_url}/api-spec.json", timeout=10).text
    there = spec(broker)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(there)


@pytest.mark.parametrize("style", ["bare", "envelope"])
@pytest.mark.parametrize(
    "path", ["connections", "sessions", "brokers", "nodes", "listeners", "apps", "banned", "retained", "routes"]
)
def test_members_are_as_described(broker: BrokerProcess, style: str, path: str) -> None:
    document = spec(broker, style)
    schema = document["paths"][f"/api/v3/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    shape = schema["anyOf"][0] if style == "envelope" else schema
    answer = broker.api("GET", f"{path}?_style={style}").json()
    if shape["type"] == "array":
        assert isinstance(answer, list)
    else:
        assert set(answer) == set(shape["properties"])
