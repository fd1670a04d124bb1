"""Every wire vector, against the codec."""

import pytest

from router_ext.protocol.codec import PacketError, UnsupportedVersion, decode, encode, frame_lengths
from tests.wire_vectors import Vector, load, read_bytes

VECTORS = load()
TAKEN = frozenset(("accept", "reply", "connack", "state", "end"))


def packets(vector: Vector) -> list:
    """What the codec makes of the vector's bytes; None at the end for an incomplete packet."""
    found, data = [], vector.data
    version = 0 if vector.first else vector.version
    while data:
        lengths = frame_lengths(data, version)
        if lengths is None or sum(lengths) > len(data):
            return [*found, None]
        header, body = lengths
        found.append(decode(data[0], data[header:header + body], version))
        data = data[header + body:]
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_codec(vector):
    if vector.outcome == "wait":
        assert packets(vector)[-1] is None
    elif vector.outcome in TAKEN or (vector.outcome == "close" and vector.code is None):
        assert None not in packets(vector)
    else:
        with pytest.raises(PacketError) as caught:
            packets(vector)
        assert caught.value.reason_code == vector.code, caught.value
        if vector.outcome == "refuse":  # the version to answer in is known
            assert caught.value.version or isinstance(caught.value, UnsupportedVersion)
        else:
            assert caught.value.version == 0


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.outcome in TAKEN], ids=str)
def test_what_is_taken_survives_encoding(vector):
    for packet in packets(vector):
        written = encode(packet, vector.version)
        header, body = frame_lengths(written, vector.version)
        assert header + body == len(written)
        assert decode(written[0], written[header:], vector.version) == packet


def test_there_are_several_hundred_for_every_version():
    for version in (3, 4, 5):
        assert sum(v.version == version for v in VECTORS) >= 100


def test_no_vector_stands_twice():
    seen = {}
    for vector in VECTORS:
        key = vector.version, vector.first, vector.data
        assert key not in seen, f"{vector} repeats {seen[key]}"
        seen[key] = vector


@pytest.mark.parametrize(("notation", "data"), [
    ('10 {("MQTT") 04}', b"\x10\x07\x00\x04MQTT\x04"),
    ("61*3", b"aaa"),
    ("{00*200}", b"\xc8\x01" + bytes(200)),
    ("30 05 (\"t\") 7878", b"0\x05\x00\x01txx"),
])
def test_notation(notation, data):
    assert read_bytes(notation) == data


@pytest.mark.parametrize("notation", ["{00", "0", "zz", "(00))"])
def test_bad_notation_is_told(notation):
    with pytest.raises((ValueError, IndexError)):
        read_bytes(notation)
