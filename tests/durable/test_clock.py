"""The wall time that messages are stored with."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest

from emqx_mgmt.broker import Broker
from router_ext.journal import Journal


def test_is_not_read_anew_for_a_late_look(monkeypatch: pytest.MonkeyPatch):
    """Retained messages come in the order of their times after a restart. A process that had to wait for the processor
    between its two clocks moves no message before another; a clock that was set does."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        broker, journal = Broker(), Journal(ours.fileno())
        broker.engine.now = 5_000
        monkeypatch.setattr(time, "time", lambda: 1_000.0)
        broker.durable.attach(journal, SimpleNamespace(next_sid=1, next_entry=1, next_number=1))
        assert journal.wall_offset == 995_000
        monkeypatch.setattr(time, "time", lambda: 1_000.3)
        broker.durable.keep_time()
        assert journal.wall_offset == 995_000
        monkeypatch.setattr(time, "time", lambda: 400.0)
        broker.durable.keep_time()
        assert journal.wall_offset == 395_000
