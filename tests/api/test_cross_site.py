"""A page of another site changes nothing with the credentials that a browser remembers for this one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from tests.broker_process import BrokerProcess

ADMIN = ("admin", "public")
ALLOWED = "https://console.example.org"
# A form of a page: <form enctype="text/plain"> with one input, whose name is most of the JSON.
FORM = '{"username":"evil","password":"evil","tags":"="}\r\n'


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that lets in the scripts of one other site."""
    broker = BrokerProcess(tmp_path_factory.mktemp("listed"), {"EMQX_MANAGEMENT__CORS_ORIGINS": ALLOWED}).start()
    yield broker
    assert broker.stop() == 0


def post(broker: BrokerProcess, headers: dict[str, str], path: str = "/api/v3/users/") -> requests.Response:
    """The form sent as a browser does, over the dashboard's port."""
    sent = {"Content-Type": "text/plain"} | headers
    return requests.post(f"http://127.0.0.1:{broker.dash_port}{path}", FORM, auth=ADMIN, headers=sent, timeout=10)


def users(broker: BrokerProcess) -> list[str]:
    return [row["username"] for row in broker.api("GET", "users").json()]


@pytest.mark.parametrize("headers", [
    {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    {"Origin": "https://example.org"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://{own}.example.org"},
    {"Origin": "http://{own}@example.org"},
    {"Origin": "http://{own}/x"},
    {"Origin": "file://{own}"},
    {"Origin": "http://[{own}"},
    {"Origin": ""},
    {"Origin": "http://{own}, https://example.org"},
    {"Origin": "https://example.org", "X-Forwarded-Host": "example.org"},
], ids=str)
def test_a_form_of_another_site_is_refused(broker: BrokerProcess, headers: dict[str, str]) -> None:
    own = f"127.0.0.1:{broker.dash_port}"
    answer = post(broker, {name: value.replace("{own}", own) for name, value in headers.items()})
    assert (answer.status_code, answer.text[:22]) == (403, "A page of another site")
    assert own in answer.text
    assert users(broker) == ["admin"]


def test_every_method_that_changes_something_is(broker: BrokerProcess) -> None:
    headers = {"Origin": "https://example.org"}
    for method, path in (("PUT", "configs/emqx"), ("DELETE", "apps/tester"), ("POST", "auth"), ("PATCH", "x")):
        assert broker.api(method, path, headers=headers, json={}).status_code == 403
    for method, path in (("GET", "brokers"), ("HEAD", "x"), ("OPTIONS", "brokers")):
        assert broker.api(method, path, headers=headers).status_code != 403
    assert broker.api("GET", "brokers").status_code == 200


@pytest.mark.parametrize("headers", [
    {},
    {"Origin": "http://{own}"},
    {"Origin": "https://{own}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://{own}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://as-the-browser-sees-it.example.org"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Sec-Fetch-Site": "none"},
    {"Host": "Broker.example.org", "Origin": "https://broker.example.org"},
    {"Host": "broker.example.org:443", "Origin": "https://broker.example.org"},
], ids=str)
def test_scripts_and_pages_of_this_server_go_on(broker: BrokerProcess, headers: dict[str, str]) -> None:
    """A proxy may have taken TLS away, or changed the Host where the browser says that the page is the server's."""
    own = f"127.0.0.1:{broker.dash_port}"
    sent = {name: value.replace("{own}", own) for name, value in headers.items()}
    auth = ("page", "page")  # for the first password some of these would not count as this machine
    broker.api("POST", "users", json={"username": auth[0], "password": auth[1]})
    url, body = f"http://{own}/api/v3/users/page", json.dumps({"tags": "x"})
    answer = requests.put(url, body, auth=auth, headers=sent, timeout=10)
    assert (answer.status_code, answer.json()) == (200, "ok")
    broker.api("DELETE", "users/page")


def test_pages_that_are_listed_may(listed: BrokerProcess) -> None:
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert post(listed, cross | {"Origin": "https://example.org"}).status_code == 403
    assert post(listed, cross).status_code == 403
    answer = listed.api("POST", "mqtt/publish", json={"topic": "t"}, headers=cross | {"Origin": ALLOWED})
    assert (answer.status_code, answer.json()) == (200, {"code": 0})
