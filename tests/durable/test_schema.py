"""A store that an older version of the broker has left is brought to this one; no half of it is taken for the whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from emqx_mgmt.storage.messages.tables import MIGRATIONS
from tests.broker_process import BrokerProcess
from tests.durable.client import PUBACK, Client

Start = Callable[..., BrokerProcess]

TO_VERSION_1 = f"""
    {MIGRATIONS[0].split(";")[0]};
    {MIGRATIONS[0].split(";")[1]};
    INSERT INTO message SELECT number, 1, body FROM place WHERE body IS NOT NULL;
    DROP INDEX unused;
    ALTER TABLE place DROP COLUMN body;
    INSERT INTO progress SELECT number, at FROM folded WHERE at;
    DROP TABLE folded;
    PRAGMA user_version = 1;
"""


def downgrade(data_dir: Path) -> None:
    """What version 1 would have written: one file, with the journal in it."""
    journal = data_dir / "journal.db"
    with closing(sqlite3.connect(data_dir / "messages.db")) as rows, closing(sqlite3.connect(journal)) as commits:
        first = rows.execute("SELECT number FROM folded").fetchone()[0]
        rows.executescript(TO_VERSION_1)
        rows.executemany("INSERT INTO journal VALUES (?, ?)",
                         commits.execute("SELECT * FROM journal WHERE number >= ?", (first,)))
        assert rows.execute("SELECT count(*) FROM journal").fetchone()[0] > 0
        rows.commit()
    for file in data_dir.glob("journal.db*"):
        file.unlink()


def filled(broker: BrokerProcess, first: int, last: int) -> None:
    publisher = Client(broker.mqtt_port, "publisher", clean=True)
    for number in range(first, last):
        publisher.publish("q", b"%d" % number, 1, number)
        publisher.read(PUBACK)
    publisher.disconnect()


def test_version_1(start_broker: Start):
    """Rows that were settled and commits that were not are both there."""
    broker = start_broker()
    Client(broker.mqtt_port, "keeper").subscribe("q", 1)
    Client(broker.mqtt_port, "keeper").disconnect()
    filled(broker, 1, 20)
    assert broker.stop() == 0
    broker.start()
    filled(broker, 20, 40)
    broker.kill9()
    downgrade(broker.data_dir)
    broker.start()
    keeper = Client(broker.mqtt_port, "keeper")
    assert keeper.present
    for number in range(1, 40):
        assert keeper.read_message().payload == b"%d" % number


def test_half_a_store(start_broker: Start):
    """A journal that is missing is damage: what is in it was acknowledged."""
    broker = start_broker()
    Client(broker.mqtt_port, "keeper").subscribe("q", 1)
    broker.kill9()
    journal = broker.data_dir / "journal.db"
    aside = journal.rename(broker.data_dir / "aside")
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert "its journal journal.db is missing" in broker.stderr
    aside.rename(journal)
    broker.start()
    assert Client(broker.mqtt_port, "keeper").present
