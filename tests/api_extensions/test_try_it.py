"""The page to try the API on: for whoever may log in, from this server alone."""

from __future__ import annotations

import re

import pytest
import requests

from tests.broker_process import APP, BrokerProcess


def get(broker: BrokerProcess, path: str, **kw: object) -> requests.Response:
    return requests.get(broker.base_url + path, timeout=10, **kw)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/api-docs", "/api-docs/", "/api-docs/start.js", "/api-docs/swagger-ui-bundle.js"])
def test_nobody_sees_it_without_credentials(broker: BrokerProcess, path: str) -> None:
    answer = get(broker, path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert get(broker, path, auth=APP).status_code == 200


def test_all_that_the_page_loads_comes_from_here(broker: BrokerProcess) -> None:
    page = get(broker, "/api-docs/", auth=APP)
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        assert get(broker, f"/{path}", auth=APP).status_code == 200
    assert not re.search(r"<script>|<style>", page.text)


def test_nothing_else_is_served_beside_it(broker: BrokerProcess) -> None:
    for path in ("/api-docs/index.html", "/api-docs/..%2F__init__.py", "/api-docs/swagger-ui.js", "/api-docs/x/y"):
        assert get(broker, path, auth=APP).status_code == 404
