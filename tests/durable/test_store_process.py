"""The store process ends with either of its threads: the worker ends with it, and the next one goes on."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from emqx_mgmt.storage.messages.frames import ANSWER, BATCH, READY
from tests.broker_process import CHECKOUT

END_OF_A_SESSION = 9    # a record of router_ext/durable/journal.pxd
THREADS = {"commits": "Commits.append", "folds": "Writer.take", "answers": "Worker.send"}
PROGRAM = """
import sqlite3, sys
from emqx_mgmt.storage.messages import process
def fail(*args):
    if process.READY not in args:
        raise sqlite3.DatabaseError("file is not a database")
    keep(*args)
keep = process.{place}
process.{place} = fail
process.main(*sys.argv[1:])
"""


@pytest.mark.parametrize("thread", THREADS)
def test_any_failure_ends_the_store_process(tmp_path: Path, thread: str):
    """Else the other thread would keep it alive, and publishers would wait for ever."""
    ours, theirs = socket.socketpair()
    program = PROGRAM.format(place=THREADS[thread])
    process = subprocess.Popen([sys.executable, "-c", program, str(theirs.fileno()), str(tmp_path), "fsync"],
                               cwd=CHECKOUT, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE)
    theirs.close()
    assert ANSWER.unpack(ours.recv(ANSWER.size))[1] == READY
    content = struct.pack("<BQ", END_OF_A_SESSION, 1)
    ours.sendall(struct.pack("<IBBxxQ", len(content), BATCH, 0, 1) + content)
    told = process.communicate(timeout=20)[1]
    ours.close()
    assert process.returncode == 1
    assert b"file is not a database" in told
