"""How long a broker takes for a client that is connected, as that sees it in a process of its own.

    python benchmarks/pings.py <port> <CONNECT in hex> <topic>

Every 10 ms it publishes to itself with QoS 1 and sends PINGREQ, until its input ends, and prints in ms how long it took
until PUBACK, the message and PINGRESP were there. It waits for each message for 60 s, and ends with 1 without it.
"""

from __future__ import annotations

import select
import socket
import sys
import time

EVERY_S = 0.01
PATIENCE_S = 60.0
CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0


class Client:
    """MQTT 3.1.1, with packets of less than 128 bytes."""

    def __init__(self, port: int, connect: bytes, topic: bytes) -> None:
        self.topic = len(topic).to_bytes(2, "big") + topic
        self.connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.connection.makefile("rb")
        self.connection.sendall(connect)
        assert self._read() == (CONNACK, b"\0\0")
        self._send(0x82, b"\0\1" + self.topic + b"\1")
        assert self._read() == (SUBACK, b"\0\1\1")

    def round(self, number: int) -> None:
        """Returns when all that is due has come; the message may be sent before it is acknowledged."""
        identifier = (number % 65535 + 1).to_bytes(2, "big")
        self._send(0x32, self.topic + identifier + b"%d" % number)
        self._send(0xC0, b"")
        due = {PUBACK, PUBLISH, PINGRESP}
        while due:
            kind, body = self._read()
            if kind == PUBLISH:
                theirs = len(self.topic)
                assert body[theirs + 2:] == b"%d" % number, "a message is lost, or comes twice"
                self._send(PUBACK, body[theirs:theirs + 2])
            due.remove(kind)

    def _send(self, first: int, body: bytes) -> None:
        self.connection.sendall(bytes((first, len(body))) + body)

    def _read(self) -> tuple[int, bytes]:
        first, length = self.stream.read(2)
        return first & 0xF0, self.stream.read(length)


def main(port: int, connect: bytes, topic: bytes) -> None:
    client, number = Client(port, connect, topic), 0
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        began = time.monotonic()
        client.round(number)
        number += 1
        print(round((time.monotonic() - began) * 1000, 2), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3].encode())
