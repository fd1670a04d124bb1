"""TCP knows no packets: a stream means the same however it is cut (3.1.1 and 5.0, section 4.2)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clients.raw import PUBACK, PUBREC, Raw, decoded, packet_bytes, text
from tests.harness import Bench
from tests.listeners.transports import frame, upgrade
from tests.mqtt.chunks import Outcome, outcome


def conversation(version: int) -> bytes:
    """One packet of each kind, and several that are handed on in one piece; the last one ends the connection."""
    raw = Raw.__new__(Raw)
    raw.version = version
    five = version == 5
    props = {"user_property": [("k", "v")], "message_expiry": 60, "topic_alias": 1} if five else {}
    said = [
        raw.connect_packet("talker", will=("last/will", b"w", 0, False), **({"session_expiry": 9} if five else {})),
        packet_bytes(0x82, b"\0\1" + raw.props({}) + text("own/#") + b"\2" + text("$share/g/x") + b"\1"),
        *(raw.publish_packet("own/0", bytes([number]) * number) for number in range(6)),
        *(raw.publish_packet(f"own/{qos}", b"q" * 130, qos, pid=qos) for qos in (1, 2)),
        packet_bytes(0x62, b"\0\2"), packet_bytes(0x40, b"\0\1"), packet_bytes(0x50, b"\0\2"),
        packet_bytes(0x70, b"\0\2"),
        raw.publish_packet("kept", b"r", retain=True, **props),
        raw.publish_packet("" if five else "kept", b"s", **({"topic_alias": 1} if five else {})),
        b"\xc0\0",
        packet_bytes(0xA2, b"\0\3" + raw.props({}) + text("own/#")),
        packet_bytes(0xF0, b""),
    ]
    return b"".join(said)


def framed(data: bytes) -> bytes:
    """The request, and the stream in frames with others between their pieces."""
    half = len(data) // 2
    return (upgrade() + frame(0x02, data[:7]) + frame(0x89, b"ping") + frame(0x80, data[7:half]) + frame(0x82, b"")
            + frame(0x82, data[half:]))


VERSIONS = (3, 4, 5)
WHOLE = {version: conversation(version) for version in VERSIONS}
PLAIN = {version: outcome(data) for version, data in WHOLE.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_conversation_is_one(version: int):
    """What the others compare with: all kinds of answers came, and the subscriber to everything got each message."""
    found = PLAIN[version]
    kinds, rest = [], found.answers
    while rest:
        length = rest[1] if rest[1] < 128 else (rest[1] & 127) + (rest[2] << 7)
        head = 2 if rest[1] < 128 else 3
        kinds.append(decoded(rest[0], rest[head:head + length], version).kind)
        rest = rest[head + length:]
    assert {2, 3, PUBACK, PUBREC, 7, 9, 11, 13} <= set(kinds)
    assert kinds.count(3) == 8
    assert kinds[-1] == (14 if version == 5 else 11)
    for heard in (found.heard, found.shared):
        assert [heard.count(topic) for topic in (b"own/0", b"own/2", b"kept", b"last/will")] == [6, 1, 2, 1]
    assert found.ended == ["protocol_error"] if version == 5 else found.ended


@pytest.mark.parametrize("version", VERSIONS)
def test_cut_at_any_one_place(version: int):
    for place in range(1, len(WHOLE[version])):
        assert outcome(WHOLE[version], [place]) == PLAIN[version], place


@pytest.mark.parametrize("version", VERSIONS)
def test_byte_by_byte(version: int):
    assert outcome(WHOLE[version], range(len(WHOLE[version]))) == PLAIN[version]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(VERSIONS), st.lists(st.integers(1, 400), max_size=12))
def test_cut_at_several_places(version: int, places: list[int]):
    data = WHOLE[version]
    assert outcome(data, [place for place in places if place < len(data)]) == PLAIN[version]


def over_web(version: int, places) -> Outcome:
    return outcome(framed(WHOLE[version]), places, web=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_websocket_frames_cut_at_any_one_place(version: int):
    whole = over_web(version, ())
    assert whole.answers.endswith(PLAIN[version].answers)
    assert (whole.heard, whole.ended) == (PLAIN[version].heard, PLAIN[version].ended)
    head = len(upgrade())
    for place in range(head - 5, len(framed(WHOLE[version])), 3):
        assert over_web(version, [place]) == whole, place
    assert over_web(version, range(len(framed(WHOLE[version])))) == whole


# -- packets longer than one read

LENGTHS = (16_384, 33_000, 70_000, 262_144, 600_000)
PAYLOADS = [random.Random(length).randbytes(length) for length in LENGTHS]


def long_packets(version: int) -> list[bytes]:
    """Of every QoS, one of them retained, with short ones between."""
    raw = Raw.__new__(Raw)
    raw.version = version
    said = [raw.connect_packet("talker")]
    for number, payload in enumerate(PAYLOADS):
        qos = number % 3
        said += [raw.publish_packet(f"long/{number}", payload, qos, pid=qos and number, retain=number == 3),
                 packet_bytes(0x62, number.to_bytes(2, "big")) if qos == 2 else b"\xc0\0",
                 raw.publish_packet("short", b"s")]
    return [*said, b"\xe0\0"]


def cuts_of(packets: list[bytes], seed: int) -> list[int]:
    """Beside the ends of packets, and anywhere."""
    chance = random.Random(seed)
    ends = [sum(map(len, packets[:number])) for number in range(1, len(packets))]
    near = [end + chance.choice((-40_000, -1, 0, 1, 3, 33_000)) for end in ends]
    anywhere = [chance.randrange(ends[-1]) for _ in range(4)]
    return [cut for cut in chance.sample(near, 5) + anywhere if 0 < cut < ends[-1]]


@pytest.mark.parametrize("web", [False, True], ids=["tcp", "websocket"])
@pytest.mark.parametrize("version", VERSIONS)
def test_long_packets(version: int, web: bool):
    packets = long_packets(version)
    data = framed(b"".join(packets)) if web else b"".join(packets)
    whole = outcome(data, web=web)
    assert whole.ended == ["normal"]
    assert [whole.heard.count(payload) for payload in PAYLOADS] == [1] * len(PAYLOADS)
    assert whole.heard.count(b"short") == len(PAYLOADS)
    for seed in range(6):
        cuts = cuts_of(packets, seed)
        assert outcome(data, cuts, web=web) == whole, cuts


def test_a_long_payload_that_is_kept_stays_as_it_came():
    """Retained, and queued for a client that is away, while others are received after it."""
    bench = Bench()
    away = bench.client("away", 5, clean=False, session_expiry=60)
    away.subscribe("kept/#", qos=1)
    bench.gone(away)
    talker = bench.client("talker")
    for number, payload in enumerate(PAYLOADS):
        assert talker.publish(f"kept/{number}", payload, 1, retain=True) == 0
    later, back = bench.client("later"), bench.client("away", clean=False)
    later.subscribe("kept/#")
    for client in (later, back):
        came = [client.packet() for _ in PAYLOADS]
        assert sorted((packet.topic, packet.payload) for packet in came) == sorted(
            (f"kept/{number}", payload) for number, payload in enumerate(PAYLOADS))
