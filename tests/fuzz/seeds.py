"""What fuzzing begins with: wire vectors that reach something of their own, and what earlier runs found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.targets import VERSIONS
from tests.listeners.transports import frame
from tests.wire_vectors import Vector, load, read_bytes

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 2000  # bytes of a vector: longer ones only slow down
CONNECTS = {
    3: '10 {("MQIsdp") 03 02 003c ("fuzz")}', 4: '10 {("MQTT") 04 02 003c ("fuzz")}',
    5: '10 {("MQTT") 05 02 003c {22 0004} ("fuzz")}',
}
SUBSCRIBES = {3: '82 {0001 ("t") 02}', 4: '82 {0001 ("t") 02}', 5: '82 {0001 {0b 07} ("t") 02}'}


def kept(target: str) -> list[bytes]:
    """The corpus in the tests: an input a line, in hexadecimal digits."""
    path = CORPUS / f"{target}.hex"
    return [bytes.fromhex(line) for line in path.read_text().split()] if path.exists() else []


def keep(target: str, inputs: set[bytes]) -> None:
    lines = [data.hex() for data in sorted(inputs, key=lambda data: (len(data), data))]
    (CORPUS / f"{target}.hex").write_text("\n".join(lines) + "\n")


def from_vectors(target: str) -> Iterator[bytes]:
    for vector in load():
        if len(vector.data) <= LONGEST:
            yield from AS[target](vector)


def as_packet(vector: Vector) -> Iterator[bytes]:
    yield bytes([VERSIONS.index(vector.version)]) + vector.data


def as_stream(vector: Vector) -> Iterator[bytes]:
    before = "" if vector.first else CONNECTS[vector.version] + SUBSCRIBES[vector.version]
    yield read_bytes(before) + vector.data


def as_frames(vector: Vector) -> Iterator[bytes]:
    (data,) = as_stream(vector)
    yield b"\1" + frame(0x82, data)
    yield b"\1" + frame(0x02, data[:9]) + frame(0x89, b"ping") + frame(0x80, data[9:]) + frame(0x88, b"\x03\xe8")


AS = {"codec": as_packet, "stream": as_stream, "websocket": as_frames}
