"""The pool, the breaker, questions that are under way, and what is remembered, each by itself."""

from __future__ import annotations

from itertools import count

import gevent
import pytest

from emqx_mgmt.plugins.lookup import (
    Breaker,
    ExpiringMap,
    LookupAbandoned,
    Pool,
    PoolExhausted,
    SingleFlight,
    keyed_digest,
)
from emqx_mgmt.plugins.lookup.breaker import FAILURES
from emqx_mgmt.plugins.lookup.rules import rule_of_row
from emqx_mgmt.plugins.lookup.servers import Server, first_reachable, parse_servers
from tests.auth_backends.conftest import client_named


class Lost(Exception):
    """The back-end had ended the connection."""


class Backend:
    """Counts connections: which are open, and how many there were."""

    def __init__(self, size: int = 2, wait: float = 0.05) -> None:
        self.numbers = count(1)
        self.open: set[int] = set()
        self.pool: Pool[int] = Pool(self.connect, self.open.discard, lambda error: isinstance(error, Lost), size, wait)

    def connect(self) -> int:
        number = next(self.numbers)
        self.open.add(number)
        return number

    def answer(self, connection: int) -> int:
        if connection not in self.open:
            raise Lost
        return connection


def test_the_connection_used_last_is_used_first():
    backend = Backend()
    pool = backend.pool
    assert pool.run(lambda first: (first, pool.run(backend.answer))) == (1, 2)
    assert [pool.run(backend.answer) for _ in range(3)] == [1, 1, 1]
    assert pool.in_use == 0


@pytest.mark.parametrize("error", [ValueError(), gevent.Timeout(), KeyboardInterrupt()])
def test_a_connection_is_closed_after_any_exception(error: BaseException):
    """The answer to the next question would be that of the one which was cut off."""
    backend = Backend()

    def fail(_connection: int) -> None:
        raise error

    backend.pool.run(backend.answer)
    with pytest.raises(type(error)):
        backend.pool.run(fail)
    assert (backend.open, backend.pool.in_use) == (set(), 0)
    assert backend.pool.run(backend.answer) == 2


def test_an_idle_connection_that_was_lost_is_replaced_once():
    backend = Backend()
    pool = backend.pool
    pool.run(lambda _one: pool.run(backend.answer))
    backend.open.clear()
    assert pool.run(backend.answer) == 3
    backend.open.clear()
    asked: list[int] = []

    def always_lost(connection: int) -> None:
        asked.append(connection)
        raise Lost

    with pytest.raises(Lost):
        pool.run(always_lost)
    assert asked == [3, 4]
    with pytest.raises(Lost):  # a new connection is not replaced
        pool.run(always_lost)
    assert asked == [3, 4, 5]


def test_waiting_for_a_connection_ends():
    backend = Backend(size=1)
    with pytest.raises(PoolExhausted, match="all 1 connections are in use"):
        backend.pool.run(lambda _one: backend.pool.run(backend.answer))
    assert backend.pool.run(backend.answer) == 2


def test_a_connection_that_was_idle_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch):
    backend = Backend()
    backend.pool.run(backend.answer)
    monkeypatch.setattr("emqx_mgmt.plugins.lookup.pool.FRESH_S", 0.0)
    assert backend.pool.run(backend.answer) == 2
    assert backend.open == {2}


def test_a_closed_pool_keeps_nothing():
    backend = Backend()
    backend.pool.run(lambda one: (backend.pool.close(), backend.answer(one)))
    assert backend.open == set()


def test_the_breaker_opens_after_failures_in_a_row_and_closes_with_an_answer():
    changes: list[bool] = []
    breaker = Breaker(changes.append)
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert not breaker.is_open
    for _ in range(3):
        breaker.failed()
    assert (breaker.is_open, changes) == (True, [True])
    for _ in range(2):
        breaker.succeeded()
    assert (breaker.is_open, changes) == (False, [True, False])


def test_equal_questions_under_way_are_asked_once():
    flights, asked = SingleFlight(), count(1)

    def slow() -> int:
        gevent.sleep(0.01)
        return next(asked)

    greenlets = [gevent.spawn(flights.run, key, slow) for key in "aaabba"]
    gevent.joinall(greenlets)
    assert sorted(greenlet.value for greenlet in greenlets) == [1, 1, 1, 1, 2, 2]
    assert flights.run("a", slow) == 3


def test_an_error_is_everybodys_and_a_cut_off_question_is_told():
    flights = SingleFlight()

    def slow() -> None:
        gevent.sleep(0.01)
        raise ValueError("said the back-end")

    failing = [gevent.spawn(flights.run, "a", slow) for _ in range(3)]
    gevent.joinall(failing)
    assert [str(greenlet.exception) for greenlet in failing] == ["said the back-end"] * 3

    first, second = (gevent.spawn(flights.run, "b", lambda: gevent.sleep(60)) for _ in range(2))
    gevent.sleep(0.01)
    first.kill()
    second.join(5)
    assert isinstance(second.exception, LookupAbandoned)
    assert flights.run("b", lambda: "asked anew") == "asked anew"


def test_what_is_remembered_is_bounded_and_ends():
    known: ExpiringMap[str, int] = ExpiringMap(2)
    for number, key in enumerate("abac"):
        known.put(key, number, 60)
    assert [known.get(key) for key in "abc"] == [2, None, 3]
    known.put("a", 4, 0)
    assert known.get("a") is None
    known.drop("c")
    assert (known.get("c"), len(known)) == (None, 0)


def test_a_digest_keeps_its_parts_apart():
    assert keyed_digest(b"ab", b"c") != keyed_digest(b"a", b"bc")
    assert keyed_digest(b"ab", b"c") == keyed_digest(b"ab", b"c")


@pytest.mark.parametrize(("text", "servers"), [
    ("db", (Server("db", 0),)), ("3306", (Server("127.0.0.1", 3306),)),
    ("db:33, [::1]:34,10.0.0.1", (Server("db", 33), Server("::1", 34), Server("10.0.0.1", 0))),
])
def test_servers(text: str, servers: tuple[Server, ...]):
    assert parse_servers(text) == servers


@pytest.mark.parametrize("text", ["", " , ", "a b", "db:", "db:65536", "65536", "::1", "http://db", "db:1:2"])
def test_servers_that_are_none(text: str):
    with pytest.raises(ValueError, match=r"must name a host|where host or host:port is expected"):
        parse_servers(text)


def test_servers_are_tried_in_their_order():
    tried: list[str] = []

    def connect(server: Server) -> str:
        tried.append(server.host)
        if server.host != "up":
            raise OSError(server.host)
        return server.host

    assert first_reachable(parse_servers("down,up,last"), connect, (OSError,)) == "up"
    assert tried == ["down", "up"]
    with pytest.raises(OSError, match="worst"):
        first_reachable(parse_servers("down,worst"), connect, (OSError,))


ROW = {"allow": 1, "ipaddr": None, "username": None, "clientid": None, "access": 3, "topic": "a/#"}


@pytest.mark.parametrize(("members", "is_about"), [
    ({}, True), ({"username": "joe"}, True), ({"username": "$all"}, True), ({"username": "ann"}, False),
    ({"clientid": "c"}, True), ({"clientid": "d"}, False), ({"username": "joe", "clientid": "d"}, False),
    ({"ipaddr": "127.0.0.1"}, True), ({"ipaddr": "127.0.0.0/8"}, True), ({"ipaddr": "10.0.0.0/8"}, False),
    ({"ipaddr": "127.0.0.1", "username": "$all", "clientid": "c"}, True), ({"ipaddr": "", "username": ""}, True),
    ({"ipaddr": "::1"}, False), ({"access": "2", "allow": "0"}, True), ({"allow": False}, True),
])
def test_the_conditions_of_a_row_all_hold(members: dict[str, object], is_about: bool):
    assert (rule_of_row(ROW | members, 1, client_named("joe")) is not None) is is_about


@pytest.mark.parametrize("members", [{"allow": 2}, {"allow": None}, {"access": 0}, {"access": 4}, {"access": "x"},
                                     {"topic": None}, {"topic": ""}, {"ipaddr": "nowhere"}, {"ipaddr": "1.2.3.4/99"}])
def test_a_row_that_cannot_be_read_is_told(members: dict[str, object]):
    """It might be the one that denies."""
    with pytest.raises(ValueError, match=r"row 7|column"):
        rule_of_row(ROW | members, 7, client_named("joe"))
