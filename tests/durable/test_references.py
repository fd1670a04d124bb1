"""A message that nobody needs any more leaves nothing behind in the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PUBACK, connected


def test_two_places_in_a_session_that_ends(start_broker: Callable[..., BrokerProcess]):
    broker = start_broker()

    def rows() -> tuple[int, int]:
        with closing(sqlite3.connect(broker.data_dir / "messages.db")) as connection:
            count: tuple[int, int] = connection.execute(
                "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM place)").fetchone()
            return count

    keeper = connected(broker.mqtt_port, "keeper")
    keeper.subscribe("q", qos=1)
    keeper.subscribe("$share/group/q", qos=1)
    keeper.disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    publisher.send_publish("q", b"twice", 1, 1)
    publisher.expect(PUBACK)
    wait_until(lambda: rows() == (1, 2), 10, "a message with two places")
    assert broker.api("DELETE", "sessions/persistent/keeper").status_code == 200
    wait_until(lambda: rows() == (0, 0), 10, "the end of both")
