"""What becomes of clients while a database is mute, busy or refuses, and when its plugin is changed."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from threading import Event

import paho.mqtt.client as paho
import pytest
import trustme

from tests.auth_backends.conftest import BACKENDS, connack, sha256
from tests.backends.relay import Relay
from tests.backends.server import Server
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import INSTALLED, NODE, PLUGINS, install, load, unload, wait_until_given_back

ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88


ROUNDS = int(os.environ.get("PLUGIN_ROUNDS", "5"))  # `make test-plugins` does a hundred


class Site:
    """A broker that asks a database with two connections, and waits two seconds for an answer. `port` is the
    database's."""

    def __init__(self, broker: BrokerProcess, server: Server, is_secured: bool) -> None:
        settings = server.secure_settings(server.directory / "ca.pem") if is_secured else server.settings()
        self.broker, self.is_secured = broker, is_secured
        self.own = settings | {"pool": "2", "query_timeout": "2s"}
        self.server = server
        self.port: int = getattr(server, "tls_port", server.port) if is_secured else server.port

    def configure(self, *, works: bool = True, **changed: str) -> None:
        """Returns once the back-end answers: the first question may be late on a busy machine."""
        texts = {f"{self.server.prefix}.{key.replace('__', '.')}": text for key, text in (self.own | changed).items()}
        answer = self.broker.api("PUT", f"{NODE}/plugin_configs/{self.server.plugin}", json=texts)
        assert answer.json() == "ok", answer.text
        if works:
            wait_until(lambda: not self.is_down, 20)

    def code(self, username: str = "joe", password: str = "secret", client_id: str = "c") -> int:
        return connack(self.broker.mqtt_port, username, password, client_id)

    def status(self) -> dict[str, object]:
        return dict(self.broker.api("GET", f"plugins/{self.server.plugin}/status").json())

    @property
    def is_down(self) -> bool:
        alarms = self.broker.api("GET", "alarms/present").json()[0]["alarms"]
        return f"auth_backend_down/{self.server.plugin}" in {alarm["id"] for alarm in alarms}


# `make test-backends` has all of them, each over TLS too; but SecantusDB shakes hands with nobody any more once it has
# stood still in the middle of some handshakes.
ALL = [(kind, is_secured) for kind in BACKENDS for is_secured in (False, True) if not (kind == "mongo" and is_secured)]
FAULTY = ALL if os.environ.get("BACKEND_FAULTS") == "all" else [("mysql", False), ("redis", False)]


@pytest.fixture(scope="module", params=FAULTY, ids=[kind + "-tls" * is_secured for kind, is_secured in FAULTY])
def site(request: pytest.FixtureRequest, server_of: Callable[[str], Server],
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    kind, is_secured = request.param
    server = server_of(kind)
    for name in ("joe", "root"):
        server.add_user(name, sha256("secret"), is_super=name == "root" and server.has_supers)
    installed = tmp_path_factory.mktemp("installed") / "site"
    shutil.copytree(INSTALLED, installed)
    install(installed, "gauge", {"test_gauge": PLUGINS["test_gauge"]})
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"), {
        "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_MANAGEMENT__AUDIT_RECORDS": "0", "PYTHONPATH": str(installed)}).start()
    one = Site(broker, server, is_secured)
    one.configure()
    load(broker, server.plugin)
    wait_until(lambda: not one.is_down, 20)
    yield one
    assert broker.stop() == 0
    _, found, traceback = broker.stderr.partition("Traceback")
    assert not found, traceback[:3000]


def test_over_tls(site: Site, tmp_path: Path):
    """The certificate is verified: another authority's is the end of it."""
    if site.is_secured:
        pytest.skip("its other settings are for plain connections")
    settings = site.server.secure_settings(site.server.directory / "ca.pem")
    site.configure(**settings)
    assert (site.code(), site.code(password="wrong")) == (ENTERS, DENIED)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    site.configure(works=False, **site.server.secure_settings(tmp_path / "other.pem"))
    assert site.code() == UNAVAILABLE
    site.configure()
    assert site.code() == ENTERS


def test_a_mute_server_holds_up_nobody_else(site: Site):
    """Every question ends with its timeout, and all are served when it answers again. Another client's PUBLISH wait for
    none of them: benchmarks/bench_stall.py has figures, which a busy machine has no part in."""
    def log_in(number: int) -> int:
        return site.code(client_id=f"m{number}")

    def published_while(codes: list[Future[int]], at_least: int) -> float:
        """The 99th percentile, in seconds."""
        took: list[float] = []
        while len(took) < at_least or not all(code.done() for code in codes):
            asked = time.monotonic()
            assert other.publish("somewhere").value in (0, 0x10)
            took.append(time.monotonic() - asked)
        return quantiles(took, n=100)[98]

    with Client(site.broker.mqtt_port, "other", "root", "secret", version=paho.MQTTv5) as other, \
            ThreadPoolExecutor(20) as pool:
        if not site.server.has_supers:
            other.publish("somewhere")  # its rules are known from now on
        assert other.code == ENTERS
        usual = published_while([pool.submit(log_in, number) for number in range(20)], 300)
        with site.server.paused():
            began = time.monotonic()
            codes = [pool.submit(log_in, number) for number in range(20)]
            mute = published_while(codes, 300)
            assert {code.result() for code in codes} == {UNAVAILABLE}
            assert time.monotonic() - began < 8
            assert mute < max(0.1, 4 * usual)
            wait_until(lambda: site.code() == UNAVAILABLE and site.is_down, 30)
        wait_until(lambda: not site.is_down, 10)
        assert site.code() == ENTERS


def test_credentials_of_the_brokers_own_that_are_wrong(site: Site):
    if not site.server.has_credentials:
        pytest.skip("it asks for none")
    site.configure(works=False, **{site.server.secret: "not-it-at-all"})
    assert site.code() == UNAVAILABLE
    assert site.is_down
    assert "not-it-at-all" not in str(site.status()) + site.broker.stderr
    site.configure()
    assert not site.is_down
    assert site.code() == ENTERS


def test_more_questions_than_connections(site: Site):
    """Fifty at once on two connections, a fifth of a second each: who waits longer than a second is refused as
    "Server unavailable", nobody as unknown, and every connection comes back."""
    names = [f"user{number}" for number in range(25)] if site.server.asks_by_name else ["joe"]
    for name in names:
        site.server.add_user(name, sha256("secret"))
    with Relay(site.port) as relay, ThreadPoolExecutor(50) as pool:
        site.configure(**{key: text.replace(f":{site.port}", f":{relay.port}") for key, text in site.own.items()})
        assert {*pool.map(site.code, names)} == {ENTERS}
        relay.delay = 0.2
        codes = pool.map(lambda number: site.code(names[number % len(names)], client_id=f"p{number}"), range(50))
        assert {*codes} == {ENTERS, UNAVAILABLE}
        relay.delay = 0.0
        wait_until(lambda: site.code() == ENTERS, 10)
        wait_until(lambda: site.status()["pool_in_use"] == 0)
        site.configure()


def test_settings_change_while_clients_connect(site: Site):
    """Clients wait for a moment, and those that were just asked about are refused as "Server unavailable"; none is
    let in or denied because a plugin is not there."""
    done = Event()

    def connect(number: int) -> set[tuple[str, int]]:
        codes = set()
        while not done.is_set():
            codes |= {(password, site.code("joe", password, f"s{number}")) for password in ("secret", "wrong")}
        return codes

    with ThreadPoolExecutor(4) as pool:
        codes = [pool.submit(connect, number) for number in range(4)]
        for size in range(8):
            site.configure(pool=str(4 + size % 3))
        done.set()
        seen = set().union(*(code.result() for code in codes))
        assert seen - {("secret", UNAVAILABLE), ("wrong", UNAVAILABLE)} == {("secret", ENTERS), ("wrong", DENIED)}
    site.configure()


def test_nothing_stays_of_a_plugin_that_is_loaded_and_unloaded(site: Site):
    """No socket, thread, greenlet, handler, instance or memory."""
    def left() -> Counter[str]:
        worker = site.broker.worker
        return Counter(site.broker.api("GET", "gauge").json(), files=worker.num_fds(), threads=worker.num_threads())

    def settled() -> Counter[str]:
        """The least of each there is within two seconds: what the last connections had is closed by then."""
        least = left()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            time.sleep(0.2)
            least &= left()
        return least

    def cycle() -> None:
        unload(site.broker, site.server.plugin)
        load(site.broker, site.server.plugin)
        wait_until(lambda: site.code() == ENTERS, 10)  # a machine that is busy may be late with the first answer

    load(site.broker, "test_gauge")
    for _ in range(2):
        cycle()
    unload(site.broker, site.server.plugin)
    before, memory = settled(), site.broker.rss()
    load(site.broker, site.server.plugin)
    for _ in range(ROUNDS):
        cycle()
    unload(site.broker, site.server.plugin)
    wait_until_given_back(left, before)
    assert site.broker.rss() - memory < 8 << 20
    unload(site.broker, "test_gauge")
    load(site.broker, site.server.plugin)


def test_metrics(site: Site):
    text = site.broker.api("GET", "/status").text and site.broker.http.get(f"{site.broker.base_url}/metrics").text
    label = f'plugin="{site.server.plugin}"'
    assert f"emqx_auth_backend_up{{{label}}} 1" in text
    assert f'emqx_auth_decisions_total{{{label},outcome="allowed"}}' in text
    assert f'emqx_auth_lookup_seconds{{{label},quantile="0.99"}}' in text
