"""The Grafana board and the alert rules that are shipped: whatever they ask for is there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.broker_process import CHECKOUT, BrokerProcess, wait_until

BOARD = json.loads((CHECKOUT / "docs" / "grafana.json").read_text())
RULES = CHECKOUT / "deploy" / "alerts.yml"
# Of plugins that are not loaded by the broker of these tests; tests/auth_backends looks for it.
OF_PLUGINS = {"emqx_auth_backend_up"}
# What Prometheus adds to each sample by itself.
ADDED = {"instance", "job"}


def labels_by_name(broker: BrokerProcess) -> dict[str, set[str]]:
    """Names of samples, and the labels that they have."""
    text = requests.get(f"{broker.base_url}/metrics", timeout=10).text
    return {sample.name: set(sample.labels)
            for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.fixture(scope="module")
def served(broker: BrokerProcess) -> dict[str, set[str]]:
    """With a topic that has metrics and a connection that did not end well, or else there are no samples of these."""
    assert broker.api("POST", "topic_metrics/", json={"topic": "board/#"}).json() == "ok"
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as vandal:
        vandal.sendall(b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x00\x00\x00")  # protocol level 9
        wait_until(lambda: "emqx_listener_shutdowns_total" in labels_by_name(broker), 10, "the vandal's end")
    return labels_by_name(broker)


def queries() -> Iterator[Any]:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target, id=f"{panel['title']}-{target['refId']}")


@pytest.mark.parametrize("target", list(queries()))
def test_each_query_names_what_metrics_has(served: dict[str, set[str]], target: dict[str, str]) -> None:
    names = re.findall(r"\b(?:emqx|process)_\w+", target["expr"])
    assert names
    labels = ADDED.union(*(served[name] for name in names))
    wanted = re.findall(r"by \((\w+)\)", target["expr"]) + re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    assert set(wanted) <= labels


def test_variables_are_found(served: dict[str, set[str]]) -> None:
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert re.findall(r"emqx_\w+", variable["query"])[0] in served


def test_each_rule_names_what_metrics_has(served: dict[str, set[str]]) -> None:
    names = set(re.findall(r"\b(?:emqx|process)_\w+", " ".join(re.findall(r"expr: (.+)", RULES.read_text()))))
    assert len(names) > 8
    without_samples = {"emqx_certificate_expiry_timestamp_seconds"}  # as long as no listener has TLS
    assert names - set(served) - OF_PLUGINS - without_samples == set()


def test_each_rule_leads_to_what_to_do() -> None:
    text = RULES.read_text()
    page = (CHECKOUT / "docs" / "monitoring.md").read_text()
    names, pages = re.findall(r"- alert: (\w+)", text), re.findall(r"page: monitoring\.html#(\w+)", text)
    assert len(names) == len(pages) == text.count("summary: ") == text.count("description: ")
    headings = {heading.lower() for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    assert set(pages) <= headings
    assert all(name in page for name in names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    """Each fires for what it is for, and none on a quiet broker."""
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
