"""What is fuzzed: functions that take any bytes and raise when the broker treats them wrongly.

Each states something that has to hold of every input, so that a run looks for more than crashes.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

from router_ext.protocol.codec import Packet, PacketError, decode, encode, frame_lengths
from tests.listeners.transports import upgrade
from tests.mqtt.chunks import outcome
from tests.mqtt.model import Model

CONNECT, PUBLISH, PUBACK, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = 1, 3, 4, 7, 8, 10, 12
MODELLED = {CONNECT, PUBLISH, *range(PUBACK, PUBCOMP + 1), SUBSCRIBE, UNSUBSCRIBE, PINGREQ}
VERSIONS = (3, 4, 5)
FROM_SERVER = 0x80      # in the first byte of a `codec` input
PIECES = 5


def codec(data: bytes) -> None:
    """One byte that chooses version and direction, then a packet. What is read is written and read again the same, and
    what is refused is what a model refuses that was written from the specifications alone."""
    if not data:
        return
    version, from_server, data = VERSIONS[data[0] % 3], data[0] & FROM_SERVER != 0, data[1:]
    try:
        lengths = frame_lengths(data, version)
    except PacketError:
        return
    if lengths is None or len(data) < sum(lengths):
        return
    whole, kind = data[:sum(lengths)], data[0] >> 4
    try:
        packet = decode(data[0], whole[lengths[0]:], version, from_server)
    except PacketError:
        assert from_server or kind not in MODELLED or model_says(whole, version) == "closed", whole.hex(" ")
        return
    version = packet.proto_ver if kind == CONNECT else version
    again = encode(packet, version)
    assert decode(again[0], again[frame_lengths(again)[0]:], version, from_server) == packet, whole.hex(" ")
    if not from_server and kind in MODELLED and is_modelled(packet, kind):
        assert model_says(whole, version) == "open", whole.hex(" ")


def model_says(packet: bytes, version: int) -> str:
    return Model(version, packet[0] >> 4 != CONNECT).takes(packet)


def is_modelled(packet: Packet, kind: int) -> bool:
    """The model's broker knows no topic aliases, no authentication methods, and refuses some empty client ids."""
    if kind == CONNECT:
        return bool(packet.client_id) and "authentication_method" not in packet.properties
    return kind != PUBLISH or "topic_alias" not in packet.properties


def stream(data: bytes) -> None:
    """All that a client says on a connection: however it is cut, the same comes of it."""
    compare(data, web=False)


def websocket(data: bytes) -> None:
    """The same over WebSocket. A first byte that is odd stands for a request that is accepted."""
    compare(upgrade() + data[1:] if data[:1] and data[0] & 1 else data[1:], web=True)


def compare(data: bytes, *, web: bool) -> None:
    chance = random.Random(zlib.crc32(data))
    cuts = [chance.randrange(len(data) + 1) for _ in range(PIECES)]
    whole, cut = outcome(data, web=web), outcome(data, cuts, web=web)
    assert "internal_error" not in whole.ended, data.hex(" ")
    assert cut == whole, (data.hex(" "), cuts)


TARGETS: dict[str, Callable[[bytes], None]] = {"codec": codec, "stream": stream, "websocket": websocket}
