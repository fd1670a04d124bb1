"""Long answers let the loop turn: between two pieces, sockets that are ready are served."""

from __future__ import annotations

import gevent
from gevent import socket

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.manage.listing import TURN_ROWS, in_turns


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
