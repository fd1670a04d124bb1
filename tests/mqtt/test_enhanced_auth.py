"""Enhanced authentication (MQTT 5.0, section 4.12) with SCRAM-SHA-256: the client shares no code with the broker."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time

import gevent.event
import pytest

from emqx_mgmt.broker.auth.enhanced import HOOK, AuthenticationFailed, Challenge, Proven
from emqx_mgmt.broker.auth.scram import (
    LONGEST_MESSAGE,
    LONGEST_TEXT,
    Exchange,
    ScramError,
    read_first,
    verifier_of,
)
from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Auth, Connect
from tests.broker_process import BrokerProcess
from tests.clients import raw
from tests.clients.codec import Client
from tests.harness import Bench

METHOD = "SCRAM-SHA-256"
USER, PASSWORD = "ada", "difference engine"
CONTINUE, RE_AUTHENTICATE = 0x18, 0x19
NAMES = (f"scram-{number}" for number in itertools.count())


class Scram:
    """RFC 5802 as its section 5.1 tells it from the client's side."""

    def __init__(self, user: str = USER, password: str = PASSWORD, gs2: str = "n,,", nonce: str = "fyko+d2lbbFgONRv"):
        self.password, self.gs2, self.nonce = password.encode(), gs2, nonce
        self.bare = f"n={user},r={nonce}"
        self.server_signature = b""

    @property
    def first(self) -> bytes:
        return (self.gs2 + self.bare).encode()

    def final(self, challenge: bytes, nonce_suffix: str = "", spoil: bool = False) -> bytes:
        fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
        assert fields["r"].startswith(self.nonce)
        assert len(fields["r"]) >= len(self.nonce) + 16
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        assert rounds >= 4096  # RFC 7677, section 4
        binding = base64.b64encode(self.gs2.encode()).decode()
        without_proof = f"c={binding},r={fields['r']}{nonce_suffix}"
        message = f"{self.bare},{challenge.decode()},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", self.password, salt, rounds)
        client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
        signature = hmac.new(hashlib.sha256(client_key).digest(), message, hashlib.sha256).digest()
        proof = (int.from_bytes(client_key, "big") ^ int.from_bytes(signature, "big")).to_bytes(32, "big")
        if spoil:
            proof = bytes([proof[0] ^ 1]) + proof[1:]
        server_key = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
        self.server_signature = b"v=" + base64.b64encode(hmac.new(server_key, message, hashlib.sha256).digest())
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


@pytest.fixture(scope="module", autouse=True)
def users(broker: BrokerProcess):
    for name, password in ((USER, PASSWORD), ("grace", "nanoseconds"), ("a,b=c", "odd name")):
        reply = broker.api("POST", "scram_users/", json={"username": name, "password": password})
        assert reply.status_code == 200, reply.text
    yield
    for row in broker.api("GET", "scram_users/").json():
        broker.api("DELETE", "scram_users/" + row["username"])


@pytest.fixture
def client(broker):
    with Client(broker.mqtt_port) as client:
        yield client


def begin(client: Client, scram: Scram, **more: object):
    """CONNECT, and the broker's challenge."""
    answer = client.connect(next(NAMES), authentication_method=METHOD, authentication_data=scram.first, **more)
    assert (type(answer).__name__, answer.reason_code) == ("Auth", CONTINUE), answer
    assert answer.properties["authentication_method"] == METHOD  # [MQTT-4.12.0-5]
    return answer.properties["authentication_data"]


def log_in(client: Client, scram: Scram, **more: object):
    challenge = begin(client, scram, **more)
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
    connack = client.packet()
    assert (type(connack).__name__, connack.reason_code) == ("Connack", 0), connack
    return connack


def assert_refused(client: Client, code: int) -> None:
    answer = client.packet()
    assert (type(answer).__name__, answer.reason_code) == ("Connack", code), answer
    client.assert_closed()  # [MQTT-4.12.0-4]


def test_both_sides_prove_themselves(client):
    """[MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]"""
    scram = Scram()
    connack = log_in(client, scram)
    assert connack.properties["authentication_method"] == METHOD
    assert connack.properties["authentication_data"] == scram.server_signature
    assert client.packets() == []


@pytest.mark.parametrize(("user", "password", "gs2"), [
    ("a=2Cb=3Dc", "odd name", "n,,"), (USER, PASSWORD, "y,,"), (USER, PASSWORD, f"n,a={USER},"),
])
def test_what_else_names_a_user(client, user, password, gs2):
    log_in(client, Scram(user, password, gs2))


def test_the_first_message_may_follow_in_an_auth(client):
    scram = Scram()
    answer = client.connect(next(NAMES), authentication_method=METHOD)
    assert (answer.reason_code, answer.properties) == (CONTINUE, {"authentication_method": METHOD})
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.first)
    challenge = client.packet().properties["authentication_data"]
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
    assert client.packet().properties["authentication_data"] == scram.server_signature


def test_the_user_is_the_connection_s(broker, client):
    log_in(client, Scram())
    row = broker.api("GET", f"connections/scram-{int(next(NAMES).partition('-')[2]) - 1}").json()
    assert (row[0] if isinstance(row, list) else row)["username"] == USER


@pytest.mark.parametrize("method", ["SCRAM-SHA-1", "scram-sha-256", "GS2-KRB5", ""])
def test_unknown_method(client, method):
    """[MQTT-4.12.0-1]"""
    answer = client.connect(next(NAMES), authentication_method=method, authentication_data=b"n,,n=ada,r=x")
    assert (type(answer).__name__, answer.reason_code) == ("Connack", 0x8C)
    client.assert_closed()


@pytest.mark.parametrize("scram", [Scram(password="wrong"), Scram(user="nobody")], ids=["password", "user"])
def test_wrong_credentials(client, scram):
    challenge = begin(client, scram)  # also for a user that is not there
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
    assert_refused(client, 0x87)


def test_an_unknown_user_always_has_the_same_salt(broker):
    salts = set()
    for _ in range(2):
        with Client(broker.mqtt_port) as client:
            salts.add(begin(client, Scram(user="nobody")).decode().split(",")[1])
    assert len(salts) == 1


@pytest.mark.parametrize("data", [
    b"", b"n", b"n,,", b"n,,n=ada", b"n,,n=,r=x", b"n,,n=ada,r=", b"n,,n=ada,r=a b", b"n,,r=x,n=ada",
    b"n,,m=1,n=ada,r=x", b"p=tls-unique,,n=ada,r=x", b"x,,n=ada,r=x", b"n,a=grace,n=ada,r=x",
    b"n,,n=a=2Xb,r=x", b"n,,n=\xff,r=x", b"n,,n=a\0,r=x", b"\0" * 5000,
])
def test_malformed_first_message(client, data):
    answer = client.connect(next(NAMES), authentication_method=METHOD, authentication_data=data)
    assert (type(answer).__name__, answer.reason_code) == ("Connack", 0x87), answer
    client.assert_closed()


@pytest.mark.parametrize("name", ["é" * 30_000, "a" + "\u0301\u0316" * 15_000, "a" * 60_000])
def test_a_long_name_is_refused_before_it_is_looked_at(name):
    """SASLprep of such a name takes seconds of the loop; nobody is known yet."""
    began = time.process_time()
    for message in (f"n,,n={name},r=x", f"n,a={name},n=ada,r=x", f"n,,n=ada,r={name}"):
        with pytest.raises(ScramError):
            read_first(message.encode())
    assert time.process_time() - began < 0.05


def test_the_longest_name():
    assert read_first(b"n,,n=" + b"a" * LONGEST_TEXT + b",r=x").username == "a" * LONGEST_TEXT
    for name in ("a" * (LONGEST_TEXT + 1), "\ufdfa" * (LONGEST_TEXT // 18 + 1)):  # which becomes eighteen letters
        with pytest.raises(ScramError):
            read_first(f"n,,n={name},r=x".encode())


def test_a_final_message_may_be_no_longer():
    exchange = Exchange(read_first(b"n,,n=ada,r=x"), verifier_of("secret"))
    with pytest.raises(ScramError, match="longer"):
        exchange.final(b"c=biws,r=" + b"x" * LONGEST_MESSAGE + b",p=")


@pytest.mark.parametrize("spoil", [
    lambda scram, challenge: scram.final(challenge, spoil=True),
    lambda scram, challenge: scram.final(challenge, nonce_suffix="x"),
    lambda scram, challenge: scram.final(challenge).replace(b"c=biws", b"c=eSws"),
    lambda scram, challenge: scram.final(challenge).rpartition(b",p=")[0],
    lambda scram, challenge: scram.final(challenge) + b"!",
    lambda scram, challenge: scram.final(challenge).rpartition(b"p=")[0] + b"p=AAAA",
    lambda scram, challenge: b"\xff",
    lambda scram, challenge: b"",
    lambda scram, challenge: scram.first,
], ids=["proof", "nonce", "binding", "none", "not base64", "short", "not utf-8", "empty", "first again"])
def test_bad_final_message(client, spoil):
    scram = Scram()
    challenge = begin(client, scram)
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=spoil(scram, challenge))
    assert_refused(client, 0x87)


def test_a_proof_cannot_be_replayed(broker):
    with Client(broker.mqtt_port) as client:
        scram = Scram()
        final = scram.final(begin(client, scram))
        client.auth(CONTINUE, authentication_method=METHOD, authentication_data=final)
        assert client.packet().reason_code == 0
    with Client(broker.mqtt_port) as client:
        begin(client, scram)
        client.auth(CONTINUE, authentication_method=METHOD, authentication_data=final)
        assert_refused(client, 0x87)


@pytest.mark.parametrize(("code", "method"), [(CONTINUE, "OTHER"), (RE_AUTHENTICATE, METHOD), (0x00, METHOD)])
def test_auth_that_does_not_fit_the_exchange(client, code, method):
    """[MQTT-4.12.0-5], 3.15.2.1"""
    scram = Scram()
    challenge = begin(client, scram)
    client.auth(code, authentication_method=method, authentication_data=scram.final(challenge))
    assert_refused(client, 0x82)


@pytest.mark.parametrize("packet", ["c000", "30050001747878", "82060001000001 6100".replace(" ", ""),
                                    "100d00044d5154540502003c000000", "40020001", "2003000000"])
def test_nothing_but_auth_and_disconnect_before_connack(client, packet):
    """[MQTT-3.1.2-30] [MQTT-3.14.0-1]"""
    begin(client, Scram())
    client.raw(bytes.fromhex(packet))
    assert_refused(client, 0x82)


@pytest.mark.parametrize("packet", ["f003180115", "f1020000", "f0ffffffff7f"])
def test_malformed_before_connack(client, packet):
    begin(client, Scram())
    client.raw(bytes.fromhex(packet))
    assert_refused(client, 0x81)


def test_disconnect_before_connack(client):
    begin(client, Scram())
    client.disconnect()
    client.assert_closed()


def test_silence_before_connack(start_broker):
    """`idle_timeout` runs from the client's last word."""
    with Client(start_broker({"EMQX_ZONE__EXTERNAL__IDLE_TIMEOUT": "1s"}).mqtt_port) as client:
        answer = client.connect("silent", authentication_method=METHOD, authentication_data=Scram().first)
        assert answer.reason_code == CONTINUE
        client.assert_closed()


def test_another_user_name_in_connect(client):
    """The user that was authenticated is the one that counts; CONNECT may not say otherwise."""
    scram = Scram()
    challenge = begin(client, scram, username="grace")
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
    assert_refused(client, 0x87)


def re_authenticate(client: Client, scram: Scram):
    client.auth(RE_AUTHENTICATE, authentication_method=METHOD, authentication_data=scram.first)
    answer = client.packet()
    assert (type(answer).__name__, answer.reason_code) == ("Auth", CONTINUE), answer
    client.auth(CONTINUE, authentication_method=METHOD,
                authentication_data=scram.final(answer.properties["authentication_data"]))
    return client.packet()


def test_re_authentication(client):
    """4.12.1: messages go on meanwhile, and after it."""
    log_in(client, Scram())
    client.subscribe("re/auth")
    scram = Scram(nonce="another")
    client.auth(RE_AUTHENTICATE, authentication_method=METHOD, authentication_data=scram.first)
    challenge = client.packet().properties["authentication_data"]
    client.publish("re/auth", b"meanwhile")
    assert client.packet().payload == b"meanwhile"
    client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
    answer = client.packet()
    assert (type(answer).__name__, answer.reason_code) == ("Auth", 0x00)
    assert answer.properties == {"authentication_method": METHOD, "authentication_data": scram.server_signature}
    assert re_authenticate(client, Scram()).reason_code == 0x00
    assert client.packets() == []


def assert_disconnected(client: Client, answer, code: int) -> None:
    assert (type(answer).__name__, answer.reason_code) == ("Disconnect", code), answer
    client.assert_closed()


@pytest.mark.parametrize("scram", [Scram(password="wrong"), Scram("grace", "nanoseconds")], ids=["wrong", "other user"])
def test_failed_re_authentication(client, scram):
    """[MQTT-4.12.1-2]"""
    log_in(client, Scram())
    assert_disconnected(client, re_authenticate(client, scram), 0x87)


@pytest.mark.parametrize(("code", "properties"), [
    (RE_AUTHENTICATE, {"authentication_method": "OTHER"}),  # [MQTT-4.12.1-1]
    (CONTINUE, {"authentication_method": METHOD}),
    (0x00, {"authentication_method": METHOD}),
    (0x00, {}),
], ids=["other method", "nothing to continue", "success", "no properties"])
def test_bad_re_authentication(client, code, properties):
    log_in(client, Scram())
    client.auth(code, **properties)
    assert_disconnected(client, client.packet(), 0x82)


def test_re_authentication_within_another(client):
    log_in(client, Scram())
    for _ in range(2):
        client.auth(RE_AUTHENTICATE, authentication_method=METHOD, authentication_data=Scram().first)
    assert client.packet().reason_code == CONTINUE
    assert_disconnected(client, client.packet(), 0x82)


def test_no_auth_without_a_method_in_connect(client):
    """[MQTT-4.12.0-6] [MQTT-4.12.0-7]"""
    answer = client.connect(next(NAMES))
    assert (type(answer).__name__, "authentication_method" in answer.properties) == ("Connack", False)
    client.auth(RE_AUTHENTICATE, authentication_method=METHOD, authentication_data=Scram().first)
    assert_disconnected(client, client.packet(), 0x82)


class Riddle:
    """A method of somebody else's, which asks a database each time."""

    def __init__(self, gate: gevent.event.Event) -> None:
        self.gate, self.asked = gate, 0

    def step(self, data: bytes | None) -> Challenge | Proven:
        self.gate.wait()
        self.asked += 1
        if data == b"fail":
            raise RuntimeError("the database is gone")
        if data == b"sorry":
            raise AuthenticationFailed
        return Proven("sphinx", data=b"pass") if data == b"man" else Challenge(b"four, two, three legs?")


@pytest.mark.parametrize(("word", "kind", "code"), [
    (b"man", raw.CONNACK, 0x00), (b"sorry", raw.CONNACK, 0x87), (b"fail", raw.CONNACK, 0x88),
])
def test_a_method_that_takes_its_time(word, kind, code):
    """Behind the hook, in a greenlet: what follows waits, others do not."""
    bench, gate = Bench(), gevent.event.Event()
    bench.broker.hooks.add(HOOK, lambda client, method: Riddle(gate) if method == "RIDDLE" else None, blocking=True)
    client, other = bench.open(), bench.client("other")

    def auth(data: bytes) -> bytes:
        return encode(Auth(CONTINUE, {"authentication_method": "RIDDLE", "authentication_data": data}), 5)

    client.send(encode(Connect("slow", 5, properties={"authentication_method": "RIDDLE"}), 5) + auth(word)
                + b"\xc0\x00")
    bench.turn()
    other.silent()
    client.read()
    assert client.inbox == b""
    gate.set()
    client.expect(raw.AUTH, code=CONTINUE)
    client.expect(kind, code=code)
    if code:
        client.closed()
    else:
        client.expect(raw.PINGRESP)
        assert bench.engine.sessions["slow"].username == "sphinx"


class Guard:
    """Says of everybody that he is ada, and of each new exchange whether she is a super-user."""

    def __init__(self, ranks: list[bool]) -> None:
        self.ranks = ranks

    def step(self, _data: bytes | None) -> Proven:
        return Proven("ada", self.ranks.pop(0))


def test_re_authentication_changes_what_the_user_may_do():
    """4.12.1: what was found out first holds no longer, verdicts that were remembered included."""
    bench, ranks = Bench(enable_acl=True, enable_acl_cache=True), [True, False, True]
    bench.broker.hooks.add(HOOK, lambda client, method: Guard(ranks), blocking=False)
    bench.broker.hooks.add("client.check_acl", lambda client, access, topic: False)
    client = bench.open().connect("client", auth_method="GUARD")
    for allowed in (True, False, True):
        assert client.publish("t", b"", 1) == (0x10 if allowed else 0x87)
        assert client.subscribe("t") == [0 if allowed else 0x87]
        channel = bench.engine.sessions["client"].channel
        assert (channel.is_super, channel.context.is_super) == (allowed, allowed)
        client.unsubscribe("t")
        if ranks:
            client.send(encode(Auth(RE_AUTHENTICATE, {"authentication_method": "GUARD"}), 5))
            client.expect(raw.AUTH, code=0)


def test_users_survive_a_restart_and_can_be_changed(start_broker, tmp_path):
    env = {"EMQX_NODE__DATA_DIR": str(tmp_path / "kept")}
    first = start_broker(env)
    assert first.api("POST", "scram_users/", json={"username": "x", "password": "one"}).json() == "ok"
    assert first.api("POST", "scram_users/", json={"username": "x", "password": "two"}).status_code == 500
    assert first.api("POST", "scram_users/", json={"username": "x"}).status_code == 422
    assert first.api("POST", "scram_users/", json={"username": "\u0007", "password": "p"}).status_code == 422
    first.stop()
    second = start_broker(env)
    assert second.api("GET", "scram_users/").json() == [{"username": "x", "is_superuser": False}]
    with Client(second.mqtt_port) as client:
        log_in(client, Scram("x", "one"))
    assert second.api("PUT", "scram_users/x", json={"password": "three", "is_superuser": True}).json() == "ok"
    with Client(second.mqtt_port) as client:
        log_in(client, Scram("x", "three"))
    assert second.api("DELETE", "scram_users/x").json() == "ok"
    assert second.api("DELETE", "scram_users/x").status_code == 500
    with Client(second.mqtt_port) as client:
        scram = Scram("x", "three")
        challenge = begin(client, scram)
        client.auth(CONTINUE, authentication_method=METHOD, authentication_data=scram.final(challenge))
        assert_refused(client, 0x87)
