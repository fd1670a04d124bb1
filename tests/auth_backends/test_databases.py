"""Log-ins and rules that come from elsewhere, the same for all back-ends (behaviour, 22.2 and 22.4 to 22.8)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import paho.mqtt.client as paho
import pytest

from tests.auth_backends.conftest import BACKENDS, connack, sha256
from tests.auth_backends.injections import INJECTIONS
from tests.backends.server import Server
from tests.broker_process import CHECKOUT, BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load, unload

ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88
# Of the user acl with the client id dev1, by the rules below.
PUBLISHED = {"both/acl": 0x10, "both/joe": 0x87, "read/dev1": 0x87, "write/acl/x": 0x10, "write/acl": 0x87,
             "tree": 0x10, "tree/a/b": 0x10, "literal": 0x87, "other": 0x87}
SUBSCRIBED = {"both/acl": 0, "both/+": 0x87, "read/dev1": 0, "read/dev2": 0x87, "write/acl/x": 0x87, "literal/#": 0,
              "literal/a": 0x87, "tree/+/b": 0, "tree/#": 0, "#": 0x87}


@dataclass
class Site:
    """A broker whose clients are in a database."""

    broker: BrokerProcess
    server: Server

    def code(self, username: str | None, password: str | bytes | None, client_id: str = "c") -> int:
        return connack(self.broker.mqtt_port, username, password, client_id)

    def client(self, username: str, client_id: str = "c") -> Client:
        return Client(self.broker.mqtt_port, client_id, username, "secret", version=paho.MQTTv5)


@pytest.fixture(scope="module", params=list(BACKENDS))
def site(request: pytest.FixtureRequest, server_of: Callable[[str], Server],
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server = server_of(request.param)
    for name in ("joe", "jöe ünï", "acl", "$dollar", "one/level", "+"):
        server.add_user(name, sha256("secret"))
    server.add_user("root", sha256("secret"), is_super=server.has_supers)
    server.add_user("empty", "")
    server.add_user("none", None)
    directory = tmp_path_factory.mktemp("broker")
    (directory / "acl.conf").touch()
    broker = BrokerProcess(directory, server.env | {
        "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny", "EMQX_ACL_FILE": str(directory / "acl.conf"),
    }).start()
    load(broker, server.plugin)
    yield Site(broker, server)
    unload(broker, server.plugin)
    assert broker.stop() == 0
    _, found, traceback = broker.stderr.partition("Traceback")
    assert not found, traceback[:3000]


@pytest.fixture
def ruled(site: Site) -> Site:
    if not site.server.has_rules:
        pytest.skip("it has no rules")
    return site


@pytest.mark.parametrize(("username", "password", "code"), [
    ("joe", "secret", ENTERS), ("root", "secret", ENTERS), ("jöe ünï", "secret", ENTERS),
    ("joe", "Secret", DENIED), ("joe", "", DENIED), ("joe", None, DENIED), ("joe", "x" * 65535, DENIED),
    ("joe", b"secret\0", DENIED), ("joe", b"\xff\xfe", DENIED), ("joe", sha256("secret"), DENIED),
    ("empty", "", DENIED), ("empty", "x", DENIED), ("none", "", DENIED), ("none", "x", DENIED),
    ("nobody", "secret", DENIED), ("", "secret", DENIED), (None, None, DENIED), ("$dollar", "secret", DENIED),
])
def test_log_ins(site: Site, username: str | None, password: str | bytes | None, code: int):
    if username == "$dollar" and not site.server.has_rules:
        code = ENTERS  # there is nothing that the name would escape
    assert site.code(username, password) == code


@pytest.mark.parametrize("username", INJECTIONS)
def test_values_are_never_read_as_part_of_a_question(site: Site, username: str):
    assert site.code(username, "secret") == DENIED
    assert site.code("joe", "secret", client_id=username) == ENTERS
    assert site.code("joe", "secret") == ENTERS
    status = site.broker.api("GET", f"plugins/{site.server.plugin}/status").json()
    assert status["breaker"] == "closed"


def test_unknown_users_are_for_the_next_module(site: Site):
    """A name that is in the table of emqx_auth_username only."""
    load(site.broker, "emqx_auth_username")
    site.broker.api("POST", "auth_username", json={"username": "elsewhere", "password": "secret"})
    unload(site.broker, site.server.plugin)
    load(site.broker, site.server.plugin)  # the latest is asked first
    assert site.code("elsewhere", "secret") == ENTERS
    assert site.code("elsewhere", "wrong") == DENIED
    assert site.code("joe", "wrong") == DENIED
    unload(site.broker, "emqx_auth_username")


def test_rules_that_allow(ruled: Site):
    """The words of each rule; `%u` and `%c` are whole levels, and values that are no level match nothing."""
    for name in ("acl", "one/level", "+"):
        for topic, access in (("both/%u", 3), ("read/%c", 1), ("write/%u/+", 2), ("eq literal/#", 1), ("tree/#", 3)):
            ruled.server.add_rule(1, topic, access, username=name)
    with ruled.client("acl", "dev1") as client:
        assert {topic: client.publish(topic).value for topic in PUBLISHED} == PUBLISHED
        assert {topic: client.subscribe(topic) for topic in SUBSCRIBED} == SUBSCRIBED
    for name in ("one/level", "+"):
        with ruled.client(name) as client:
            assert (client.publish("both/one/level").value, client.publish("tree/x").value) == (0x87, 0x10)
            assert client.subscribe("both/+") == 0x87
    if ruled.server.has_supers:  # nobody is asked about one
        with ruled.client("root") as client:
            assert (client.publish("other").value, client.subscribe("#")) == (0x10, 0)


def test_rules_that_deny(ruled: Site):
    """The first that matches decides."""
    if not ruled.server.denies:
        pytest.skip("none of its rules deny")
    ruled.server.add_user("deny", sha256("secret"))
    for allow, topic, conditions in (
            (0, "x/no/%u/#", {"username": "$all"}), (0, "x/dev2/#", {"username": "deny", "client_id": "dev2"}),
            (0, "x/here/#", {"username": "deny", "address": "127.0.0.0/8"}),
            (0, "x/there/#", {"username": "deny", "address": "10.0.0.0/8"}), (1, "x/#", {"username": "deny"})):
        ruled.server.add_rule(allow, topic, **conditions)
    expected = {"x/1": 0x10, "x/no/deny/1": 0x87, "x/no/joe": 0x10, "x/dev2/1": 0x10, "x/here/1": 0x87,
                "x/there/1": 0x10}
    with ruled.client("deny") as client:
        assert {topic: client.publish(topic).value for topic in expected} == expected
        assert client.subscribe("x/#") == 0
    with ruled.client("deny", "dev2") as client:
        assert client.publish("x/dev2/1").value == 0x87


def test_an_operator_can_try_a_client(site: Site):
    """Who would be let in, and by which rule, without a connection."""
    site.server.add_user("tried", sha256("secret"))
    if site.server.has_rules:
        site.server.add_rule(1, "of/%u", 2, username="tried")

    def tried(**members: object) -> dict[str, object]:
        asked = {"client_id": "c", "username": "tried", "password": "secret"} | members
        answer = site.broker.api("POST", f"plugins/{site.server.plugin}/test", json=asked)
        assert answer.status_code == 200
        return dict(answer.json())

    assert (tried()["verdict"], tried()["is_superuser"]) == ("allow", False)
    assert tried(username="root")["is_superuser"] is site.server.has_supers
    assert tried(password="wrong")["verdict"] == "deny"
    assert tried(username="nobody")["verdict"] == "ignore"
    if not site.server.has_rules:
        return
    allowed = tried(topic="of/tried", access="publish")
    assert allowed["acl"] == "allow"
    assert allowed["rule"]
    other = "deny" if site.server.denies_unlisted else "ignore"
    assert tried(topic="of/tried", access="subscribe")["acl"] == other
    assert allowed["ms"] < 2000  # type: ignore[operator]


def test_an_operator_can_try_a_client_on_the_command_line(site: Site):
    def tried(*words: str, password: str = "secret") -> tuple[int, list[str]]:
        program = "from emqx_mgmt.cli import main; main()"
        command = [sys.executable, "-c", program, "auth", "test", site.server.plugin, "--password", "-", *words]
        done = subprocess.run(command, env=site.broker.env, cwd=CHECKOUT, timeout=60, input=password, check=False,
                              capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    site.server.add_user("shell", sha256("secret"))
    if site.server.has_rules:
        site.server.add_rule(1, "of/%u", 2, username="shell")
        code, (log_in, topic) = tried("--username", "shell", "--topic", "of/shell")
        assert code == 0
        assert log_in.startswith("log-in: allow, ")
        assert topic.startswith("publish to of/shell: allow, ")
    code, (log_in,) = tried("--username", "shell", password="wrong")
    assert code == 1
    assert log_in.startswith("log-in: deny, ")


def test_why_names_the_rule_of_the_database(ruled: Site):
    """`/explain/` about the publisher."""
    ruled.server.add_user("why", sha256("secret"))
    ruled.server.add_rule(1, "why/%u", 2, username="why")
    with ruled.client("why", "why1"):
        said = ruled.broker.api("GET", "explain/", params={"topic": "why/why", "client_id": "why1"}).json()
        assert said["publisher"]["allowed"] is True
        assert ruled.server.plugin in said["publisher"]["by"]


def test_a_log_in_is_one_question(site: Site):
    """Also whether somebody is a super user, where that stands beside the password. The service is asked twice."""
    def asked() -> int:
        return int(site.broker.api("GET", f"plugins/{site.server.plugin}/status").json()["lookups"]["asked"])

    for name, is_super in (("plain", False), ("boss", True)):
        site.server.add_user(name, sha256("secret"), is_super=is_super and site.server.has_supers)
        before = asked()
        assert site.code(name, "secret") == ENTERS
        assert asked() == before + (1 if site.server.has_rules else 2)
    tried = {"client_id": "c", "username": "boss", "password": "secret"}
    answer = site.broker.api("POST", f"plugins/{site.server.plugin}/test", json=tried).json()
    assert answer["is_superuser"] is site.server.has_supers


def test_rules_are_asked_for_once_a_connection(ruled: Site):
    """Not once a topic; a client that comes again has its new ones."""
    def asked() -> int:
        status = ruled.broker.api("GET", f"plugins/{ruled.server.plugin}/status").json()
        return int(status["lookups"]["asked"])

    ruled.server.add_user("often", sha256("secret"))
    ruled.server.add_rule(1, "often/#", 3, username="often")
    with ruled.client("often") as client:
        before = asked()
        assert {client.publish(f"often/{number}").value for number in range(20)} == {0x10}
        assert asked() == before + (0 if ruled.server.rules_come_with_user else 1)
        ruled.server.add_rule(1, "new/#", 3, username="often")
        assert client.publish("new/1").value == 0x87
    with ruled.client("often") as client:
        assert client.publish("new/1").value == 0x10


def test_rules_that_changed_are_asked_for_when_an_operator_says_so(ruled: Site):
    """Of one client, and of all of them, by REST and on the command line."""
    ruled.server.add_user("changed", sha256("secret"))
    ruled.server.add_rule(1, "first", 3, username="changed")
    with ruled.client("changed", "changed1") as client:
        assert client.publish("first").value == 0x10
        for topic, (method, path) in {
            "one": ("DELETE", "connections/changed1/acl/one"), "all": ("DELETE", "acl_cache"),
            "asked": ("PUT", "connections/changed1/reauthorize"),
        }.items():
            assert client.publish(topic).value == 0x87
            ruled.server.add_rule(1, topic, 3, username="changed")
            assert client.publish(topic).value == 0x87
            assert ruled.broker.api(method, path).status_code == 200
            assert client.publish(topic).value == 0x10
        assert ruled.broker.api("DELETE", "acl_cache", params={"_style": "envelope"}).json() == {"code": 0}


def test_rules_are_not_kept_where_the_cache_is_off(ruled: Site):
    """`enable_acl_cache = off`: each PUBLISH has the rules of its time."""
    ruled.server.add_user("uncached", sha256("secret"))
    ruled.server.add_rule(1, "first", 3, username="uncached")
    assert ruled.broker.api("PUT", "configs/emqx", json={"key": "mqtt.cache_acl", "value": "false"}).status_code == 200
    with ruled.client("uncached") as client:
        assert client.publish("later").value == 0x87
        ruled.server.add_rule(1, "later", 3, username="uncached")
        assert client.publish("later").value == 0x10
    assert ruled.broker.api("PUT", "configs/emqx", json={"key": "mqtt.cache_acl", "value": "true"}).status_code == 200


def test_a_super_user_may_lose_and_gain_that(site: Site):
    """At once where an operator says so; else with the next connection."""
    if not site.server.has_supers:
        pytest.skip("it knows no super users")
    site.server.add_user("boss", sha256("secret"), is_super=True)
    with site.client("boss", "boss1") as client:
        for is_super, code in ((True, 0x10), (False, 0x87), (True, 0x10)):
            site.server.add_user("boss", sha256("secret"), is_super=is_super)
            answer = site.broker.api("PUT", "connections/boss1/reauthorize")
            assert answer.json() == {"client_id": "boss1", "is_superuser": is_super}
            assert client.publish("any").value == code
        said = site.broker.api("PUT", "connections/boss1/reauthorize", params={"_style": "envelope"}).json()
        assert said == {"code": 0, "data": {"client_id": "boss1", "is_superuser": True}}
    wait_until(lambda: "not_found" in site.broker.api("PUT", "connections/boss1/reauthorize").text)


def test_a_server_that_ended_idle_connections_is_asked_anew(site: Site):
    assert site.code("joe", "secret") == ENTERS
    site.server.end_connections()
    assert site.code("joe", "secret") == ENTERS
    site.server.kill()
    site.server.start()
    assert site.code("joe", "secret") == ENTERS


def test_a_server_that_is_down_refuses_its_clients_and_comes_back(site: Site):
    """3/0x88 while it is down, at once after five failures; an alarm stands; all within a second after its return."""
    def alarms() -> set[str]:
        return {alarm["id"] for alarm in site.broker.api("GET", "alarms/present").json()[0]["alarms"]}

    alarm = f"auth_backend_down/{site.server.plugin}"
    site.server.kill()
    assert {site.code("joe", "secret", f"c{number}") for number in range(8)} == {UNAVAILABLE}
    assert alarm in alarms()
    site.server.start()
    wait_until(lambda: alarm not in alarms(), 5)
    assert site.code("joe", "secret") == ENTERS
    assert site.code("joe", "wrong") == DENIED
