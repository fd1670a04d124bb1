"""What the log keeps of what strangers can have it say."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import sys

import pytest

from emqx_mgmt.server import log
from emqx_mgmt.server.log import LogLimit
from emqx_mgmt.server.log_line import LONGEST_MESSAGE, LONGEST_TRACEBACK, LONGEST_VALUE, JsonFormatter, TextFormatter
from emqx_mgmt.settings import Rate
from emqx_mgmt.settings.log_levels import COMPONENTS
from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.clients.raw import text, varint
from tests.plugins.conftest import INSTALLED, install, load

LINES, PERIOD_S = 20, 10.0
FORGERY = "evil\n2026-01-01T00:00:00Z [ERROR] all is lost\r\x1b[31m\u2028\x85\ud800\u202e"
ESCAPED = r"evil\n2026-01-01T00:00:00Z [ERROR] all is lost\r\x1b[31m\u2028\x85\ud800\u202e"


def record(message: object, *args: object, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("a.plugin", logging.WARNING, __file__, 1, message, args, exc_info)


def failure(text: str) -> tuple[object, ...]:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_of_many_alike_lines_a_few_are_written_and_the_rest_is_counted(monkeypatch, caplog):
    now = 1000.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    log_limit, logger = LogLimit(Rate(LINES, PERIOD_S)), logging.getLogger("test.strangers")
    logger.addFilter(log_limit)
    for number in range(LINES + 100):
        logger.warning("bad request %d", number)
    logger.warning("of another kind")
    assert caplog.messages == [*(f"bad request {number}" for number in range(LINES)), "of another kind"]
    caplog.clear()
    now += PERIOD_S
    log_limit.report()
    assert caplog.messages == [f"100 more lines of test.strangers (warning) in {PERIOD_S:.0f} seconds"]
    logger.warning("bad request again")
    assert caplog.messages[1:] == ["bad request again"]


@pytest.mark.parametrize(
    "said", [record("%s came", FORGERY), record(f"{FORGERY} came"), record("%(who)s came", {"who": FORGERY})]
)
def test_whatever_a_value_holds_it_stays_on_its_line(said):
    assert TextFormatter().format(said).endswith(f" [WARNING] {ESCAPED} came")
    assert json.loads(JsonFormatter().format(said))["message"] == f"{ESCAPED} came"


def test_a_traceback_is_on_the_line_of_its_event():
    said = record("it failed", exc_info=failure(FORGERY))
    line = TextFormatter().format(said)
    assert line.isprintable()
    assert r"it failed\nTraceback (most recent call last):\n  File " in line
    assert line.endswith(rf"\nValueError: {ESCAPED}")
    event = JsonFormatter().format(said)
    assert "\n" not in event
    assert json.loads(event)["traceback"].startswith("Traceback (most recent call last):\n  File ")


def test_values_are_cut():
    topic = "x" * 65_535
    assert TextFormatter().format(record("%s and %d", topic, 7)).endswith(f"] {'x' * LONGEST_VALUE}… and 7")
    for said in (record(topic), record("%s", [topic]), record("\x1b" * 65_535), record("%r", topic.encode())):
        assert len(TextFormatter().format(said)) < LONGEST_MESSAGE + 100
        assert len(json.loads(JsonFormatter().format(said))["message"]) <= LONGEST_MESSAGE + 1
    long = record("it failed", exc_info=failure("\n".join([topic] * 1000)))
    assert len(TextFormatter().format(long)) < 1.1 * LONGEST_TRACEBACK


def test_a_line_whose_values_do_not_fit_is_still_a_line():
    assert TextFormatter().format(record("%d of %s", FORGERY)).endswith("] %d of %s (its values do not fit)")


# -- from outside -----------------------------------------------------------------------------------------

ACL = '{deny, all, publish, ["no/#"]}.\n{allow, all}.\n'


def forgers(broker) -> None:
    """Each place that writes what a client says: ACL, plugins, modules, refused CONNECTs, HTTP, protocol errors."""
    forged = FORGERY.replace("\ud800", "")
    with Client(broker.mqtt_port, forged) as client:
        client.publish(f"no/{forged}")
        client.publish(f"$delayed/bad/{forged}")
        client.publish("the/end", qos=1)
    with Client(broker.mqtt_port, "x" * 200, username=forged) as client:
        assert client.code == 0x85
    with socket.create_connection(("127.0.0.1", broker.api_port), 10) as sock:
        sock.sendall(b"GET /\x1b[31m\x85 HTTP/1.1\r\n\r\n")
        assert b" 400 " in sock.recv(100)
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as sock:
        sock.sendall(connect(forged) + b"\x36\x00")
        wait_until(lambda: not sock.recv(100), what="the end of the connection")


def connect(client_id: str) -> bytes:
    body = text("MQTT") + b"\x04\x02\x00\x00" + text(client_id)
    return b"\x10" + varint(len(body)) + body


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_client_can_forge_a_line(start_broker, tmp_path, format):
    (tmp_path / "acl.conf").write_text(ACL)
    broker = start_broker({
        "EMQX_LOG__FORMAT": format, "EMQX_LOG__LEVEL": "debug", "EMQX_ACL_FILE": str(tmp_path / "acl.conf"),
        "EMQX_MODULE__SUBSCRIPTION": "on", "EMQX_MODULE__SUBSCRIPTION__1__TOPIC": "a/#/%c",
        "EMQX_MQTT__MAX_CLIENTID_LEN": "150",
    })
    forgers(broker)
    said = ["may not publish to 'no/evil", "which goes nowhere", "is not subscribed to", "CONNECT refused",
            "Invalid", "Connection closed: it sent a packet that is malformed", "CONNECT accepted"]
    wait_until(lambda: all(words in broker.stderr for words in said), what=f"all of {said}")
    for line in broker.log_path.read_bytes().decode().removesuffix("\n").split("\n"):
        assert line.isprintable(), line
        if format == "json":
            assert json.loads(line)["message"].isprintable()
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+\d{4} \[(DEBUG|INFO|WARNING)\] ", line), line


def test_no_logger_can_be_made_to_flood(start_broker, tmp_path):
    """Plugins' too, and each value is cut: 60,000 bytes of topic, two hundred times."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(INSTALLED / "chatty_plugin.py", site)
    install(site, "chatty", {"test_chatty": "chatty_plugin:Chatty"})
    broker = start_broker({"EMQX_LOG__BURST_LIMIT": "5,2s", "PYTHONPATH": str(site)})
    load(broker, "test_chatty")
    with Client(broker.mqtt_port, "flooder") as client:
        for number in range(200):
            client.publish(f"flood/{number}/{'x' * 60_000}")
        client.publish("the/end", qos=1)
    told = wait_until(lambda: re.search(
        r"(\d+) more lines of emqx_mgmt\.plugins\.test_chatty \(warning\) in \d seconds", broker.stderr))
    lines = [line for line in broker.stderr.splitlines() if "flooder published to" in line]
    assert len(lines) <= 10
    assert int(told[1]) <= 195
    assert max(map(len, lines)) < 2 * LONGEST_VALUE


def test_a_client_that_sends_more_than_max_packet_size_leaves_a_line(start_broker):
    broker = start_broker({"EMQX_MQTT__MAX_PACKET_SIZE": "1KB"})
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as sock:
        sock.sendall(connect("bridge") + b"\x30" + varint(2000) + text("a") + bytes(1997))
        wait_until(lambda: not sock.recv(100), what="the end of the connection")
        port = sock.getsockname()[1]
    line = wait_until(lambda: re.search("Connection closed: (.*)", broker.stderr))[1]
    assert line.startswith("it sent a packet that is longer than max_packet_size allows (packet_too_large; client id ")
    assert line.endswith(f"'bridge', from 127.0.0.1:{port}, at mqtt:tcp external on 127.0.0.1:{broker.mqtt_port})")


def test_each_component_says_something_at_debug(start_broker):
    broker = start_broker({"EMQX_LOG__LEVEL": "debug", "EMQX_LOG__FORMAT": "json",
                           "EMQX_MONITOR__CHECK_INTERVAL": "1s"})
    with Client(broker.mqtt_port, "seen", username="joe") as client:
        address = client.paho.socket().getsockname()
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as sock:
        sock.sendall(b"nothing")
        wait_until(lambda: not sock.recv(1), what="the end of the connection")

    def said() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in broker.stderr.splitlines():
            event = json.loads(line)
            if event["level"] == "debug" and event["logger"].startswith("emqx_mgmt."):
                found.setdefault(event["logger"].split(".")[1], []).append(event["message"])
        return found

    wait_until(lambda: {*COMPONENTS} <= {*said()}, what="a line of each component")
    client = f"client id 'seen', user name 'joe', from {address[0]}:{address[1]}"
    assert f"CONNECT accepted: MQTT 4, new session ({client})" in said()["broker"]
    ended = f"Connection ended: normal (client id 'seen', from {address[0]}:{address[1]}, at mqtt:tcp external on"
    assert any(line.startswith(ended) for line in said()["broker"])
    assert "GET /status from 127.0.0.1: 200" in said()["api"]
