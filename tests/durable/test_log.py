"""What the store has of the disk and does not need is given back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from emqx_mgmt.storage.messages import commits as of_commits
from emqx_mgmt.storage.messages.commits import Commits, LogCopier
from emqx_mgmt.storage.messages.writer import Writer

SMALL = bytes(100)
LONGEST = 1 << 20


def test_small_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that holds a single message takes pages of the log that are a hundred times as long: they count."""
    monkeypatch.setattr(of_commits, "BEGIN_ANEW", LONGEST)
    journal, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    with closing(Commits(journal, "async")) as commits, closing(LogCopier(journal)) as copier:
        for number in range(1000):
            commits.append(SMALL, number)
            copier.grew(len(SMALL))
            copier.look()
        assert log.stat().st_size < 2 * LONGEST


def test_giving_back_is_tried_again(tmp_path: Path):
    """On a full disk somebody may be in the way of it at first, or the file may have to grow."""
    journal, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    with closing(Commits(journal, "async")) as commits, closing(LogCopier(journal)) as copier:
        with closing(sqlite3.connect(journal)) as reader:
            commits.append(SMALL, 0)
            reader.execute("BEGIN").execute("SELECT count(*) FROM journal").fetchall()
            commits.append(SMALL, 0)
            copier._connection.execute("PRAGMA busy_timeout = 1")
            copier.grew(len(SMALL))
            copier.shrink()
            assert log.stat().st_size > 0
        copier.shrink()
        assert log.stat().st_size == 0


def test_unused_pages(tmp_path: Path):
    """Those of messages that were fetched, a good piece of them each time."""
    with closing(Writer(tmp_path / "messages.db", tmp_path / "journal.db")) as writer:
        execute = writer.connection.execute

        def pages() -> int:
            return int(execute("PRAGMA page_count").fetchone()[0])

        execute(f"INSERT INTO message VALUES {', '.join(['(NULL, 1, randomblob(4000))'] * 1000)}")
        execute("DELETE FROM message")
        before = pages()
        writer.tidy_up()
        assert pages() <= before - 200
