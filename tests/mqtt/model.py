"""What a broker has to accept, told by the specifications alone: for bytes nobody has thought of before."""

from __future__ import annotations

from tests.clients.raw import (
    AUTH,
    CONNECT,
    DISCONNECT,
    IDS,
    PINGREQ,
    PROPERTIES,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
)

# Properties by packet (MQTT 5.0, section 2.2.2.2); WILL is none of the packet types.
WILL = 0
PROPERTIES_OF = {
    CONNECT: {"session_expiry", "receive_maximum", "maximum_packet_size", "topic_alias_maximum", "request_response",
              "request_problem", "user_property", "auth_method", "auth_data"},
    WILL: {"will_delay", "payload_format", "message_expiry", "content_type", "response_topic", "correlation_data",
           "user_property"},
    PUBLISH: {"payload_format", "message_expiry", "topic_alias", "response_topic", "correlation_data", "user_property",
              "content_type"},
    SUBSCRIBE: {"subscription_id", "user_property"},
    UNSUBSCRIBE: {"user_property"},
    DISCONNECT: {"session_expiry", "reason", "user_property"},
    AUTH: {"auth_method", "auth_data", "reason", "user_property"},
} | {kind: {"reason", "user_property"} for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP)}
# Reason codes that a client may send (sections 3.4.2.1 to 3.7.2.1).
FAILURES = {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS = {
    PUBACK: {0, 0x10} | FAILURES, PUBREC: {0, 0x10} | FAILURES, PUBREL: {0, 0x92}, PUBCOMP: {0, 0x92},
}
FLAGS, ZERO_ONE = {"request_response", "request_problem", "payload_format"}, (0, 1)
BRIDGES = (0x83, 0x84, 0x85)  # how mosquitto's bridges name themselves
NOT_ZERO = {"receive_maximum", "maximum_packet_size", "topic_alias", "subscription_id"}


class Wrong(Exception):
    """The packet may not be accepted."""


class Short(Exception):
    """More bytes have to come."""


def need(condition: object) -> None:
    if not condition:
        raise Wrong


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        need(count <= self.left)
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """Section 1.5.5: at most four bytes, none too many."""
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 127) << 7 * place
            if byte < 128:
                need(byte or not place)
                return value
        raise Wrong

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        """Section 1.5.4: well-formed, without surrogates and U+0000."""
        try:
            value = self.binary().decode()
        except UnicodeDecodeError:
            raise Wrong from None
        need("\0" not in value)
        return value

    def pid(self) -> int:
        value = self.number(2)
        need(value)
        return value


def name(value: str) -> str:
    need(value and "+" not in value and "#" not in value)
    return value


def filter_(value: str) -> str:
    """Sections 4.7.1 and 4.8.2."""
    if value.startswith(("$share/", "$queue/")):
        group, slash, value = value.removeprefix("$share/").partition("/")
        need(slash and group and "+" not in group and "#" not in group)
        need(not value.startswith(("$share/", "$queue/")))
    need(value)
    levels = value.split("/")
    for number, level in enumerate(levels):
        need("#" not in level or (level == "#" and number == len(levels) - 1))
        need("+" not in level or level == "+")
    return value


class Model:
    """A broker without limits and authentication methods that knows no aliases. `connected`: CONNECT was accepted."""

    def __init__(self, version: int, connected: bool) -> None:
        self.version, self.connected, self.ended = version, connected, False

    def takes(self, data: bytes) -> str:
        """`open`, `closed` or `short`: how these bytes leave the connection."""
        while data and not self.ended:
            try:
                first, body, data = self.frame(data)
                self.packet(first >> 4, first & 15, Bytes(body))
            except Short:
                # nothing but a CONNECT is waited for
                return "short" if self.connected or data[0] == 0x10 else "closed"
            except Wrong:
                return "closed"
        return "closed" if self.ended else "open"

    def frame(self, data: bytes) -> tuple[int, bytes, bytes]:
        length = 0
        for place, byte in enumerate(data[1:5]):
            length |= (byte & 127) << 7 * place
            if byte < 128:
                start = place + 2
                need(start + length <= 1 << 20)  # the largest packet
                if start + length > len(data):
                    raise Short
                need(self.version < 5 or byte or not place or not self.connected)
                return data[0], data[start:start + length], data[start + length:]
        if len(data) > 4:
            raise Wrong
        raise Short

    def packet(self, kind: int, flags: int, body: Bytes) -> None:
        if not self.connected:
            need(kind == CONNECT)
            self.connect(flags, body)
            self.connected = True
            return
        check = {PUBLISH: self.publish, SUBSCRIBE: self.subscribe, UNSUBSCRIBE: self.unsubscribe, PINGREQ: self.ping,
                 DISCONNECT: self.disconnect}.get(kind)
        if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            self.flags(flags, 2 if kind == PUBREL else 0, kind == PUBREL)
            self.acknowledgement(kind, body)
            return
        need(check)  # CONNECT again, what only servers send, and AUTH without a method
        check(flags, body)

    def flags(self, flags: int, expected: int, repeats: bool = False) -> None:
        """MQTT 3.1 lets PUBREL, SUBSCRIBE and UNSUBSCRIBE be repeated, and gives other flags no meaning."""
        need(flags == expected or self.version == 3)

    def properties(self, kind: int, body: Bytes) -> dict[str, object]:
        found: dict[str, object] = {}
        if self.version < 5:
            return found
        inner = Bytes(body.take(body.varint()))
        while inner.left:
            number = inner.varint()
            need(number in PROPERTIES)
            key, type_ = PROPERTIES[number]
            need(key in PROPERTIES_OF[kind] and (key not in found or key == "user_property"))
            found[key] = self.value(inner, type_)
            need(key not in FLAGS or found[key] in ZERO_ONE)
            need(key not in NOT_ZERO or found[key])
            if key == "response_topic":
                name(str(found[key]))
        return found

    def value(self, body: Bytes, type_: str) -> object:
        if type_ == "s":
            return body.text()
        if type_ == "b":
            return body.binary()
        if type_ == "p":
            return body.text(), body.text()
        return body.varint() if type_ == "v" else body.number({"B": 1, "H": 2, "I": 4}[type_])

    def connect(self, flags: int, body: Bytes) -> None:
        protocol, level = body.text(), body.number(1)
        level &= 0x7F if level in BRIDGES else 0xFF
        need(flags == 0 and (protocol, level) in (("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)))
        self.version = level
        bits = body.number(1)
        body.number(2)
        will, will_qos, username, password = bits & 4, bits >> 3 & 3, bits & 0x80, bits & 0x40
        need(will_qos < 3)
        need(level == 3 or (not bits & 1 and (will or not bits & 0x38)))
        need(level == 5 or username or not password)
        given = self.properties(CONNECT, body)
        need("auth_method" not in given)  # none is known, and there is no data without one
        need("auth_data" not in given)
        client_id = body.text()
        need(client_id or level == 5 or (level == 4 and bits & 2))
        if will:
            self.properties(WILL, body)
            name(body.text())
            body.binary()
        if username and (body.left or level > 3):  # MQTT 3.1 lets them be missing
            body.text()
        if password and (body.left or level > 3):
            body.binary()
        need(not body.left)

    def publish(self, flags: int, body: Bytes) -> None:
        qos = flags >> 1 & 3
        need(qos < 3 and (qos or not flags & 8))
        name(body.text())
        if qos:
            body.pid()
        need("topic_alias" not in self.properties(PUBLISH, body))

    def acknowledgement(self, kind: int, body: Bytes) -> None:
        body.pid()
        if self.version == 5 and body.left:
            need(body.number(1) in REASONS[kind])
            if body.left:
                self.properties(kind, body)
        need(not body.left)

    def subscribe(self, flags: int, body: Bytes) -> None:
        self.flags(flags, 2)
        body.pid()
        self.properties(SUBSCRIBE, body)
        need(body.left)
        while body.left:
            topic, options = body.text(), body.number(1)
            if self.version == 3:
                options &= 3
            need(options & 3 < 3 and not options & (0xC0 if self.version == 5 else 0xFC) and options & 0x30 != 0x30)
            need(not (options & 4 and topic.startswith(("$share/", "$queue/"))))
            filter_(topic)

    def unsubscribe(self, flags: int, body: Bytes) -> None:
        self.flags(flags, 2)
        body.pid()
        self.properties(UNSUBSCRIBE, body)
        need(body.left)
        while body.left:
            filter_(body.text())

    def ping(self, flags: int, body: Bytes) -> None:
        self.flags(flags, 0)
        need(not body.left)

    def disconnect(self, flags: int, body: Bytes) -> None:
        """Whether it is right or not: the connection ends."""
        self.ended = True


assert set().union(*PROPERTIES_OF.values()) < set(IDS)
