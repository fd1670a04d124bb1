"""Requests that several files of tests make."""

from __future__ import annotations

from typing import Any

from tests.broker_process import BrokerProcess

NODE = "emqx@127.0.0.1"


def count(broker: BrokerProcess, kind: str) -> int:
    return int(broker.api("GET", f"{kind}?_limit=1").json()["meta"]["count"])


def publish(broker: BrokerProcess, **body: Any) -> dict[str, Any]:
    answer = broker.api("POST", "mqtt/publish", json=body)
    assert answer.status_code == 200
    return dict(answer.json())
