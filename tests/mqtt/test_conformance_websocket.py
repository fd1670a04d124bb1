"""MQTT over WebSocket: what section 6 of both specifications demands of a server."""

from __future__ import annotations

import base64
import hashlib
import os
import socket

import pytest

from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Connect
from tests.broker_process import free_ports
from tests.clients.codec import PATIENCE, PINGREQ, PINGRESP

TEXT, BINARY, CLOSE = 1, 2, 8


class WebSocket:
    """A client of RFC 6455 that frames as it is told."""

    def __init__(self, port: int, protocols: str | None = "mqtt") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        offered = f"Sec-WebSocket-Protocol: {protocols}\r\n" if protocols else ""
        self.sock.sendall((f"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}"
                           "\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head and (more := self.sock.recv(1)):
            head += more
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        assert self.status != 101 or self.headers["sec-websocket-accept"] == accept.decode()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes, opcode: int = BINARY) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        assert len(data) < 126
        self.sock.sendall(bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.sock.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise EOFError
            data += more
        return data

    def bytes(self, count: int) -> bytes:
        """So many bytes out of binary frames; EOFError when the broker closes first."""
        data = b""
        while len(data) < count:
            first, length = self.exactly(2)
            if length == 126:
                length = int.from_bytes(self.exactly(2), "big")
            payload = self.exactly(length)
            if first & 15 == CLOSE:
                raise EOFError
            assert first & 15 == BINARY
            data += payload
        return data


@pytest.fixture
def port(start_broker) -> int:
    (port,) = free_ports(1)
    start_broker({"EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{port}"})
    return port


def connect(name: str) -> bytes:
    return encode(Connect(name, 4), 4)


def test_the_subprotocol(port):
    """[MQTT-6.0.0-3] [MQTT-6.0.0-4]"""
    for offered in ("mqtt", "mqttv3.1, mqtt", "other, mqtt"):
        with WebSocket(port, offered) as peer:
            assert peer.status == 101
            assert peer.headers["sec-websocket-protocol"] == "mqtt"
            peer.send(connect("ws"))
            assert peer.bytes(4) == b"\x20\x02\x00\x00"


def test_packets_and_frames_are_not_aligned(port):
    """[MQTT-6.0.0-2]"""
    data = connect("ws") + PINGREQ * 3
    for size in (1, 3, len(data)):
        with WebSocket(port) as peer:
            for start in range(0, len(data), size):
                peer.send(data[start:start + size])
            assert peer.bytes(10) == b"\x20\x02\x00\x00" + PINGRESP * 3


def test_text_frames_end_the_connection(port):
    """[MQTT-6.0.0-1]"""
    with WebSocket(port) as peer:
        peer.send(connect("ws"))
        assert peer.bytes(4) == b"\x20\x02\x00\x00"
        peer.send(b"text", TEXT)
        with pytest.raises(EOFError):
            peer.bytes(1)
