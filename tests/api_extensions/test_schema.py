"""schemathesis over `/api-spec.json`: nothing is answered that the document does not say.

Statuses, content types and bodies are checked; only the bare style has answers with status 500, and only where the
document says so. What the fuzzer sends it makes from the document, valid and not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.broker_process import APP, BrokerProcess

CONFORMANCE = (status_code_conformance, content_type_conformance, response_schema_conformance)
# Streams of events have no end, or a late one.
ENDLESS = ("/api/v3/events", "/api/v3/trace")

quick = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker of its own: what is fuzzed may not be as it was before."""
    broker = BrokerProcess(Path(tmp_path_factory.mktemp("fuzzed"))).start()
    yield broker
    broker.stop()
    assert "Traceback" not in broker.stderr, broker.stderr


def operations(broker: BrokerProcess, style: str) -> Iterator[Any]:
    described = requests.get(f"{broker.base_url}/api-spec.json?_style={style}", timeout=10).json()
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=broker.base_url)
    for found in schema.exclude(path=list(ENDLESS)).get_all_operations():
        yield found.ok()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("style", "checks"), [("bare", CONFORMANCE), ("envelope", (*CONFORMANCE, not_a_server_error))])
def test_answers_are_as_described(fuzzed: BrokerProcess, style: str, checks: Any) -> None:
    session = requests.Session()

    def answers(case: schemathesis.Case) -> None:
        headers = {"X-API-Style": style}
        case.call_and_validate(auth=APP, headers=headers, checks=checks, timeout=10, session=session)

    for operation in operations(fuzzed, style):
        for mode in GenerationMode:
            quick(given(operation.as_strategy(generation_mode=mode))(answers))()
