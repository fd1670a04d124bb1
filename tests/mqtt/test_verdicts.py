"""Verdicts that take their time: order is kept, and nobody else waits.

The hooks sleep on the event loop of the broker in this process, as a hook that asks a database would."""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
import pytest

from emqx_mgmt.broker.auth.client import Unavailable
from router_ext.engine.channel import Channel
from tests.clients.raw import CONNACK, PUBACK, PUBCOMP, PUBREC, SUBACK, Raw, packet_bytes
from tests.harness import ADDRESS, Bench


class Slow:
    """A hook that waits until it is told to go on; `answers` by topic or client id, else yes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = gevent.event.Event()
        self.answers: dict[str, bool] = {}

    def wait(self, subject: str) -> bool:
        self.asked.append(subject)
        self.gate.wait()
        return self.answers.get(subject, True)


def silent_so_far(bench: Bench, *clients: Raw) -> None:
    """Nothing has come to them, however much the broker works."""
    for _ in range(5):
        bench.turn()
        gevent.sleep(0.001)
    for client in clients:
        client.read()
        assert client.inbox == b""


def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until it is true."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_authentication(version: int):
    bench = Bench()
    slow = Slow()
    bench.broker.hooks.add("client.authenticate", lambda client: client.client_id == "quick" or slow.wait("connect"),
                           blocking=True)
    client, reader = bench.open(version), bench.client("quick")
    reader.subscribe("t")
    pipelined = client.publish_packet("t", b"1") + client.publish_packet("t", b"2", 1, pid=1)
    client.send(client.connect_packet("slow") + pipelined)
    silent_so_far(bench, client, reader)
    reader.silent()
    slow.gate.set()
    client.expect(CONNACK, code=0)
    client.expect(PUBACK, pid=1)
    assert [reader.message().payload, reader.message().payload] == [b"1", b"2"]
    assert slow.asked == ["connect"]


def test_subscribe_keeps_its_place():
    """What comes behind a SUBSCRIBE that waits is done behind it."""
    bench = Bench(enable_acl=True)
    slow = Slow()
    bench.broker.hooks.add(
        "client.check_acl", lambda _c, access, topic: slow.wait(topic) if access == 1 else True, blocking=True)
    client, other = bench.client("client"), bench.client("other")
    body = b"\x00\x07\x00\x00\x01t\x01"
    client.send(packet_bytes(0x82, body) + client.publish_packet("t", b"own", 1, pid=9) + b"\xc0\x00")
    silent_so_far(bench, client)
    other.publish("elsewhere", b"", 1)
    slow.gate.set()
    client.expect(SUBACK, pid=7, codes=[1])
    kinds = [client.packet().kind for _ in range(3)]
    assert sorted(kinds) == [3, 4, 13]  # the message, its PUBACK, PINGRESP
    assert slow.asked == ["t"]


@pytest.mark.parametrize("answer", [True, False])
def test_an_acl_check_in_the_middle_of_a_batch(answer: bool):
    """Messages of all three QoS in one write, the one in the middle asked about: order is kept, nobody else waits."""
    bench = Bench(enable_acl=True, enable_acl_cache=True, acl_cache_max_size=10)
    slow = Slow()
    slow.answers["asked"] = answer
    bench.broker.hooks.add(
        "client.check_acl", lambda _c, access, topic: slow.wait(topic) if topic == "asked" else True, blocking=True)
    reader, writer, other = bench.client("reader"), bench.client("writer"), bench.client("other")
    reader.subscribe("#", qos=2)
    other.subscribe("other")
    topics = ["a", "a", "asked", "asked", "b", "asked", "b"]
    batch = b"".join(writer.publish_packet(topic, b"%d" % n, n % 3, pid=100 + n) for n, topic in enumerate(topics))
    # The checks of the others are answered by greenlets too, at once.
    writer.send(batch)
    assert reader.message().payload == b"0"
    assert reader.message().payload == b"1"
    silent_so_far(bench, reader)
    bench.broker.publish("other", b"not held")
    assert other.message().payload == b"not held"
    assert reader.message().payload == b"not held"
    slow.gate.set()
    expected = [n for n, topic in enumerate(topics) if n > 1 and (answer or topic != "asked")]
    assert [reader.message().payload for _ in expected] == [b"%d" % n for n in expected]
    answers = [writer.packet() for _ in range(4)]
    assert [(packet.kind, packet.pid) for packet in answers] == [
        (PUBACK, 101), (PUBREC, 102), (PUBACK, 104), (PUBREC, 105)]
    assert answers[1].code == (0 if answer else 0x87)
    assert slow.asked == ["asked"]  # and then it is remembered


def fails(*_asked: object) -> bool:
    raise OSError("the database is away")


def is_late(*_asked: object) -> bool:
    gevent.sleep(60)
    return True


def cannot(*_asked: object) -> Unavailable:
    return Unavailable("the database is away")


NO_ANSWERS = [(fails, True), (fails, False), (is_late, True), (cannot, True), (cannot, False)]


@pytest.mark.parametrize(("version", "code"), [(3, 3), (4, 3), (5, 0x88)])
@pytest.mark.parametrize(("handler", "blocking"), NO_ANSWERS)
def test_an_authentication_without_an_answer_is_server_unavailable(handler, blocking: bool, version: int, code: int):
    """[MQTT-3.1.4-2], table 3.1 of 3.1.1: the client did nothing wrong and may come again with the same password."""
    bench = Bench()
    bench.broker.verdicts.deadline = 0.05
    bench.broker.hooks.add("client.authenticate", handler, blocking=blocking)
    bench.open(version).connect("client", code=code).closed()
    assert bench.broker.verdicts.late == (handler is is_late)


@pytest.mark.parametrize("asked", ["authentication", "ACL"])
def test_no_answer_ends_the_chain(asked: str):
    """What the next handler would say does not count: it may be one that knows nobody and lets everybody in."""
    bench = Bench(enable_acl=True)
    point = "client.authenticate" if asked == "authentication" else "client.check_acl"
    bench.broker.hooks.add(point, lambda *_asked: True)
    bench.broker.hooks.add(point, cannot)  # the latest is asked first
    if asked == "authentication":
        bench.open().connect("client", code=0x88).closed()
    else:
        assert bench.client("client").publish("t", qos=1) == 0x80


@pytest.mark.parametrize(("handler", "blocking"), NO_ANSWERS)
def test_a_missing_acl_verdict_denies_and_is_not_remembered(handler, blocking: bool):
    """One failed look-up must not deny for as long as verdicts are cached: the next packet is asked about again."""
    bench = Bench(enable_acl=True, enable_acl_cache=True, acl_cache_max_size=10, acl_cache_ttl=60_000,
                  acl_deny_disconnect=True, max_qos_allowed=2)
    bench.broker.verdicts.deadline = 0.05
    client, reader = bench.client("client"), bench.client("reader")
    reader.subscribe("#")
    bench.broker.hooks.add("client.check_acl", handler, blocking=blocking)
    assert client.publish("t", b"no", 1) == 0x80
    client.send_publish("t", b"no")
    assert client.publish("t", b"no", 2) == 0x80
    assert client.subscribe("t") == [0x80]
    assert bench.engine.metrics.extended()["acl/unavailable"] == 4
    assert bench.engine.metrics.extended()["dropped/acl_denied"] == 0
    bench.broker.hooks.remove("client.check_acl", handler)
    bench.broker.hooks.add("client.check_acl", lambda *_asked: True, blocking=blocking)
    assert client.publish("t", b"yes", 1) == 0
    assert client.subscribe("t") == [0]
    assert reader.message().payload == b"yes"


@pytest.mark.parametrize(("version", "code"), [(4, 3), (5, 0x88)])
@pytest.mark.parametrize(("handler", "blocking"), NO_ANSWERS)
def test_a_will_that_nobody_can_decide_about_is_server_unavailable(handler, blocking: bool, version: int, code: int):
    bench = Bench(enable_acl=True)
    bench.broker.verdicts.deadline = 0.05
    bench.broker.hooks.add("client.check_acl", handler, blocking=blocking)
    bench.open(version).connect("client", will=("t", b"", 0, False), code=code).closed()


def test_a_client_that_leaves_while_it_is_decided():
    bench = Bench()
    slow = Slow()
    bench.broker.hooks.add("client.authenticate", lambda _client: slow.wait("connect"), blocking=True)
    client = bench.open()
    client.send(client.connect_packet("client"))
    bench.turn()
    client.drop()
    bench.turn()
    slow.gate.set()
    silent_so_far(bench)
    assert not bench.broker.sessions
    assert bench.broker.online == 0


def over_tcp(bench: Bench) -> Raw:
    """As `Bench.open`, over TCP, where the end of one half looks like the end of both."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs = server.accept()[0]
    theirs.setblocking(False)
    Channel(bench.engine, bench.zone, theirs.detach(), ADDRESS, bench.door, bench.reactor.fileno())
    return Raw(ours, 5, bench.turn)


def one_at_a_time() -> tuple[Bench, Slow, Raw]:
    """A bench whose one place for decisions is taken by the client `first` until the gate opens."""
    bench, slow = Bench(), Slow()
    bench.broker.verdicts.limit = 1
    bench.broker.hooks.add("client.authenticate", lambda client: slow.wait(client.client_id), blocking=True)
    first = bench.open()
    first.send(first.connect_packet("first"))
    bench.turn()
    return bench, slow, first


def test_a_client_that_has_hung_up_is_not_asked_about():
    """It comes again, and in a storm of reconnects there would be no end of those that are gone."""
    bench, slow, _first = one_at_a_time()
    gone, half, last = over_tcp(bench), over_tcp(bench), over_tcp(bench)
    gone.send(gone.connect_packet("gone"))
    half.send(half.connect_packet("half") + half.publish_packet("t", b"1", 1, pid=7) + b"\xe0\x00")
    last.send(last.connect_packet("last"))
    bench.turn()
    gone.drop()
    half.sock.shutdown(socket.SHUT_WR)  # it has said all it has to say, and waits for the answers
    silent_so_far(bench, last)
    slow.gate.set()
    last.expect(CONNACK, code=0)
    half.expect(CONNACK, code=0)
    half.expect(PUBACK, pid=7)
    assert slow.asked == ["first", "last", "half"]
    until(lambda: sorted(bench.door.ended) == ["closed", "normal"])


def test_clients_that_hang_up_together_are_closed_in_pieces():
    """Thousands do when their patience ends; others are served in between."""
    bench, slow, _first = one_at_a_time()
    waiting = [over_tcp(bench) for _ in range(100)]
    for number, client in enumerate(waiting):
        client.send(client.connect_packet(f"waits{number}"))
    bench.turn()
    for client in waiting:
        client.drop()
    bench.broker.verdicts.shed()
    gevent.sleep(0)  # one round of the loop
    assert 0 < len(bench.door.ended) < 50
    until(lambda: len(bench.door.ended) == 100)
    assert slow.asked == ["first"]


@pytest.mark.parametrize(("version", "code"), [(3, 3), (4, 3), (5, 0x89)])
def test_where_too_many_wait_connect_is_refused_at_once(version: int, code: int):
    bench, slow, first = one_at_a_time()
    bench.broker.verdicts.room = 2
    waiting = [bench.open(version) for _ in range(2)]
    for number, client in enumerate(waiting):
        client.send(client.connect_packet(f"waits{number}"))
    bench.turn()
    bench.open(version).connect("too many", code=code).closed()
    bench.gone(waiting[0])  # makes room
    later = bench.open(version)
    later.send(later.connect_packet("later"))
    silent_so_far(bench, waiting[1], later)
    slow.gate.set()
    for client in (first, waiting[1], later):
        client.expect(CONNACK, code=0)
    assert slow.asked == ["first", "later", "waits1"]  # the last will stay for longest


@pytest.mark.parametrize(("version", "code"), [(4, 3), (5, 0x89)])
def test_a_connect_that_waited_too_long_is_not_asked_about(version: int, code: int):
    bench, slow, _first = one_at_a_time()
    bench.broker.verdicts.patience = 0.05
    client = bench.open(version)
    client.send(client.connect_packet("client"))
    silent_so_far(bench, client)
    gevent.sleep(0.05)
    bench.later(0.1)
    client.expect(CONNACK, code=code)
    client.closed()
    assert slow.asked == ["first"]


def test_a_connected_client_waits_for_its_verdict_however_many_do():
    """It has one question at a time, so that their number needs no bound; its PUBLISH would be lost."""
    bench = Bench(enable_acl=True)
    client = bench.client("client")
    bench.broker.verdicts.limit, bench.broker.verdicts.room, bench.broker.verdicts.patience = 1, 0, 0
    slow = Slow()
    bench.broker.hooks.add("client.check_acl", lambda _client, _access, topic: slow.wait(topic), blocking=True)
    other = bench.client("other")
    other.send_publish("first", b"", 1, pid=1)
    bench.turn()
    client.send_publish("t", b"", 1, pid=1)
    bench.broker.hooks.add("client.authenticate", lambda client: slow.wait(client.client_id), blocking=True)
    bench.later(0.5)
    silent_so_far(bench, client)
    bench.broker.verdicts.room = bench.broker.verdicts.patience = 10
    late = bench.open()
    late.send(late.connect_packet("late"))
    silent_so_far(bench, late)
    slow.gate.set()
    client.expect(PUBACK, pid=1)
    late.expect(CONNACK, code=0)
    assert slow.asked == ["first", "t", "late"]  # before those that are not in yet


def test_pubrel_behind_a_held_publish():
    """[MQTT-4.6.0-3] A QoS 2 exchange goes on in order once the hold is lifted."""
    bench = Bench(enable_acl=True)
    slow = Slow()
    bench.broker.hooks.add("client.check_acl", lambda _c, _a, topic: slow.wait(topic), blocking=True)
    client = bench.client("client")
    client.send(client.publish_packet("t", b"", 2, pid=3) + b"\x62\x02\x00\x03")
    silent_so_far(bench, client)
    slow.gate.set()
    client.expect(PUBREC, pid=3)
    client.expect(PUBCOMP, pid=3, code=0)
