"""How long a broker takes for PINGREQ, as a client in a process of its own sees it.

    python benchmarks/pings.py <port> <CONNECT in hex>

Sends one every 10 ms until its input ends, and prints in ms how long each took.
"""

from __future__ import annotations

import select
import socket
import sys
import time

EVERY_S = 0.01


def main(port: int, connect: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(connect)
        assert connection.recv(4) == b"\x20\2\0\0"
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            began = time.monotonic()
            connection.sendall(b"\xc0\0")
            assert connection.recv(2) == b"\xd0\0"
            print(round((time.monotonic() - began) * 1000, 2), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
