"""Messages a second over TLS and WebSocket, this broker beside mosquitto in the same minutes.

    python benchmarks/bench_transports.py            pair and fan-out over each transport, three runs

One process publishes QoS 0 with 64-byte payloads, 64 messages a write; subscribers in another count the bytes that
reach them (payloads, topics and headers have one size, and WebSocket headers are told apart), so that a lost one shows.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from brokers import environment, free_port, mosquitto_program

PAYLOAD, TOPIC, BATCH = 64, b"bench", 64
MESSAGE = bytes([0x30, 2 + len(TOPIC) + PAYLOAD]) + struct.pack("!H", len(TOPIC)) + TOPIC + bytes(PAYLOAD)
SUBSCRIBE = bytes([0x82, 5 + len(TOPIC), 0, 1]) + struct.pack("!H", len(TOPIC)) + TOPIC + b"\x00"
UPGRADE = (b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           b"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
LOADS = {"pair": (1, 200_000), "fan-out 100": (100, 2_000)}
TRANSPORTS = ("tls", "ws", "wss")


def connect_packet(name: str) -> bytes:
    client = struct.pack("!H", len(name)) + name.encode()
    return bytes([0x10, 10 + len(client)]) + b"\x00\x04MQTT\x04\x02\x00\x00" + client


def framed(transport: str, data: bytes) -> bytes:
    """As one frame whose mask is zero, where the transport has frames."""
    if transport == "tls":
        return data
    n = len(data)
    return (bytes([0x82, 0x80 | n]) if n < 126 else struct.pack("!BBH", 0x82, 0xFE, n)) + bytes(4) + data


class Reader:
    """Counts MQTT bytes."""

    def __init__(self, transport: str) -> None:
        self.frames = transport != "tls"
        self.tail = b""
        self.left = self.count = 0

    def take(self, data: bytes) -> None:
        if not self.frames:
            self.count += len(data)
            return
        data, at = self.tail + data, 0
        self.tail = b""
        while at < len(data):
            if self.left == 0:
                short = data[at + 1] if len(data) > at + 1 else 0
                size = 2 + (2 if short == 126 else 8 if short == 127 else 0)
                if len(data) < at + size:
                    self.tail = data[at:]
                    return
                self.left = short if size == 2 else int.from_bytes(data[at + 2 : at + size], "big")
                at += size
            step = min(self.left, len(data) - at)
            self.left -= step
            self.count += step
            at += step


def session(transport: str, port: int, name: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    if transport != "ws":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    if transport != "tls":
        sock.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(4096)
    sock.sendall(framed(transport, connect_packet(name)))
    assert sock.recv(64)[-1] == 0
    return sock


def publish(transport: str, port: int, count: int) -> None:
    sock = session(transport, port, "publisher")
    data = framed(transport, MESSAGE * BATCH)
    for _ in range(count // BATCH):
        sock.sendall(data)
    time.sleep(60)


def measure(transport: str, port: int, subscribers: int, messages: int) -> float:
    """Deliveries a second."""
    socks = [session(transport, port, f"s{number}") for number in range(subscribers)]
    for sock in socks:
        sock.sendall(framed(transport, SUBSCRIBE))
        assert sock.recv(64)
    messages = messages // BATCH * BATCH
    expected = messages * len(MESSAGE)
    selector = selectors.DefaultSelector()
    readers = {}
    for sock in socks:
        sock.setblocking(False)
        readers[sock] = Reader(transport)
        selector.register(sock, selectors.EVENT_READ)
    child = subprocess.Popen([sys.executable, __file__, "publish", transport, str(port), str(messages)])
    began = last = 0.0
    try:
        while any(reader.count < expected for reader in readers.values()):
            ready = selector.select(10)
            assert ready, f"lost: {sum(r.count for r in readers.values())} of {expected * subscribers} bytes arrived"
            began = began or time.perf_counter()
            for key, _ in ready:
                drain(key.fileobj, readers[key.fileobj])
            last = time.perf_counter()
    finally:
        child.kill()
        child.wait()
        for sock in socks:
            sock.close()
    return messages * subscribers / (last - began)


def drain(sock: socket.socket, reader: Reader) -> None:
    try:
        while data := sock.recv(262_144):
            reader.take(data)
    except (BlockingIOError, ssl.SSLWantReadError):
        pass


def ours(directory: Path) -> tuple[list[str], dict[str, str], dict[str, int]]:
    ports = {name: free_port() for name in TRANSPORTS}
    env = environment(directory, free_port(), free_port())
    for name, key in (("tls", "SSL"), ("ws", "WS"), ("wss", "WSS")):
        env[f"EMQX_LISTENER__{key}__EXTERNAL"] = f"127.0.0.1:{ports[name]}"
    env["EMQX_LISTENER__WSS__EXTERNAL__MAX_CONNECTIONS"] = "10000"
    return [sys.executable, "-m", "gunicorn", "wsgi:app"], env, ports


def mosquitto(directory: Path) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """With our development certificate, so that the key is of the same kind."""
    from emqx_mgmt.listeners.certificate import make_certificate

    make_certificate(directory, "127.0.0.1")
    ports = {name: free_port() for name in TRANSPORTS}
    lines = ["allow_anonymous true", "max_queued_messages 0", "user root", "log_type error"]
    for name, port in ports.items():
        lines.append(f"listener {port} 127.0.0.1")
        if name != "tls":
            lines.append("protocol websockets")
        if name != "ws":
            lines += [f"certfile {directory}/cert.pem", f"keyfile {directory}/key.pem"]
    (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    return [mosquitto_program(), "-c", str(directory / "mosquitto.conf")], dict(os.environ), ports


Start = Callable[[Path], tuple[list[str], dict[str, str], dict[str, int]]]


def main() -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        starts: dict[str, tuple[Start, Path]] = {"ours": (ours, Path(one)), "mosquitto": (mosquitto, Path(two))}
        started, ports = [], {}
        for name, (start, directory) in starts.items():
            command, env, ports[name] = start(directory)
            checkout = Path(__file__).parent.parent
            started.append(subprocess.Popen(command, env=env, cwd=checkout, stderr=subprocess.DEVNULL))
        time.sleep(8)
        try:
            compare(ports)
        finally:
            for process in started:
                process.terminate()
                process.wait(20)


def compare(ports: dict[str, dict[str, int]]) -> None:
    print(f"{'load':24}{'ours':>14}{'mosquitto':>14}{'times':>8}")
    for transport in TRANSPORTS:
        for load, (subscribers, messages) in LOADS.items():
            rates: dict[str, list[float]] = {"ours": [], "mosquitto": []}
            for _ in range(3):
                for name, found in rates.items():
                    found.append(measure(transport, ports[name][transport], subscribers, messages))
            mine, theirs = (statistics.median(found) for found in rates.values())
            print(f"{transport + ' ' + load:24}{mine:14,.0f}{theirs:14,.0f}{mine / theirs:8.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
