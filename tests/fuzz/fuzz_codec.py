"""Coverage-guided fuzzing of the codec: `python fuzz_codec.py DIRECTORY CORPUS [libFuzzer options]`.

Any bytes either raise PacketError or are a packet that, encoded, is decoded to the same again. DIRECTORY has an
instrumented build. The first byte of an input chooses the version, the second begins the packet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import instrumented

instrumented.load(Path(sys.argv.pop(1)))

from router_ext import codec  # noqa: E402  it must be the instrumented one

VERSIONS = (3, 4, 5)


def one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    version, first_byte, body = VERSIONS[data[0] % 3], data[1], data[2:]
    try:
        packet = codec.decode(first_byte, body, version)
    except codec.PacketError:
        return
    if first_byte >> 4 == 1:
        version = packet.proto_ver
    encoded = codec.encode(packet, version)
    at = 1
    while encoded[at] & 128:
        at += 1
    again = codec.decode(encoded[0], encoded[at + 1 :], version)
    if again != packet:
        raise AssertionError(f"{packet!r} became {again!r}")


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
