"""The books of the modes whose messages have a topic each, against a broker that meddles with what it delivers."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.meddling import Meddling, damaged, receive
from tests.loadgen import compiled

MESSAGES = 20
FILTER_FRAME = 2 + 2 + len("fleet/0000000/engine/state/rpm") + 32
RETAINED_FRAME = 2 + 2 + len("kept/0000000") + 32
CONNACK = b"\x20\x02\x00\x00"
KINDS = ("lost", "duplicated", "corrupt", "bad_acks")


@pytest.fixture(scope="module")
def loadgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("loadgen"))


def admit(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    connection.settimeout(10)
    connection.recv(200)
    connection.sendall(CONNACK)
    return connection


def messages(publisher: socket.socket, size: int) -> list[bytes]:
    stream = receive(publisher, MESSAGES * size)
    return [stream[i : i + size] for i in range(0, len(stream), size)]


def serve_filters(server: socket.socket, meddle: Meddling, codes: bytes) -> None:
    with admit(server) as subscriber, admit(server) as publisher:
        packet = subscriber.recv(65536)
        subscriber.sendall(bytes([0x90, 2 + MESSAGES]) + packet[3:5] + codes)
        subscriber.sendall(b"".join(meddle(messages(publisher, FILTER_FRAME))))
        subscriber.recv(1)


def serve_retained(server: socket.socket, meddle: Meddling, codes: bytes) -> None:
    """The first subscriber gets everything as it should be, the second one what `meddle` makes of it."""
    with admit(server) as first, admit(server) as publisher:
        first.recv(200)
        first.sendall(b"\x90\x03\x00\x01" + codes[:1])
        frames = messages(publisher, RETAINED_FRAME)
        assert all(frame[0] == 0x31 for frame in frames), "a message is not to be retained"
        first.sendall(b"".join(frames))
        with admit(server) as late:
            late.recv(200)
            late.sendall(b"".join([b"\x90\x03\x00\x01" + codes[:1], *meddle(frames)]))
            late.recv(1)


def books(loadgen: Path, mode: str, meddle: Meddling, codes: bytes = bytes(MESSAGES)) -> dict[str, Any]:
    serve: Callable[[socket.socket, Meddling, bytes], None] = {"filters": serve_filters, "retain": serve_retained}[mode]
    arguments = ["--size", "32", "--messages", MESSAGES, "--filters", MESSAGES, "--batch", MESSAGES, "--quiet", "300"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = threading.Thread(target=serve, args=(server, meddle, codes))
        broker.start()
        words = [str(word) for word in [*arguments, "--port", server.getsockname()[1]]]
        done = subprocess.run([loadgen, mode, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20, check=False)
        broker.join(10)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (2 if any(result[kind] for kind in KINDS) else 0)
    return result


@pytest.mark.parametrize("mode", ["filters", "retain"])
@pytest.mark.parametrize(
    ("meddle", "wrong"),
    [
        (lambda frames: frames, {}),
        (lambda frames: frames[::-1], {}),
        (lambda frames: frames[:3] + frames[4:], {"lost": 1}),
        (lambda frames: [frames[0], *frames], {"duplicated": 1}),
        (lambda frames: [damaged(frames[0]), *frames[1:]], {"lost": 1, "corrupt": 1}),
    ],
    ids=["all", "in another order", "one lost", "doubled", "damaged"],
)
def test_each_topic_is_counted_once(loadgen: Path, mode: str, meddle: Meddling, wrong: dict[str, int]) -> None:
    result = books(loadgen, mode, meddle)
    assert {kind: result[kind] for kind in KINDS} == dict.fromkeys(KINDS, 0) | wrong
    assert result["received"] == MESSAGES - wrong.get("lost", 0)


def test_a_filter_that_is_refused_is_counted(loadgen: Path) -> None:
    result = books(loadgen, "filters", lambda frames: frames, bytes([0] * (MESSAGES - 1) + [0x80]))
    assert (result["filters"], result["bad_acks"]) == (MESSAGES - 1, 1)
