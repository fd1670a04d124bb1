"""What a client sent before it hung up without reading: it came, and is handled."""

from __future__ import annotations

import fcntl
import select
import struct
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import connected, packet_bytes, text
from tests.listeners.secured import Secured, certificates, settings
from tests.listeners.transports import TRANSPORTS, connection

MESSAGES = 20
ROUNDS = 5


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker that takes a few messages of a client in a tenth of a second, so that the others have not been looked
    at when the client is gone."""
    made = certificates(tmp_path_factory.mktemp("certificates"))
    env, ports = settings(made)
    env["EMQX_ZONE__EXTERNAL__PUBLISH_LIMIT"] = "6,100ms"
    process = BrokerProcess(tmp_path_factory.mktemp("slow"), env).start()
    yield Secured(process, made, **ports)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr, process.stderr


def all_at_once(client_id: str, number: int, qos: int) -> bytes:
    """CONNECT with a will, PUBLISH packets, and DISCONNECT."""
    connect = text("MQTT") + b"\x04\x06\0\x3c" + text(client_id) + text("last/will") + text(client_id)
    messages = [text("last/words") + (struct.pack(">H", i + 1) if qos else b"") + b"%d/%d" % (number, i)
                for i in range(MESSAGES)]
    return packet_bytes(0x10, connect) + b"".join(packet_bytes(0x30 | qos << 1, one) for one in messages) + b"\xe0\x00"


def is_there(sock: Any) -> bool:
    """The broker's system has all that was sent, and an answer has come: closing resets the connection."""
    waiting = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return not int.from_bytes(waiting, sys.byteorder) and bool(select.select([sock.fileno()], [], [], 0)[0])


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_what_came_before_a_reset_is_handled(slow: Secured, name: str, qos: int):
    """All messages are delivered, and DISCONNECT deletes the will [MQTT-3.14.4-3], although nothing can be written to
    the client any more."""
    watcher = connected(slow.broker.mqtt_port, "watcher", version=5, clean=True)
    watcher.subscribe("last/#", qos=0)
    for number in range(ROUNDS):
        sock = connection(slow, name)
        sock.sendall(all_at_once(f"hasty{number}", number, qos))
        wait_until(lambda sock=sock: is_there(sock), 10, "the answer")
        sock.close()
    expected = {b"%d/%d" % (number, i) for number in range(ROUNDS) for i in range(MESSAGES)}
    came = set()
    while len(came) < len(expected) and (message := watcher.receive(within=5)):
        assert message.topic == "last/words", "a will was sent in spite of DISCONNECT"
        came.add(message.payload)
    assert came == expected
    wait_until(lambda: not hasty(slow), 5, "the end of the connections")
    assert watcher.receive(within=0.1) is None
    watcher.drop()


def hasty(slow: Secured) -> list[str]:
    (node,) = [node["name"] for node in slow.broker.api("GET", "nodes/").json()]
    rows = slow.broker.api("GET", f"nodes/{node}/connections/").json()["items"]
    return [row["client_id"] for row in rows if row["client_id"].startswith("hasty")]
