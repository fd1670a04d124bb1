"""emqx_auth_jwt (behaviour, 22.3): tokens made by PyJWT and, without it, by hand (RFC 7515)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import paho.mqtt.client as paho
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Auth
from tests.auth_backends.conftest import connack
from tests.backends.http_service import HttpService
from tests.broker_process import BrokerProcess, wait_until
from tests.clients import raw
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, load

PLUGIN = "emqx_auth_jwt"
SECRET = "a secret of more than thirty-two bytes, as it should be"
ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = rsa.generate_private_key(65537, 2048)


def by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes = SECRET.encode()) -> str:
    """HS256 without a library, whatever the header says."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def web_key(key: Any, kid: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    made: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return made | {"kid": kid, "use": "sig"}


@pytest.fixture(scope="module")
def keys() -> Iterator[HttpService]:
    service = HttpService()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, keys: HttpService) -> Iterator[BrokerProcess]:
    directory = tmp_path_factory.mktemp("broker")
    (directory / "acl.conf").touch()
    (directory / "key.pem").write_bytes(pem(RSA_KEY))
    keys.answers["/keys"] = (200, json.dumps({"keys": [web_key(EC_KEY, "one"), {"kty": "odd"}]}).encode(), "")
    broker = BrokerProcess(directory, {
        "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny", "EMQX_ACL_FILE": str(directory / "acl.conf"),
        "EMQX_AUTH__JWT__SECRET": SECRET, "EMQX_AUTH__JWT__PUBKEY": str(directory / "key.pem"),
        "EMQX_AUTH__JWT__JWKS": f"{keys.url}/keys", "EMQX_AUTH__JWT__VERIFY_CLAIMS": "on",
        "EMQX_AUTH__JWT__VERIFY_CLAIMS__SUB": "%u",
    }).start()
    load(broker, PLUGIN)
    yield broker
    broker.kill9()


def enters(broker: BrokerProcess, token: str | None) -> int:
    return connack(broker.mqtt_port, "joe", token)


def hs(**claims: Any) -> str:
    return jwt.encode({"sub": "joe"} | claims, SECRET, "HS256")


def test_signatures(broker: BrokerProcess):
    """The algorithm follows from the key, never from the token."""
    public = pem(RSA_KEY)
    assert enters(broker, hs()) == ENTERS
    assert enters(broker, by_hand({"alg": "HS256", "typ": "JWT"}, {"sub": "joe"})) == ENTERS
    assert enters(broker, jwt.encode({"sub": "joe"}, RSA_KEY, "RS256")) == ENTERS
    assert enters(broker, jwt.encode({"sub": "joe"}, EC_KEY, "ES256", {"kid": "one"})) == ENTERS
    assert enters(broker, jwt.encode({"sub": "joe"}, EC_KEY, "ES256")) == ENTERS
    for bad in (
        by_hand({"alg": "none"}, {"sub": "joe"}).rsplit(".", 1)[0] + ".",
        by_hand({"alg": "HS256"}, {"sub": "joe"}, b"another secret"),
        by_hand({"alg": "HS256"}, {"sub": "joe"}, public),
        by_hand({"alg": "RS256"}, {"sub": "joe"}),
        jwt.encode({"sub": "joe"}, OTHER_KEY, "RS256"),
        hs()[:-2],
    ):
        assert enters(broker, bad) == DENIED, bad


def test_an_operator_can_try_a_token(broker: BrokerProcess):
    """Who would be let in, by which of the token's rules, and what was decided so far."""
    def tried(token: str, **members: str) -> tuple[object, ...]:
        asked = {"client_id": "c", "username": "joe", "password": token} | members
        answer = broker.api("POST", f"plugins/{PLUGIN}/test", json=asked).json()
        assert 0 < answer["ms"] < 5000
        return answer["verdict"], answer["is_superuser"], answer["acl"], answer["rule"]

    def decided() -> dict[str, Any]:
        return dict(broker.api("GET", f"plugins/{PLUGIN}/status").json())

    assert tried(hs(is_superuser=True)) == ("allow", True, None, "")
    ruled = hs(acl={"pub": ["car/%u"]})
    assert tried(ruled, topic="car/joe") == ("allow", False, "allow", "the token's pub")
    assert tried(ruled, topic="car/joe", access="subscribe") == ("allow", False, "ignore", "")
    forged = by_hand({"alg": "HS256"}, {"sub": "joe"}, b"another secret")
    assert tried(forged)[0] == "deny"
    assert tried("no token")[0] == "ignore"
    before = decided()
    assert (before["breaker"], before["lookups"]["p50_ms"] > 0) == ("closed", True)
    assert (enters(broker, hs()), enters(broker, forged)) == (ENTERS, DENIED)
    after = decided()["lookups"]
    assert [after[name] - before["lookups"][name] for name in ("asked", "allowed", "denied")] == [2, 1, 1]
    text = broker.http.get(f"{broker.base_url}/metrics").text
    assert f'emqx_auth_lookup_seconds{{plugin="{PLUGIN}",quantile="0.99"}}' in text


def test_no_token_is_the_next_plugins(broker: BrokerProcess):
    """Here nobody else knows the client; a client without a password is refused."""
    for password in ("secret", "a.b", "a.b.c", None):
        assert enters(broker, password) == DENIED


@pytest.mark.parametrize(("claims", "code"), [
    ({"sub": "jane"}, DENIED),
    ({"exp": 1}, DENIED),
    ({"exp": "soon"}, DENIED),
    ({"exp": False}, DENIED),
    ({"exp": 10**30}, ENTERS),
    ({"nbf": 4_000_000_000}, DENIED),
    ({"nbf": 1, "iat": 1}, ENTERS),
    ({"aud": "anybody"}, ENTERS),
    ({"acl": {"pub": ["a"]}}, ENTERS),
    ({"acl": 7}, DENIED),
    ({"acl": [{"permission": "perhaps", "action": "publish", "topic": "a"}]}, DENIED),
])
def test_claims(broker: BrokerProcess, claims: dict[str, Any], code: int):
    assert enters(broker, by_hand({"alg": "HS256"}, {"sub": "joe"} | claims)) == code


@pytest.mark.parametrize("acl", [
    {"pub": ["mine/%u"], "sub": ["news/#"]},
    [{"permission": "deny", "action": "publish", "topic": "mine/other"},
     {"permission": "allow", "action": "publish", "topic": "mine/+"},
     {"permission": "allow", "action": "subscribe", "topic": "news/#"}],
])
def test_rules_of_a_token(broker: BrokerProcess, acl: Any):
    with Client(broker.mqtt_port, "c", "joe", hs(acl=acl), version=paho.MQTTv5) as client:
        assert client.publish("mine/joe").value == 0x10
        assert client.publish("mine/other").value == DENIED
        assert client.subscribe("news/a") == 0
        assert client.subscribe("mine/joe") == DENIED
        rule = broker.api("GET", "explain/?topic=mine/joe&client_id=c").text
        assert "token" in rule


def test_a_connection_ends_with_its_token(broker: BrokerProcess):
    """0xA0, Maximum connect time, and the will is sent."""
    with Client(broker.mqtt_port, "c", "joe", hs(exp=time.time() + 4), version=paho.MQTTv5):
        assert broker.api("GET", "connections/c").json()
        wait_until(lambda: not broker.api("GET", "connections/c").json(), 10, "the end of the connection")


def test_a_token_is_renewed_while_the_connection_lasts(broker: BrokerProcess):
    """MQTT 5.0, section 4.12.1: the next token's end and rules take the place of the first one's."""
    def auth(token: str) -> bytes:
        return encode(Auth(0x19, {"authentication_method": "JWT", "authentication_data": token.encode()}), 5)

    first, ends = hs(exp=time.time() + 5, acl={"pub": ["one"]}), time.time() + 5
    client = raw.Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)))
    client.connect("renewed", username="joe", auth_method="JWT", auth_data=first.encode())
    assert published(client, "one") == 0
    assert published(client, "two") == DENIED
    client.send(auth(hs(exp=time.time() + 60, acl={"pub": ["two"]})))
    client.expect(raw.AUTH, code=0)
    assert published(client, "one") == DENIED
    assert published(client, "two") == 0
    wait_until(lambda: time.time() > ends + 1, 10)
    assert published(client, "two") == 0, "the first token has ended, and the second one counts"
    client.send(auth(hs(exp=1)))
    client.expect(raw.DISCONNECT, code=DENIED)


@pytest.mark.parametrize("token", ["", "a.b.c", hs(sub="jane"), hs(exp=1)])
def test_a_token_that_is_not_good_proves_nothing(broker: BrokerProcess, token: str):
    client = raw.Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)))
    client.connect("c", DENIED, username="joe", auth_method="JWT", auth_data=token.encode())


def published(client: raw.Raw, topic: str) -> int:
    """The reason code of the PUBACK; 0 also where nobody subscribes."""
    pid = client.next_pid()
    client.send(client.publish_packet(topic, b"x", 1, pid=pid))
    code = client.answer(raw.PUBACK, pid).code
    return 0 if code == 0x10 else code


def test_keys_that_change(broker: BrokerProcess, keys: HttpService):
    """A key that is not in the set has it fetched, at most once in ten seconds; a set that cannot be had leaves the one
    before it."""
    later = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode({"sub": "joe"}, later, "ES256", {"kid": "two"})
    keys.answers["/keys"] = (200, json.dumps({"keys": [web_key(EC_KEY, "one"), web_key(later, "two")]}).encode(), "")
    wait_until(lambda: enters(broker, token) == ENTERS, 20, "the new key")
    fetched = len(keys.requests)
    keys.answers["/keys"] = (500, b"", "")
    for _ in range(20):
        enters(broker, jwt.encode({"sub": "joe"}, later, "ES256", {"kid": "three"}))
    assert len(keys.requests) - fetched <= 1
    assert enters(broker, token) == ENTERS



def test_keys_that_cannot_be_fetched_are_an_alarm(broker: BrokerProcess, keys: HttpService):
    """A reload fetches them. Who can be decided about is."""
    good = (200, json.dumps({"keys": [web_key(EC_KEY, "one")]}).encode(), "")
    token = jwt.encode({"sub": "joe"}, EC_KEY, "ES256", {"kid": "one"})
    for answer, breaker, code in (((500, b"", ""), "open", UNAVAILABLE), (good, "closed", ENTERS)):
        keys.answers["/keys"] = answer
        assert broker.api("PUT", f"{NODE}/plugins/{PLUGIN}/reload").json() == "ok"
        assert broker.api("GET", f"plugins/{PLUGIN}/status").json()["breaker"] == breaker
        assert (f"auth_backend_down/{PLUGIN}" in alarms(broker)) is (breaker == "open")
        assert (enters(broker, token), enters(broker, hs())) == (code, ENTERS)


def test_keys_over_tls(broker: BrokerProcess, tmp_path: Path):
    """The certificate is verified: by its authority the keys are had, without it not."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    service = HttpService(context)
    service.answers["/keys"] = (200, json.dumps({"keys": [web_key(EC_KEY, "secure")]}).encode(), "")
    token = jwt.encode({"sub": "joe"}, EC_KEY, "ES256", {"kid": "secure"})
    settings = f"{NODE}/plugin_configs/{PLUGIN}"
    for file, code in ((str(tmp_path / "ca.pem"), ENTERS), ("", UNAVAILABLE)):
        answer = broker.api("PUT", settings, json={"auth.jwt.jwks": f"{service.url}/keys",
                                                   "auth.jwt.jwks.ssl.cafile": file})
        assert answer.json() == "ok"
        assert enters(broker, token) == code
    assert broker.api("PUT", settings, json={}).json() == "ok"
    service.stop()


def alarms(broker: BrokerProcess) -> set[str]:
    return {alarm["id"] for alarm in broker.api("GET", "alarms/present").json()[0]["alarms"]}


def test_the_shipped_secret_is_an_alarm(broker: BrokerProcess):
    """As long as it is in use: anybody can sign with it."""
    assert "auth_jwt_secret" not in alarms(broker)
    settings = f"{NODE}/plugin_configs/{PLUGIN}"
    assert broker.api("PUT", settings, json={"auth.jwt.secret": "emqxsecret"}).json() == "ok"
    assert "auth_jwt_secret" in alarms(broker)
    assert broker.api("PUT", settings, json={}).json() == "ok"
    assert "auth_jwt_secret" not in alarms(broker)


def test_settings_that_cannot_be_used(broker: BrokerProcess, tmp_path: Path):
    (tmp_path / "none.pem").write_text("nothing")
    for key, value in (("auth.jwt.pubkey", str(tmp_path / "none.pem")), ("auth.jwt.pubkey", str(tmp_path / "gone.pem")),
                       ("auth.jwt.jwks", "file:///etc/passwd"), ("auth.jwt.verify_claims.x", "%P")):
        answer = broker.api("PUT", f"{NODE}/plugin_configs/{PLUGIN}", json={key: value})
        assert answer.status_code != 200, key
        assert key in answer.text
