"""`?_fields=extended` adds members; without it answers have exactly the documented ones."""

from __future__ import annotations

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.raw import PUBLISH, Raw

CONNECTION = {
    "mailbox_len", "heap_size", "reductions", "recv_pkt", "recv_msg", "send_pkt", "send_msg", "recv_oct", "recv_cnt",
    "send_oct", "send_cnt", "send_pend", "is_slow", "is_held",
    "connected_at_ts",
}  # fmt: skip
SESSION = {"mqueue_bytes", "publishers_waiting", "send_pend", "is_slow", "connected", "created_at_ts"}
METRICS = {
    "dropped/queue_full", "dropped/slow_subscriber", "dropped/too_large", "dropped/qos0_offline", "dropped/expired",
    "dropped/acl_denied", "acl/unavailable", "publishers/paused",
}  # fmt: skip
STATS = {"connections/blocked/count", "connections/slow/count", "publishers/paused/count", "outboxes/bytes",
         "delayed/count", "delayed/bytes", "queued/count", "inflight/count", "descriptors/open", "disk/free",
         "disk/used", "disk/total"}
NODE = "nodes/emqx@127.0.0.1"


def added(broker: BrokerProcess, path: str, key: str | None = None) -> set[str]:
    """The members that the parameter adds; all others stay, in their order."""

    def row(query: str) -> list[str]:
        answer = broker.api("GET", path + query).json()
        answer = answer[0] if isinstance(answer, list) else answer.get("items", [answer])[0]
        return list(answer[key] if key else answer)

    documented, extended = row(""), row("?_fields=extended")
    assert row("?_fields=documented") == documented
    assert extended[: len(documented)] == documented
    return set(extended[len(documented) :])


def test_metrics_and_stats(broker: BrokerProcess) -> None:
    assert METRICS <= added(broker, f"{NODE}/metrics/") == added(broker, "metrics/", "metrics")
    assert added(broker, f"{NODE}/stats/") == added(broker, "stats/") == STATS
    dotted = broker.api("GET", "metrics/?_fields=extended&_names=dots").json()[0]["metrics"]
    assert "dropped.slow_subscriber" in dotted


@pytest.mark.parametrize(("resource", "members"), [("connections", CONNECTION), ("sessions", SESSION)])
def test_rows(broker: BrokerProcess, resource: str, members: set[str]) -> None:
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("x-extended")
        for prefix in ("", f"{NODE}/"):
            for path in (f"{prefix}{resource}/", f"{prefix}{resource}/x-extended"):
                assert added(broker, path) == members


def test_the_numbers_of_a_connection_are_those_of_its_packets(broker: BrokerProcess) -> None:
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("x-numbers")
        client.subscribe("x/extended")
        client.send_publish("x/extended", b"12345")
        client.expect(PUBLISH)
        client.ping()
        (row,) = broker.api("GET", "connections/x-numbers?_fields=extended").json()
    assert (row["recv_pkt"], row["recv_msg"], row["send_pkt"], row["send_msg"]) == (4, 1, 4, 1)
    assert row["send_oct"] == 4 + 5 + (2 + 2 + 10 + 5) + 2
    assert row["recv_oct"] == (2 + 10 + 2 + 9) + (2 + 2 + 2 + 10 + 1) + (2 + 2 + 10 + 5) + 2
    assert (row["recv_cnt"], row["send_cnt"]) == (4, 4)
    assert (row["send_pend"], row["is_slow"], row["is_held"]) == (0, False, False)


def test_another_word_is_refused(broker: BrokerProcess) -> None:
    answer = broker.api("GET", "metrics/?_fields=all")
    assert answer.status_code == 422
    assert "_fields" in answer.text
