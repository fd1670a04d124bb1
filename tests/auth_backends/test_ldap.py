"""emqx_auth_ldap against OpenLDAP (behaviour, 22.4)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import trustme

from tests.auth_backends.conftest import connack, place_for_servers
from tests.backends.ldap import OpenLdap, name_of
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load

PLUGIN = "emqx_auth_ldap"
ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88
SCHEMES = ("{SSHA}", "{SHA}", "{SMD5}", "{MD5}")


def slappasswd(scheme: str, password: str) -> str:
    """A hash made by another program."""
    return subprocess.run(["/usr/sbin/slappasswd", "-h", scheme, "-s", password], capture_output=True, text=True,
                          check=True).stdout.strip()


@pytest.fixture(scope="module")
def directory() -> Iterator[OpenLdap]:
    with place_for_servers() as place:
        (place / "ldap").mkdir()
        server = OpenLdap(place / "ldap")
        server.start()
        server.set_up()
        for scheme in SCHEMES:
            server.add_entry(scheme.strip("{}"), userPassword=slappasswd(scheme, "secret"))
        server.add_entry("plain", userPassword="secret")
        server.add_entry("wrapped", userPassword=base64.b64encode(slappasswd("{SSHA}", "secret").encode()).decode())
        server.add_entry("crypt", userPassword="{CRYPT}xyz")
        server.add_entry("off", userPassword="secret", isEnabled="FALSE")
        server.add_entry("none")
        server.add_entry("*)(uid=*", userPassword="secret")
        server.add_entry("acl", userPassword="secret", mqttPublishTopic=["mine/%u", "out/#"],
                        mqttSubscriptionTopic="in/%c", mqttPubSubTopic="both/+")
        yield server
        server.kill()


@pytest.fixture(scope="module")
def start(directory: OpenLdap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., BrokerProcess]]:
    started: list[BrokerProcess] = []

    def start(**env: str) -> BrokerProcess:
        place = tmp_path_factory.mktemp("broker")
        (place / "acl.conf").touch()
        broker = BrokerProcess(place, {
            "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny", "EMQX_ACL_FILE": str(place / "acl.conf"),
            "EMQX_AUTH__LDAP__SERVERS": f"127.0.0.1:{directory.port}", **env}).start()
        started.append(broker)
        load(broker, PLUGIN)
        return broker

    yield start
    for broker in started:
        broker.kill9()


@pytest.fixture(scope="module")
def broker(start: Callable[..., BrokerProcess]) -> BrokerProcess:
    return start()


def enters(broker: BrokerProcess, name: str | None, password: str | bytes | None) -> int:
    return connack(broker.mqtt_port, name, password)


@pytest.mark.parametrize("name", [*(scheme.strip("{}") for scheme in SCHEMES), "plain", "wrapped"])
def test_passwords(broker: BrokerProcess, name: str):
    assert enters(broker, name, "secret") == ENTERS
    for wrong in ("Secret", "", None, "x" * 60_000, b"\xff\0"):
        assert enters(broker, name, wrong) == DENIED


@pytest.mark.parametrize("name", ["crypt", "off", "none", "nobody", None, "*", "joe,ou=other", "plain*", "+"])
def test_who_does_not_get_in(broker: BrokerProcess, name: str | None):
    assert enters(broker, name, "secret") == DENIED


def test_a_name_is_never_a_filter(broker: BrokerProcess):
    assert enters(broker, "*)(uid=*", "secret") == ENTERS
    assert enters(broker, "*)(uid=plain", "secret") == DENIED


def test_rules(broker: BrokerProcess):
    with Client(broker.mqtt_port, "c1", "acl", "secret", version=paho.MQTTv5) as client:
        for topic, code in (("mine/acl", 0x10), ("mine/x", DENIED), ("out/a/b", 0x10), ("both/a", 0x10),
                            ("in/c1", DENIED)):
            assert client.publish(topic).value == code, topic
        for topic, code in (("in/c1", 0), ("in/c2", DENIED), ("both/a", 0), ("out/a", DENIED)):
            assert client.subscribe(topic) == code, topic


def test_rules_are_fetched_once_a_connection(broker: BrokerProcess):
    def asked() -> int:
        return int(broker.api("GET", f"plugins/{PLUGIN}/status").json()["lookups"]["asked"])

    with Client(broker.mqtt_port, "c2", "acl", "secret", version=paho.MQTTv5) as client:
        before = asked()
        for number in range(10):
            assert client.publish(f"out/{number}").value == 0x10
        assert asked() == before


def test_binding_instead_of_comparing(start: Callable[..., BrokerProcess]):
    """An empty password would be an anonymous bind, which succeeds (RFC 4513, 5.1.2)."""
    broker = start(EMQX_AUTH__LDAP__METHOD="bind")
    assert enters(broker, "SSHA", "secret") == ENTERS
    assert enters(broker, "SSHA", "wrong") == DENIED
    assert enters(broker, "SSHA", "") == DENIED
    assert enters(broker, "off", "secret") == DENIED


@pytest.mark.parametrize("how", ["ssl", "starttls"])
def test_certificates_are_verified(start: Callable[..., BrokerProcess], directory: OpenLdap, tmp_path: Path, how: str):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    port = directory.tls_port if how == "ssl" else directory.port
    for authority, code in ((directory.directory / "ca.pem", ENTERS), (tmp_path / "other.pem", UNAVAILABLE)):
        broker = start(**{"EMQX_AUTH__LDAP__SERVERS": f"127.0.0.1:{port}", f"EMQX_AUTH__LDAP__{how.upper()}": "on",
                          "EMQX_AUTH__LDAP__SSL__CAFILE": str(authority)})
        assert enters(broker, "plain", "secret") == code


def test_a_directory_that_goes_and_comes_back(broker: BrokerProcess, directory: OpenLdap):
    assert enters(broker, "plain", "secret") == ENTERS
    directory.kill()
    wait_until(lambda: enters(broker, "plain", "secret") == UNAVAILABLE and
               broker.api("GET", f"plugins/{PLUGIN}/status").json()["breaker"] == "open", 30)
    directory.start()
    wait_until(lambda: enters(broker, "plain", "secret") == ENTERS, 10)


def test_a_user_who_changes(broker: BrokerProcess, directory: OpenLdap):
    directory.add_entry("changing", userPassword="before")
    assert enters(broker, "changing", "before") == ENTERS
    directory.change(f"dn: {name_of('changing')}\nchangetype: modify\nreplace: userPassword\nuserPassword: after\n",
                     "ldapmodify")
    assert enters(broker, "changing", "before") == DENIED
    assert enters(broker, "changing", "after") == ENTERS
