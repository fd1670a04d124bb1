"""SQLite's log of the journal takes no more of the disk than it should."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from emqx_mgmt.storage.messages import commits as of_commits
from emqx_mgmt.storage.messages.commits import Commits, LogCopier

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
