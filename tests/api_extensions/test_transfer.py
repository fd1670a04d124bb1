"""Entity tags and gzip (RFC 9110, sections 8.8.3, 12.5.3 and 13.1.2)."""

from __future__ import annotations

import gzip

import requests

from tests.broker_process import APP, BrokerProcess


def get(broker: BrokerProcess, path: str, headers: dict[str, str]) -> tuple[requests.Response, bytes]:
    """The answer, and its body as it came."""
    answer = requests.get(f"{broker.base_url}{path}", headers=headers, auth=APP, timeout=10, stream=True)
    return answer, answer.raw.read(decode_content=False)


def test_what_did_not_change_is_not_sent_again(broker: BrokerProcess) -> None:
    first, _ = get(broker, "/api/v3/apps", {"Accept-Encoding": "identity"})
    again, body = get(broker, "/api/v3/apps", {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_what_changed_is(broker: BrokerProcess) -> None:
    tag = get(broker, "/api/v3/banned", {})[0].headers["ETag"]
    broker.api("POST", "banned", json={"who": "somebody", "as": "username"})
    assert get(broker, "/api/v3/banned", {"If-None-Match": tag})[0].status_code == 200
    broker.api("DELETE", "banned/somebody?as=username")
    assert get(broker, "/api/v3/banned", {"If-None-Match": tag})[0].status_code == 304


def test_gzip_for_whoever_takes_it(broker: BrokerProcess) -> None:
    plain, body = get(broker, "/api/v3/", {"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    packed, packed_body = get(broker, "/api/v3/", {"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed_body) < len(body)
    assert gzip.decompress(packed_body) == body
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert "Content-Encoding" not in get(broker, "/api/v3/", {"Accept-Encoding": "gzip;q=0"})[0].headers


def test_small_answers_stay_as_they_are(broker: BrokerProcess) -> None:
    answer, body = get(broker, "/health/live", {"Accept-Encoding": "gzip"})
    assert ("Content-Encoding" in answer.headers, body) == (False, b"ok\n")
