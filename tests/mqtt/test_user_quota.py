"""Limits of a user name (behaviour, 15): `max_connections_per_user`, `max_subscriptions_per_user` and
`publish_limit_per_user` of zones. Quota exceeded (MQTT 5.0, sections 3.2.2.2 and 3.9.3)."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from emqx_mgmt.modules.user_quota import UserQuota
from tests.broker_process import BrokerProcess
from tests.clients.raw import Raw
from tests.harness import Bench

QUOTA_EXCEEDED = 0x97


class Users(Bench):
    """Two connections a user."""

    def __init__(self) -> None:
        super().__init__()
        UserQuota(self.broker, {"test": 2}).start()
        self.connections: list[Raw] = []

    def connect(self, client_id: str, username: str | None = "jo", code: int = 0, version: int = 5) -> Raw:
        self.connections.append(self.open(version))
        return self.connections[-1].connect(client_id, code=code, username=username)


@pytest.fixture
def users() -> Users:
    return Users()


def test_a_user_has_as_many_connections_as_the_zone_says(users: Users) -> None:
    users.connect("a")
    second = users.connect("b")
    users.connect("c", code=QUOTA_EXCEEDED)
    users.connect("c", version=4, code=3)  # Server unavailable: MQTT 3 has no code for it
    users.connect("c", "other")
    for client_id in "d", "e", "f":
        users.connect(client_id, None)
    second.disconnect()
    users.connect("c2")
    users.connect("d2", code=QUOTA_EXCEEDED)


def test_a_client_takes_its_own_place(users: Users) -> None:
    users.connect("a")
    before = users.connect("b")
    users.connect("b")
    assert before.expect(14).code == 0x8E   # Session taken over
    users.connect("c", code=QUOTA_EXCEEDED)


def test_a_place_goes_with_the_user_who_takes_a_client_id_over(users: Users) -> None:
    users.connect("a")
    users.connect("b")
    users.connect("b", "other")
    users.connect("c")
    users.connect("d", code=QUOTA_EXCEEDED)
    users.connect("e", "other")
    users.connect("f", "other", code=QUOTA_EXCEEDED)


def test_those_that_were_let_in_at_once_are_counted_as_well(users: Users) -> None:
    """Enhanced authentication and decisions that wait come past the question."""
    users.broker.hooks._points["client.authenticate"].clear()
    users.connect("a")
    users.connect("b")
    surplus = users.connect("c")
    assert surplus.expect(14).code == QUOTA_EXCEEDED
    users.connect("d", "other")


# -- subscriptions and messages ---------------------------------------------------------------------------------------


class Sharing(Bench):
    """Zones limit what the sessions of a user use together."""

    def __init__(self, **zone: int) -> None:
        super().__init__(**zone)
        UserQuota(self.broker, {}).start()


def test_the_sessions_of_a_user_have_so_many_subscriptions_together() -> None:
    bench = Sharing(max_subscriptions_per_user=3)
    first, second = (bench.client(client_id, username="jo") for client_id in "ab")
    assert first.subscribe("1", "2") == [0, 0]
    assert second.subscribe("1", "$share/g/2", "3") == [0, QUOTA_EXCEEDED, QUOTA_EXCEEDED]
    assert second.subscribe("1") == [0]     # one that is there may be replaced
    assert bench.client("c", username="other").subscribe("1", "2", "3", "4") == [0, 0, 0, QUOTA_EXCEEDED]
    assert bench.client("d").subscribe("1", "2", "3", "4") == [0, 0, 0, 0]     # nobody's
    assert bench.client("e", username="jo", version=4).subscribe("5") == [0x80]
    first.unsubscribe("2")
    assert second.subscribe("2") == [0]
    bench.gone(second)
    assert first.subscribe("2", "3", "4") == [0, 0, QUOTA_EXCEEDED]


def test_so_it_is_where_handlers_take_part() -> None:
    bench = Sharing(max_subscriptions_per_user=2)
    bench.broker.hooks.add("client.subscribe", lambda codes, _client, _filters: codes)
    first, second = (bench.client(client_id, username="jo") for client_id in "ab")
    assert first.subscribe("1", "1") == [0, 0]
    assert second.subscribe("2", "3") == [0, QUOTA_EXCEEDED]


def test_sessions_of_absent_clients_count_and_go_with_their_user() -> None:
    bench = Sharing(max_subscriptions_per_user=2)
    first = bench.client("a", username="jo", session_expiry=100)
    assert first.subscribe("1", "2") == [0, 0]
    first.disconnect()
    other = bench.client("b", username="jo")
    assert other.subscribe("3") == [QUOTA_EXCEEDED]
    taken_over = bench.client("a", username="moe", clean=False)
    assert taken_over.connack.present
    assert other.subscribe("3", "4") == [0, 0]
    assert bench.client("c", username="moe").subscribe("3") == [QUOTA_EXCEEDED]


def test_the_clients_of_a_user_publish_so_many_messages_together() -> None:
    """What is more waits in the sockets, and nothing is lost."""
    bench = Sharing(publish_limit_per_user_count=5, publish_limit_per_user_period=10_000)
    reader = bench.client("reader")
    reader.subscribe("t")
    for client_id in "ab":
        writer = bench.client(client_id, username="jo")
        writer.send(b"".join(writer.publish_packet("t", client_id.encode()) for _ in range(4)))
        bench.turn()
    assert [reader.message().payload for _ in range(5)] == [b"a"] * 4 + [b"b"]
    reader.silent()
    other = bench.client("c", username="other")
    other.publish("t", b"c")
    assert reader.message().payload == b"c"
    bench.later(11)
    assert [reader.message().payload for _ in range(3)] == [b"b"] * 3
    assert writer.publish("t", b"d", 1) == 0
    assert reader.message().payload == b"d"


def test_a_client_and_its_user_may_both_have_a_rate() -> None:
    bench = Sharing(publish_limit_count=2, publish_limit_period=4_000,
                    publish_limit_per_user_count=3, publish_limit_per_user_period=10_000)
    reader = bench.client("reader")
    reader.subscribe("t")
    writer = bench.client("a", username="jo")
    writer.send(b"".join(writer.publish_packet("t", b"%d" % n) for n in range(6)))
    bench.turn()
    for seconds, numbers in (0, (b"0", b"1")), (5, (b"2",)), (6, (b"3", b"4")), (5, (b"5",)):
        bench.later(seconds)
        assert [reader.message().payload for _ in numbers] == list(numbers)
        reader.silent()


def test_subscriptions_of_a_user_are_counted_after_a_restart(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_SUBSCRIPTIONS_PER_USER": "2"})

    def client(client_id: str) -> Raw:
        sock = socket.create_connection(("127.0.0.1", broker.mqtt_port), 10)
        return Raw(sock).connect(client_id, username="jo", session_expiry=1000)

    first = client("a")
    assert first.subscribe("1", "2", qos=1) == [1, 1]
    first.disconnect()
    broker.stop()
    broker.start()
    second = client("b")
    assert second.subscribe("3") == [QUOTA_EXCEEDED]
    broker.api("DELETE", "sessions/persistent/a")
    assert second.subscribe("3") == [0]
