"""The load generator's books, against a broker that loses, doubles, reorders and damages what it should deliver."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.meddling import Meddling, damaged, receive
from tests.loadgen import compiled

FRAME = 2 + 9 + 32  # fixed header, topic "bench/0" with its length, payload
MESSAGES = 20


@pytest.fixture(scope="session")
def loadgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("loadgen"))


def serve_one_pair(server: socket.socket, meddle: Meddling) -> None:
    """One publisher, then one subscriber: everything that the first sends goes through `meddle` to the second."""
    publisher, _ = server.accept()
    publisher.recv(200)
    publisher.sendall(b"\x20\x02\x00\x00")
    subscriber, _ = server.accept()
    subscriber.recv(200)
    subscriber.sendall(b"\x20\x02\x00\x00")
    subscriber.recv(200)
    subscriber.sendall(b"\x90\x03\x00\x01\x00")
    stream = receive(publisher, MESSAGES * FRAME)
    frames = [stream[i : i + FRAME] for i in range(0, len(stream), FRAME)]
    subscriber.sendall(b"".join(meddle(frames)))
    subscriber.recv(1)
    publisher.close()
    subscriber.close()


def books(loadgen: Path, meddle: Meddling) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = threading.Thread(target=serve_one_pair, args=(server, meddle))
        broker.start()
        port = server.getsockname()[1]
        arguments = ["--size", "32", "--messages", str(MESSAGES), "--quiet", "300", "--port", str(port)]
        done = subprocess.run([loadgen, "flow", *arguments], capture_output=True, text=True, timeout=20, check=False)
        broker.join(10)
    result: dict[str, Any] = json.loads(done.stdout)
    clean = result["lost"] == result["corrupt"] == 0
    assert done.returncode == (0 if clean else 2)
    return result


@pytest.mark.parametrize(
    ("meddle", "wrong"),
    [
        (lambda frames: frames, {}),
        (lambda frames: frames[:3] + frames[4:], {"lost": 1}),
        (lambda frames: frames[:-5], {"lost": 5}),
        (lambda frames: [*frames[:6], frames[5], *frames[6:]], {"duplicated": 1}),
        (lambda frames: [*frames[:7], frames[8], frames[7], *frames[9:]], {"out_of_order": 1}),
        (lambda frames: [frames[0], *frames[10:], *frames[1:10]], {"out_of_order": 9}),
        (lambda frames: [frames[0], *frames[10:], *frames[9:0:-1]], {"out_of_order": 9}),
        (lambda frames: [*frames[12:], frames[3], frames[3]], {"lost": 11, "out_of_order": 1, "duplicated": 1}),
        (lambda frames: [*frames[:4], damaged(frames[4]), *frames[5:]], {"lost": 1, "corrupt": 1}),
    ],
    ids=["in order", "one lost", "tail lost", "doubled", "swapped", "late", "late, backwards", "mixed", "damaged"],
)
def test_every_kind_of_wrong_delivery_is_counted_as_what_it_is(
    loadgen: Path, meddle: Meddling, wrong: dict[str, int]
) -> None:
    result = books(loadgen, meddle)
    kinds = ("lost", "duplicated", "out_of_order", "corrupt")
    assert {kind: result[kind] for kind in kinds} == dict.fromkeys(kinds, 0) | wrong
    assert result["received"] == MESSAGES - wrong.get("lost", 0)
    assert result["delivered"] == result["received"] / MESSAGES


@pytest.mark.parametrize("transport", [[], ["--ws"], ["--tls"]], ids=["tcp", "ws", "tls"])
def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(loadgen: Path, transport: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = ["--quiet", "50", "--connections", "1", "--port", str(server.getsockname()[1]), *transport]
        done = subprocess.run([loadgen, "idle", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "no TLS" in done.stderr if transport == ["--tls"] else "connection 0: no answer" in done.stderr
