"""emqx_auth_http against a service (behaviour, 22.2)."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import trustme
from cryptography import x509

from tests.auth_backends.conftest import connack
from tests.backends.http_service import HttpService
from tests.broker_process import BrokerProcess, free_ports, wait_until
from tests.clients.paho import Client
from tests.listeners.secured import certificates
from tests.plugins.conftest import NODE, load, unload

PLUGIN = "emqx_auth_http"
ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88
YES = (200, b"", "text/plain")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrokerProcess, HttpService]]:
    service, directory = HttpService(), tmp_path_factory.mktemp("broker")
    (directory / "acl.conf").touch()
    broker = BrokerProcess(directory, {
        "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny", "EMQX_ACL_FILE": str(directory / "acl.conf"),
        "EMQX_AUTH__HTTP__AUTH_REQ": f"{service.url}/auth", "EMQX_AUTH__HTTP__SUPER_REQ": f"{service.url}/super",
        "EMQX_AUTH__HTTP__ACL_REQ": f"{service.url}/acl", "EMQX_AUTH__HTTP__QUERY_TIMEOUT": "1s",
        "EMQX_AUTH__HTTP__HEADER__X_TOKEN": "t0ken", "EMQX_AUTH__HTTP__REJECT_CACHE": "0s",
    }).start()
    load(broker, PLUGIN)
    yield broker, service
    broker.kill9()
    service.stop()


@pytest.fixture
def site(started: tuple[BrokerProcess, HttpService]) -> tuple[BrokerProcess, HttpService]:
    broker, service = started
    service.answers, service.delay = {"/auth": YES}, 0.0
    wait_until(lambda: broker.api("GET", f"plugins/{PLUGIN}/status").json()["breaker"] == "closed")
    service.requests.clear()
    return broker, service


@pytest.mark.parametrize(("answer", "code"), [
    (YES, ENTERS),
    ((204, b"", "text/plain"), ENTERS),
    ((200, b"any text", "text/plain"), ENTERS),
    ((200, b"ignore", "text/plain"), DENIED),  # nobody else knows the client
    ((401, b"", "text/plain"), DENIED),
    ((404, b"", "text/plain"), DENIED),
    ((200, b'{"result":"allow"}', "application/json"), ENTERS),
    ((200, b'{"result":"deny"}', "application/json"), DENIED),
    ((200, b'{"result":"ignore"}', "application/json"), DENIED),
    ((200, b'{"result":"perhaps"}', "application/json"), UNAVAILABLE),
    ((200, b"{", "application/json"), UNAVAILABLE),
    ((200, b'{"result":["allow"]}', "application/json"), UNAVAILABLE),
    ((200, b'{"result":"allow","expire_at":4000000000}', "application/json"), ENTERS),
    ((200, b'{"result":"allow","expire_at":1}', "application/json"), DENIED),
    ((200, b'{"result":"allow","expire_at":"soon"}', "application/json"), UNAVAILABLE),
    ((200, b'{"result":"allow","acl":[]}', "application/json"), ENTERS),
    ((200, b'{"result":"allow","acl":[{"permission":"allow"}]}', "application/json"), UNAVAILABLE),
    ((500, b"", "text/plain"), UNAVAILABLE),
    ((429, b"", "text/plain"), UNAVAILABLE),
    ((302, b"", "text/plain"), UNAVAILABLE),
    ((200, b"x" * 70_000, "text/plain"), UNAVAILABLE),
])
def test_what_an_answer_means(site: tuple[BrokerProcess, HttpService], answer: Any, code: int):
    broker, service = site
    service.answers["/auth"] = answer
    assert connack(broker.mqtt_port, "joe", "secret") == code


def test_what_is_sent(site: tuple[BrokerProcess, HttpService]):
    """Values are never read as part of the form, and a question has the headers that the settings name."""
    broker, service = site
    assert connack(broker.mqtt_port, "a&result=allow", "s=1&x", "c/1") == ENTERS
    method, path, params, headers = service.requests[0]
    assert (method, path) == ("POST", "/auth")
    assert params == {"clientid": "c/1", "username": "a&result=allow", "password": "s=1&x"}
    assert headers["x-token"] == "t0ken"
    service.requests.clear()
    for username, password in ((None, None), ("joe", None), ("joe", "")):
        assert connack(broker.mqtt_port, username, password) == DENIED
    assert service.requests == []


def test_rules_and_super_users(site: tuple[BrokerProcess, HttpService]):
    broker, service = site
    service.answers["/acl"] = (
        lambda asked: YES if asked["topic"] == "mine/c" and asked["access"] == "2" else (403, b"", ""))
    with Client(broker.mqtt_port, "c", "joe", "secret", version=paho.MQTTv5) as client:
        assert client.publish("mine/c").value == 0x10
        assert client.publish("other").value == DENIED
        assert client.subscribe("mine/c") == DENIED
    asked = [params for _, path, params, _ in service.requests if path == "/acl"]
    assert {"access", "username", "clientid", "ipaddr", "topic"} == set(asked[0])
    assert asked[0]["ipaddr"] == "127.0.0.1"
    service.answers["/super"] = YES
    with Client(broker.mqtt_port, "c", "root", "secret", version=paho.MQTTv5) as client:
        assert client.publish("other").value == 0x10


def test_a_service_that_is_slow(site: tuple[BrokerProcess, HttpService]):
    """An answer that comes too late is none, and what was asked next gets an answer of its own."""
    broker, service = site
    service.delay = 2.5
    assert connack(broker.mqtt_port, "joe", "secret") == UNAVAILABLE
    service.delay = 0.0
    service.answers["/auth"] = lambda asked: YES if asked["username"] == "good" else (401, b"", "")
    assert connack(broker.mqtt_port, "bad", "secret") == DENIED
    assert connack(broker.mqtt_port, "good", "secret") == ENTERS


def test_rules_and_an_end_in_the_answer(site: tuple[BrokerProcess, HttpService]):
    """One request in place of three and one for each topic, and the connection ends when the service says."""
    broker, service = site
    ends = time.time() + 3
    service.answers["/auth"] = (200, json.dumps({"result": "allow", "is_superuser": False, "expire_at": ends, "acl": [
        {"permission": "deny", "action": "publish", "topic": "mine/no"},
        {"permission": "allow", "action": "all", "topic": "mine/#"}]}).encode(), "application/json")
    with Client(broker.mqtt_port, "ends", "joe", "secret", version=paho.MQTTv5) as client:
        assert (client.publish("mine/no").value, client.publish("mine/yes").value) == (DENIED, 0x10)
        assert client.subscribe("mine/+") == 0
        assert [path for _, path, _, _ in service.requests] == ["/auth"]
        assert client.publish("other").value == DENIED
        assert [path for _, path, _, _ in service.requests] == ["/auth", "/acl"]
        wait_until(lambda: not broker.api("GET", "connections/ends").json(), 10)
        assert time.time() >= ends


@pytest.mark.parametrize(("directives", "again"), [("max-age=1", True), ("no-store", True), ("max-age=3600", False)])
def test_the_service_says_how_long_a_verdict_holds(site: tuple[BrokerProcess, HttpService], directives: str,
                                                   again: bool):
    """Not longer than `acl_cache_ttl`."""
    broker, service = site
    service.answers["/acl"] = (200, b"", "text/plain", directives)
    with Client(broker.mqtt_port, "c", "joe", "secret", version=paho.MQTTv5) as client:
        assert client.publish("a").value == 0x10
        service.answers["/acl"] = (403, b"", "text/plain")
        if again:
            wait_until(lambda: client.publish("a").value == DENIED, 5)
        else:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                assert client.publish("a").value == 0x10


def test_who_was_just_refused_is_not_asked_about_again(site: tuple[BrokerProcess, HttpService]):
    """`reject_cache`: the same question; another password is another question."""
    broker, service = site
    set_to = f"{NODE}/plugin_configs/{PLUGIN}"
    assert broker.api("PUT", set_to, json={"auth.http.reject_cache": "60s"}).json() == "ok"
    service.answers["/auth"] = (401, b"", "text/plain")
    service.requests.clear()
    for _ in range(5):
        assert connack(broker.mqtt_port, "joe", "wrong") == DENIED
    assert len([path for _, path, _, _ in service.requests if path == "/auth"]) == 1
    service.answers["/auth"] = YES
    assert connack(broker.mqtt_port, "joe", "wrong") == DENIED
    assert connack(broker.mqtt_port, "joe", "right") == ENTERS
    assert broker.api("PUT", set_to, json={}).json() == "ok"


def test_certificates_are_verified(tmp_path: Path):
    """The authority of the service, another one, and no certificate where the service wants to see one."""
    ours, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    ours.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    service = HttpService(context)
    service.answers = {"/auth": YES}
    own = ours.issue_cert("broker")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    broker = BrokerProcess(tmp_path, {"EMQX_ALLOW_ANONYMOUS": "false"}).start()
    for authority, certificate, code in ((ours, "own.pem", ENTERS), (other, "own.pem", UNAVAILABLE),
                                         (ours, "", UNAVAILABLE)):
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        answer = broker.api("PUT", f"{NODE}/plugin_configs/{PLUGIN}", json={
            "auth.http.auth_req": f"{service.url}/auth", "auth.http.super_req": "",
            "auth.http.ssl.cafile": str(tmp_path / "ca.pem"),
            "auth.http.ssl.certfile": certificate and str(tmp_path / certificate),
        })
        assert answer.json() == "ok"
        load(broker, PLUGIN)
        assert connack(broker.mqtt_port, "joe", "secret") == code, (authority is ours, certificate)
        unload(broker, PLUGIN)
    broker.kill9()
    service.stop()


def test_trying_without_connecting(site: tuple[BrokerProcess, HttpService]):
    broker, service = site
    service.answers["/acl"] = YES
    tried = broker.api("POST", f"plugins/{PLUGIN}/test", json={
        "client_id": "c", "username": "joe", "password": "secret", "topic": "t"}).json()
    assert (tried["verdict"], tried["acl"], tried["rule"]) == ("allow", "allow", f"{service.url}/acl")
    service.answers["/auth"] = (200, json.dumps({"result": "allow", "is_superuser": False, "acl": [
        {"permission": "deny", "action": "all", "topic": "t"}]}).encode(), "application/json")
    tried = broker.api("POST", f"plugins/{PLUGIN}/test", json={
        "client_id": "c", "username": "joe", "password": "secret", "topic": "t"}).json()
    assert (tried["verdict"], tried["acl"], tried["rule"]) == ("allow", "deny", "the answer's rule 1")


def test_settings_that_cannot_be_used(tmp_path: Path, site: tuple[BrokerProcess, HttpService]):
    broker, _ = site
    for key, value in (("auth.http.auth_req", "ftp://x"), ("auth.http.auth_req.params", "clientid")):
        answer = broker.api("PUT", f"nodes/emqx@127.0.0.1/plugin_configs/{PLUGIN}", json={key: value})
        assert answer.status_code != 200
        assert key in answer.text


def test_certificate_and_mountpoint(tmp_path: Path, site: tuple[BrokerProcess, HttpService]):
    """`%C` and `%d`, which EMQ X 3.1 calls `%cn` and `%dn`, empty for a client without a certificate; `%m`; the port as
    3.2 (`%l`) and 4.0 (`%p`) name it, and `%r`. At log-in and when the rules are asked for."""
    _, service = site
    made = certificates(tmp_path)
    port = free_ports(1)[0]
    params = "cn=%cn,subject=%dn,mount=%m,password=%P,port=%l"
    broker = BrokerProcess(tmp_path, {
        "EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}", "EMQX_LISTENER__SSL__EXTERNAL__CERTFILE": str(made.server),
        "EMQX_LISTENER__SSL__EXTERNAL__KEYFILE": str(made.server), "EMQX_LISTENER__SSL__EXTERNAL__CACERTFILE": made.ca,
        "EMQX_LISTENER__SSL__EXTERNAL__VERIFY": "verify_peer", "EMQX_ZONE__EXTERNAL__MOUNTPOINT": "site/%u/",
        "EMQX_AUTH__HTTP__AUTH_REQ": f"{service.url}/auth", "EMQX_AUTH__HTTP__SUPER_REQ": "",
        "EMQX_AUTH__HTTP__ACL_REQ": f"{service.url}/acl", "EMQX_AUTH__HTTP__AUTH_REQ__PARAMS": params,
        "EMQX_AUTH__HTTP__ACL_REQ__PARAMS": "topic=%t,cn=%C,subject=%d,mount=%m,port=%p,protocol=%r",
    }).start()
    load(broker, PLUGIN)
    service.requests.clear()
    service.answers["/acl"] = YES
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "c", protocol=paho.MQTTv5)
    client.username_pw_set("joe", "secret")
    client.tls_set(made.ca, made.client, made.client)
    client.tls_insecure_set(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish("t", "x", 1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    subject = x509.load_pem_x509_certificate(Path(made.client).read_bytes()).subject
    name = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    (_, _, asked, _), (_, _, ruled, _) = service.requests
    known = {"cn": name, "subject": subject.rfc4514_string(), "mount": "site/joe/", "port": str(port)}
    assert asked == known | {"password": "secret"}
    assert ruled == known | {"topic": "t", "protocol": "mqtt"}
    assert connack(broker.mqtt_port, "joe", "secret") == ENTERS
    assert service.requests[-1][2] == {"cn": "", "subject": "", "mount": "site/joe/", "password": "secret",
                                       "port": str(broker.mqtt_port)}
    broker.kill9()
