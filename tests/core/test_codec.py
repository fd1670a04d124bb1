"""The codec: what is written is read again, by us and by a client library; nothing else is taken for a packet."""

from __future__ import annotations

import ctypes
import socket
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from router_ext.protocol import codec, properties
from router_ext.protocol.codec import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    MalformedPacket,
    PacketError,
    Pingreq,
    Pingresp,
    ProtocolViolation,
    PublishPacket,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    UnsupportedVersion,
    Will,
    decode,
    decode_properties,
    encode,
    encode_properties,
    frame_lengths,
)

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH, WILL = range(8, 17)

# ---- any packet --------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
binaries = st.binary(max_size=20)
packet_ids = st.integers(1, 0xFFFF)
topics = texts.filter(lambda text: text and not {"+", "#"} & set(text))
levels = st.one_of(st.just("+"), st.text(ascii_lowercase, max_size=4))
filters = st.builds(
    lambda share, parts, rest: share + ("/".join([*parts, "#"] if rest else parts) or "+"),
    st.sampled_from(("", "$share/group/", "$queue/")), st.lists(levels, min_size=1, max_size=5), st.booleans(),
)

KINDS = (  # by the kinds of paho's table
    st.integers(0, 1), st.integers(1, 0xFFFF), st.integers(1, 0xFFFFFFFF), st.integers(1, 268435455), binaries, texts,
    st.tuples(texts, texts),
)
PAHO = Properties(PacketTypes.PUBLISH)


def snake(name: str) -> str:
    return name.lower().replace(" ", "_")


def paho_type(packet_type: int) -> int:
    return PacketTypes.WILLMESSAGE if packet_type == WILL else packet_type


def properties_of(packet_type: int, from_server: bool = False):
    """A strategy for the properties that paho's table allows in a packet."""
    fields = {}
    for name, identifier in PAHO.names.items():
        kind, packets = PAHO.properties[identifier]
        strategy = topics if name == "Response Topic" else KINDS[kind]
        if paho_type(packet_type) not in packets:
            continue
        if name == "User Property":
            strategy = st.lists(strategy, min_size=1, max_size=3)
        elif name == "Subscription Identifier" and packet_type == PUBLISH:
            if not from_server:
                continue
            strategy = st.one_of(strategy, st.lists(strategy, min_size=2, max_size=3))
        fields[snake(name)] = strategy
    return st.fixed_dictionaries({}, optional=fields)


def props(packet_type: int, version: int, from_server: bool = False):
    return properties_of(packet_type, from_server) if version == 5 else st.just({})


def codes(packet_type: int):
    return st.sampled_from([code for code, names in ReasonCode.names.items()
                            if any(packet_type in packets for packets in names.values())])


def connects(version: int):
    wills = st.builds(Will, topics, binaries, st.integers(0, 2), st.booleans(), props(WILL, version))
    login = st.tuples(texts, st.none() | binaries) | st.tuples(st.none(), binaries if version == 5 else st.none())

    def build(login, properties, **fields):
        if "authentication_method" not in properties:
            properties.pop("authentication_data", None)
        return Connect(proto_ver=version, username=login[0], password=login[1], properties=properties, **fields)

    return st.builds(build, login, props(CONNECT, version), client_id=texts, clean_start=st.booleans(),
                     keepalive=st.integers(0, 0xFFFF), is_bridge=st.booleans(), will=st.none() | wills)


def publishes(version: int, from_server: bool):
    def build(topic, payload, qos, retain, dup, packet_id, properties):
        return PublishPacket(topic, payload, qos, retain, bool(qos and dup), packet_id if qos else 0, properties)

    return st.builds(build, topics, binaries, st.integers(0, 2), st.booleans(), st.booleans(), packet_ids,
                     props(PUBLISH, version, from_server))


def acks(version: int):
    def of(kind):
        reason = codes(kind) if version == 5 else st.just(0)
        return st.builds(Ack, st.just(kind), packet_ids, reason, props(kind, version))

    return st.sampled_from((PUBACK, PUBREC, PUBREL, PUBCOMP)).flatmap(of)


def subscribes(version: int):
    options = st.integers(0, 2)
    if version == 5:
        options = st.builds(lambda qos, flags, retain: qos | flags << 2 | retain << 4,
                            st.integers(0, 2), st.integers(0, 3), st.integers(0, 2))
    rows = st.tuples(filters, options).map(lambda row: (row[0], row[1] & ~4) if row[0][0] == "$" else row)
    return st.builds(Subscribe, packet_ids, st.lists(rows, min_size=1, max_size=4), props(SUBSCRIBE, version))


def auths():
    def build(code, method, properties):
        return Auth(code, {**properties, "authentication_method": method})

    return st.builds(build, codes(AUTH), texts, properties_of(AUTH)) | st.just(Auth())


def from_clients(version: int):
    """A strategy for every packet a client may send."""
    kinds = [connects(version), publishes(version, False), acks(version), subscribes(version),
             st.builds(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4),
                       props(UNSUBSCRIBE, version)),
             st.just(Pingreq())]
    if version == 5:
        kinds += [st.builds(Disconnect, codes(DISCONNECT), properties_of(DISCONNECT)), auths()]
    else:
        kinds.append(st.just(Disconnect()))
    return st.one_of(kinds)


def from_servers(version: int):
    """A strategy for what only a server sends, or sends with more in it."""
    if version == 5:
        kinds = [st.builds(Connack, st.booleans(), codes(CONNACK), properties_of(CONNACK)),
                 st.builds(Suback, packet_ids, st.lists(codes(SUBACK), min_size=1), properties_of(SUBACK)),
                 st.builds(Unsuback, packet_ids, st.lists(codes(UNSUBACK), min_size=1), properties_of(UNSUBACK))]
    else:
        granted = st.sampled_from((0, 1, 2, 0x80))
        kinds = [st.builds(Connack, st.booleans(), st.integers(0, 5)),
                 st.builds(Suback, packet_ids, st.lists(granted, min_size=1)),
                 st.builds(Unsuback, packet_ids)]
    return st.one_of(*kinds, publishes(version, True), st.just(Pingresp()))


versions = st.sampled_from((3, 4, 5))
sent = versions.flatmap(lambda version: st.tuples(st.just(version), from_clients(version)))
answered = versions.flatmap(lambda version: st.tuples(st.just(version), from_servers(version)))


def split(data: bytes, version: int) -> tuple[int, bytes]:
    """First byte, and what follows the fixed header of the one packet in `data`."""
    header, body = frame_lengths(data, version)
    assert header + body == len(data)
    return data[0], data[header:]


@given(sent)
def test_what_a_client_sends_is_read_as_it_was(case):
    version, packet = case
    assert decode(*split(encode(packet, version), version), version) == packet


@given(answered)
def test_what_a_server_sends_is_read_as_it_was(case):
    version, packet = case
    assert decode(*split(encode(packet, version), version), version, from_server=True) == packet


REFUSALS = (0x81, 0x82, 0x84, 0x8F, 0x90, 0x94)


def taken_or_refused(first_byte: int, body: bytes, version: int):
    """A packet, which survives being written and read again, or the reason code it is refused with."""
    try:
        packet = decode(first_byte, body, version)
    except PacketError as error:
        return error.reason_code
    version = packet.proto_ver if isinstance(packet, Connect) else version
    assert decode(*split(encode(packet, version), version), version) == packet
    return packet


@given(sent)
def test_every_truncation_is_refused_or_another_packet(case):
    """A body may end early only where the format lets it: a payload, or the list of a SUBSCRIBE."""
    version, packet = case
    first_byte, body = split(encode(packet, version), version)
    for length in range(len(body)):
        shorter = taken_or_refused(first_byte, body[:length], version)
        assert shorter != packet


@given(sent)
def test_every_prefix_of_a_packet_waits_for_more(case):
    version, packet = case
    data = encode(packet, version)
    for length in range(len(data)):
        lengths = frame_lengths(data[:length], version)
        assert lengths is None or sum(lengths) == len(data)


@given(st.integers(0, 255), st.binary(max_size=60), versions)
def test_any_bytes_are_a_packet_or_refused(first_byte, body, version):
    found = taken_or_refused(first_byte, body, version)
    assert not isinstance(found, int) or found in REFUSALS


@given(sent, st.data())
def test_one_wrong_byte_is_a_packet_or_refused(case, data):
    version, packet = case
    first_byte, body = split(encode(packet, version), version)
    changed = bytearray(body)
    if changed:
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= data.draw(st.integers(1, 255))
    found = taken_or_refused(first_byte, bytes(changed), version)
    assert not isinstance(found, int) or found in REFUSALS


def naive_name_refusal(topic: bytes) -> int:
    """0, or the reason code a topic name without an alias is refused with."""
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        return 0x81
    if "\0" in text:
        return 0x81
    if not text:
        return 0x82
    return 0x90 if "+" in text or "#" in text else 0


near_names = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda length, at, odd: bytes(length)[:at].replace(b"\0", b"a") + odd + b"b" * (length - at),
              st.integers(0, 40), st.integers(0, 40), st.sampled_from((b"", b"+", b"#", b"\0", b"\x80", "é".encode()))),
)


@given(near_names)
def test_a_topic_name_is_judged_as_a_naive_reader_does(topic):
    """[MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2]"""
    body = len(topic).to_bytes(2, "big") + topic + b"payload"
    found = taken_or_refused(0x30, body, 4)
    expected = naive_name_refusal(topic)
    if expected:
        assert found == expected
    else:
        assert found == PublishPacket(topic.decode(), b"payload")


# ---- the fixed header --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 127, 128, 16383, 16384, 2097151, 2097152, 268435455])
def test_remaining_length_at_its_edges(length):
    """2.1.4, table 2-1"""
    encoded = bytearray()
    rest = length
    while True:
        rest, group = divmod(rest, 128)
        encoded.append(group | (128 if rest else 0))
        if not rest:
            break
    assert frame_lengths(bytes([0x30]) + encoded, 5) == (1 + len(encoded), length)
    for cut in range(len(encoded)):
        assert frame_lengths(bytes([0x30]) + encoded[:cut], 5) is None


def test_a_fifth_length_byte_is_malformed():
    """Section 2.1.4: four bytes at most."""
    with pytest.raises(MalformedPacket):
        frame_lengths(b"\x30\xff\xff\xff\xff", 4)


def test_a_padded_length_is_malformed_only_in_mqtt_5():
    """[MQTT-1.5.5-1]"""
    assert frame_lengths(b"\xc0\x80\x00", 4) == (3, 0)
    with pytest.raises(MalformedPacket):
        frame_lengths(b"\xc0\x80\x00", 5)


def test_a_packet_too_long_cannot_be_written():
    with pytest.raises(ValueError, match="268435455"):
        encode(PublishPacket("t", bytes(268435455)), 4)


@pytest.mark.parametrize("packet", [
    PublishPacket("t" * 65536), Connect(password=bytes(65536), username=""), Connect(keepalive=65536),
    PublishPacket("t", properties={"no_such_property": 1}), Subscribe(1, [], {"receive_maximum": 1}),
    PublishPacket("t", properties={"topic_alias": 65536}),
    PublishPacket("t", properties={"subscription_identifier": 268435456}),
])
def test_what_has_no_encoding_is_told(packet):
    with pytest.raises((ValueError, OverflowError)):
        encode(packet, 5)


# ---- properties --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet_type", [*range(1, 12), DISCONNECT, AUTH, WILL])
def test_the_table_of_properties_is_pahos(packet_type):
    """2.2.2.2: where each may appear, and how its value is written"""
    samples = (1, 258, 66051, 300, b"\x00\xff", "text", ("k", "v"))
    for name, identifier in PAHO.names.items():
        kind, packets = PAHO.properties[identifier]
        if paho_type(packet_type) not in packets:
            with pytest.raises(ValueError, match="not allowed"):
                encode_properties({snake(name): samples[kind]}, packet_type)
            continue
        theirs = Properties(paho_type(packet_type))
        setattr(theirs, name.replace(" ", ""), samples[kind])
        written = encode_properties({snake(name): samples[kind]}, packet_type)
        assert written == theirs.pack()[1:]
        assert decode_properties(written) == {snake(name): [samples[kind]] if kind == 6 else samples[kind]}


@given(properties_of(PUBLISH, from_server=True))
def test_properties_are_read_as_they_were_written(properties):
    assert decode_properties(encode_properties(properties, PUBLISH)) == properties


@given(st.binary(max_size=40))
def test_any_properties_are_read_or_malformed(data):
    try:
        found = decode_properties(data)
    except MalformedPacket:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize("packet_type", [CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH])
def test_the_reason_codes_are_pahos(packet_type):
    """2.4; 3.2.2.2 gives CONNACK one more (for the will's payload), which paho leaves out"""
    theirs = {0x99} if packet_type == CONNACK else set()
    theirs |= {code for code, names in ReasonCode.names.items()
              if any(packet_type in packets for packets in names.values())}

    def taken(code):
        packet = {
            CONNACK: lambda: Connack(False, code), SUBACK: lambda: Suback(1, [code]),
            UNSUBACK: lambda: Unsuback(1, [code]), DISCONNECT: lambda: Disconnect(code),
            AUTH: lambda: Auth(code, {"authentication_method": "M"}),
        }.get(packet_type, lambda: Ack(packet_type, 1, code))()
        try:
            return decode(*split(encode(packet, 5), 5), 5) == packet
        except ProtocolViolation:
            return False

    assert {code for code in range(256) if taken(code)} == theirs


# ---- the C face, as the modules that cimport it see it -----------------------------------------------------


def c_function(module, name, *signature):
    capsule = module.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(*signature)(address)


forwardable = c_function(properties, "forwardable", ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
parse_ack = c_function(codec, "parse_ack", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint8,
                       ctypes.POINTER(ctypes.c_uint16), ctypes.POINTER(ctypes.c_uint8))


@given(properties_of(PUBLISH))
def test_a_server_forwards_all_properties_but_alias_and_expiry(properties):
    """[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]"""
    data = encode_properties(properties, PUBLISH)
    room = ctypes.create_string_buffer(len(data) + 1)
    length = forwardable(data, len(data), room)
    kept = {name: value for name, value in properties.items()
            if name not in ("topic_alias", "message_expiry_interval")}
    assert room.raw[:length] == encode_properties(kept, PUBLISH)


@given(versions.flatmap(lambda version: st.tuples(st.just(version), acks(version))))
def test_an_acknowledgement_without_a_record(case):
    version, packet = case
    _, body = split(encode(packet, version), version)
    packet_id, reason = ctypes.c_uint16(), ctypes.c_uint8()
    assert parse_ack(body, len(body), version, packet_id, reason) == 0
    assert (packet_id.value, reason.value) == (packet.packet_id, packet.reason_code)


# ---- errors ------------------------------------------------------------------------------------------------


def test_an_error_knows_its_reason_code_and_the_version_to_answer_in():
    with pytest.raises(MalformedPacket) as caught:
        decode(0x10, b"\0\4MQTT\5\3\0\0", 0)
    assert (caught.value.reason_code, caught.value.version) == (0x81, 5)
    with pytest.raises(ProtocolViolation) as caught:
        decode(0x10, b"\0\4MQXX\5\2\0\0", 0)
    assert (caught.value.reason_code, caught.value.version) == (0x82, 0)
    with pytest.raises(UnsupportedVersion) as caught:
        decode(0x10, b"\0\4MQTT\6\2\0\0", 0)
    assert (caught.value.reason_code, caught.value.version) == (0x84, 6)


def test_a_password_is_not_shown():
    assert "secret" not in repr(Connect(username="user", password=b"secret"))


# ---- a client library as the other side --------------------------------------------------------------------


class Wire:
    """paho's client on one end of a socket pair, without its network loop."""

    def __init__(self, version, **arguments):
        self.version = version
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, "paho-client", protocol=version, **arguments)
        self.theirs, self.ours = socket.socketpair()
        self.client._sock = self.theirs
        self.ours.settimeout(2)

    def close(self):
        self.client._sock_close()
        self.theirs.close()
        self.ours.close()

    def sent(self):
        """The next packet paho wrote, decoded."""
        data = b""
        while (lengths := frame_lengths(data, self.version)) is None or len(data) < sum(lengths):
            data += self.ours.recv(1 if lengths is None else sum(lengths) - len(data))
        return decode(*split(data, self.version), self.version)

    def take(self, packet):
        """paho reads what we write."""
        self.ours.sendall(encode(packet, self.version))
        assert self.client.loop_read() == paho.MQTT_ERR_SUCCESS


@pytest.fixture(params=[3, 4, 5])
def wire(request):
    arguments = {} if request.param == 5 else {"clean_session": True}
    wire = Wire(request.param, **arguments)
    yield wire
    wire.close()


def paho_properties(packet_type, version, **values):
    if version != 5:
        return None
    made = Properties(packet_type)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_pahos_connect(wire):
    extra = {"properties": {}} if wire.version == 5 else {}
    wire.client.username_pw_set("user", "secret")
    wire.client.will_set("will/topic", b"gone", 1, True, paho_properties(
        PacketTypes.WILLMESSAGE, wire.version, WillDelayInterval=7, UserProperty=("k", "v")))
    wire.client._clean_start = True
    wire.client._connect_properties = paho_properties(
        PacketTypes.CONNECT, wire.version, SessionExpiryInterval=60, ReceiveMaximum=10)
    assert wire.client._send_connect(45) == paho.MQTT_ERR_SUCCESS
    will = Will("will/topic", b"gone", 1, True,
                {"will_delay_interval": 7, "user_property": [("k", "v")]} if wire.version == 5 else {})
    extra = {"session_expiry_interval": 60, "receive_maximum": 10} if wire.version == 5 else {}
    assert wire.sent() == Connect("paho-client", wire.version, clean_start=True, keepalive=45, username="user",
                                  password=b"secret", will=will, properties=extra)


def connected(wire):
    wire.take(Connack(False, 0, {"topic_alias_maximum": 5} if wire.version == 5 else {}))
    return wire


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pahos_publish(wire, qos):
    connected(wire).client.publish("a/größe", b"\0payload", qos, True, paho_properties(
        PacketTypes.PUBLISH, wire.version, MessageExpiryInterval=9, ContentType="text/plain"))
    extra = {"message_expiry_interval": 9, "content_type": "text/plain"} if wire.version == 5 else {}
    assert wire.sent() == PublishPacket("a/größe", b"\0payload", qos, True, False, 1 if qos else 0, extra)


def test_pahos_subscribe_and_unsubscribe(wire):
    connected(wire)
    if wire.version == 5:
        options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2)
        wire.client.subscribe([("a/+", options), ("b/#", SubscribeOptions(qos=2))], properties=paho_properties(
            PacketTypes.SUBSCRIBE, 5, SubscriptionIdentifier=300))
        assert wire.sent() == Subscribe(1, [("a/+", 0x2D), ("b/#", 0x02)], {"subscription_identifier": 300})
    else:
        wire.client.subscribe([("a/+", 1), ("b/#", 2)])
        assert wire.sent() == Subscribe(1, [("a/+", 1), ("b/#", 2)])
    wire.client.unsubscribe(["a/+", "b/#"])
    assert wire.sent() == Unsubscribe(2, ["a/+", "b/#"])


def test_pahos_ping_and_disconnect(wire):
    connected(wire).client._send_pingreq()
    assert wire.sent() == Pingreq()
    wire.client._send_disconnect(*([ReasonCode(PacketTypes.DISCONNECT, identifier=4)] if wire.version == 5 else []))
    assert wire.sent() == Disconnect(4 if wire.version == 5 else 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho_reads_our_publish(wire, qos):
    got = []
    wire.client.on_message = lambda client, data, message: got.append(message)
    extra = {"subscription_identifier": [3, 300], "user_property": [("k", "v")]} if wire.version == 5 else {}
    connected(wire).take(PublishPacket("a/größe", b"\0payload", qos, True, False, 9 if qos else 0, extra))
    if qos == 1:
        assert wire.sent() == Ack(PUBACK, 9)
    if qos == 2:
        assert wire.sent() == Ack(PUBREC, 9)
        wire.take(Ack(PUBREL, 9))
        assert wire.sent() == Ack(PUBCOMP, 9)
    (message,) = got
    assert (message.topic, message.payload, message.qos, message.retain) == ("a/größe", b"\0payload", qos, True)
    if wire.version == 5:
        assert message.properties.SubscriptionIdentifier == [3, 300]
        assert message.properties.UserProperty == [("k", "v")]


def test_paho_reads_our_answers(wire):
    got = []
    wire.client.on_connect = lambda client, data, flags, code, properties: got.append(
        ("connack", flags.session_present, code.value))
    wire.client.on_subscribe = lambda client, data, mid, codes, properties: got.append(
        ("suback", mid, [code.value for code in codes]))
    wire.client.on_unsubscribe = lambda client, data, mid, codes, properties: got.append(("unsuback", mid))
    wire.take(Connack(True, 0))
    wire.client.subscribe("a", 1)
    wire.sent()
    wire.take(Suback(1, [1]))
    wire.client.unsubscribe("a")
    wire.sent()
    wire.take(Unsuback(2, [0x11]))
    assert got == [("connack", True, 0), ("suback", 1, [1]), ("unsuback", 2)]


def test_refusals_before_mqtt_5_are_0x80():
    """[MQTT-3.9.3-2] of 3.1.1"""
    assert encode(Suback(7, [2, 0x87, 0x9E]), 4) == b"\x90\x05\x00\x07\x02\x80\x80"
