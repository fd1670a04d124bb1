"""Long answers let the loop turn: between two pieces, sockets that are ready are served."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from emqx_mgmt.broker import Broker
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.manage import listing
from emqx_mgmt.manage.clients import Clients
from emqx_mgmt.manage.listing import TURN_ROWS, Paging, Sort, in_turns
from router_ext.session.session import Session
from router_ext.session.zone import Zone


def test_a_ready_socket_is_served_before_the_next_round() -> None:
    ours, theirs = socket.socketpair()
    seen: list[bytes] = []
    reader = gevent.spawn(lambda: [seen.append(ours.recv(1)) for _ in range(3)])
    gevent.sleep(0)
    for count in range(1, 4):
        theirs.send(b"x")
        yield_to_loop()
        yield_to_loop()  # the reader was woken in the first
        assert len(seen) == count
    reader.join()
    ours.close()
    theirs.close()


def test_walking_a_long_table_is_cut_into_rounds() -> None:
    ours, theirs = socket.socketpair()
    reader = gevent.spawn(ours.recv, 1)
    gevent.sleep(0)
    theirs.send(b"x")
    served = [reader.dead for _ in in_turns(range(TURN_ROWS * 4))]
    assert not served[0]
    assert served[-1]
    ours.close()
    theirs.close()


def test_a_turn_of_a_list_of_subscriptions_is_so_many_rows(monkeypatch: pytest.MonkeyPatch):
    """Of clients with many subscriptions too: a turn was once as many clients, with all that they have."""
    broker, zone = Broker(), Zone("turns")
    for number in range(10):
        session = Session(f"client{number}", zone, clean_start=False, created_at=0.0)
        broker.engine.sessions[session.client_id] = session
        for one in range(TURN_ROWS):
            broker.router.subscribe(f"site/{number}/{one}".encode(), session, 0)
    turns: list[None] = []
    monkeypatch.setattr(listing, "yield_to_loop", lambda: turns.append(None))
    clients = Clients("emqx@127.0.0.1", broker, None)  # type: ignore[arg-type]
    for paging in (Paging(1, 100, sort=Sort("topic", False)), Paging(1, 10 * TURN_ROWS)):
        turns.clear()
        assert clients.subscriptions(paging).count == 10 * TURN_ROWS
        assert len(turns) >= 9
