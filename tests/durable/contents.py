"""A store with something of everything in it, and what a store amounts to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from emqx_mgmt.storage.messages.commits import Commits
from emqx_mgmt.storage.messages.tables import FILE_NAME, JOURNAL_NAME, MESSAGES, PLACE, PLACES, RECORDS
from emqx_mgmt.storage.messages.writer import Writer
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw, connected

SETTLED = 20        # messages that are in rows before the last ones come


def fill(broker: BrokerProcess) -> None:
    """Queues with bodies of their own and shared ones, messages in flight in every state, QoS 2 ids, wills, retained
    and delayed messages; the last ones come after all else is in rows."""
    port = broker.mqtt_port
    for name in ("keeper", "second"):
        keeper = connected(port, name, will=("will", name.encode(), 0, False))
        keeper.subscribe("shared", qos=1)
        keeper.subscribe(f"own/{name}", qos=2)
        keeper.disconnect() if name == "keeper" else keeper.drop()
    held = connected(port, "held", version=5, session_expiry=3600, will=("will", b"later", 0, False),
                     will_props={"will_delay": 1000})
    held.subscribe("own/held", qos=2)
    publisher = connected(port, "publisher", clean=False)
    for number in range(1, SETTLED + 1):
        publish(publisher, "shared", number)
        publish(publisher, "own/keeper", number)
    for number in (1, 2, 3):
        publish(publisher, "own/held", number, qos=2)
    held.ack(PUBREC, held.expect(PUBLISH).pid)    # of three one waits for PUBCOMP
    publisher.send_publish("retained", b"kept", 1, 77, retain=True)
    publisher.expect(PUBACK)
    publisher.send_publish("$delayed/1000/later", b"delayed", 1, 78)
    publisher.expect(PUBACK)
    publisher.send_publish("own/keeper", b"unreleased", 2, 79)
    publisher.expect(PUBREC)
    wait_until(lambda: rows_in(broker.data_dir) > 2 * SETTLED, 10, "rows for what was published")
    for number in range(SETTLED + 1, 2 * SETTLED + 1):
        publish(publisher, "shared", number)


def publish(client: Raw, topic: str, number: int, qos: int = 1) -> None:
    client.send_publish(topic, b"%d " % number * 30, qos, number)
    if qos == 2:
        client.expect(PUBREC)
        client.ack(PUBREL, number)
    client.expect(PUBACK if qos == 1 else PUBCOMP)


def rows_in(data_dir: Path) -> int:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection:
        return int(connection.execute("SELECT count(*) FROM place").fetchone()[0])


def amounts_to(data_dir: Path) -> dict[str, list[Any]]:
    """All that a broker would find there; its commits are in rows afterwards. Raises what the store does."""
    with closing(Commits(data_dir / JOURNAL_NAME, "fsync")) as commits:
        writer = Writer(data_dir / FILE_NAME, data_dir / JOURNAL_NAME)
        with closing(writer):
            writer.recover(commits.rows(writer.done))
            select = writer.connection.execute
            found: dict[str, list[Any]] = {
                table: [(sid, key, checksum.strip(value, sid, key))
                        for sid, key, value in select(f"SELECT * FROM {table}")]
                for table, checksum in RECORDS.items()}
            bodies = {number: MESSAGES.strip(body, number, refs)
                      for number, refs, body in select("SELECT number, refs, body FROM message")}
            found["place"] = [(*place, PLACES.strip(body, *place) or bodies.get(place[2]))
                              for *place, body in select(f"SELECT {PLACE}, body FROM place")]
    return found
