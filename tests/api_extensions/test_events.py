"""Server-sent events, as a listener reads them off its socket."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import requests

from emqx_mgmt.broker.telemetry.event_subscriber import EventSubscriber
from emqx_mgmt.broker.telemetry.events import MOST_LISTENERS, MOST_OF_ONE, MOST_OF_USER, TooMany, demand_room
from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.paho import Client

Event = tuple[str, dict[str, Any]]
TOPIC = "long/" + "x" * 4000


class Listener:
    """`GET /events` over a socket of its own; `next` gives one event."""

    def __init__(self, broker: BrokerProcess, query: str = "", auth: tuple[str, str] = APP, port: int = 0) -> None:
        url = f"http://127.0.0.1:{port or broker.api_port}/api/v3/{query or 'events'}"
        self.answer = requests.get(url, auth=auth, stream=True, timeout=30)
        self.lines = self.answer.iter_lines()

    def next(self) -> Event:
        event: dict[str, str] = {}
        for line in self.lines:
            name, _, value = line.decode().partition(": ")
            if name in ("event", "data"):
                event[name] = value
            elif not name and event:
                return event["event"], json.loads(event["data"])
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        self.answer.close()


@contextmanager
def listening(broker: BrokerProcess, query: str = "") -> Iterator[Listener]:
    with closing(Listener(broker, query)) as listener:
        assert listener.answer.status_code == 200
        assert next(listener.lines) == b":"  # who reads this is listening
        yield listener


def test_what_clients_do_is_told_in_order(broker: BrokerProcess) -> None:
    with listening(broker, "events?types=connected,disconnected,subscribed,unsubscribed") as listener:
        assert listener.answer.headers["Content-Type"] == "text/event-stream"
        assert listener.answer.headers["Cache-Control"] == "no-store"
        client = Client(broker.mqtt_port, "told", username="joe", keepalive=77)
        client.subscribe("told/#", 1)
        client.paho.unsubscribe("told/#")
        client.close()
        kind, news = listener.next()
        assert kind == "connected"
        assert abs(news.pop("ts") - time.time()) < 30
        assert news.pop("port") > 0
        assert news == {"client_id": "told", "username": "joe", "ipaddress": "127.0.0.1", "proto_ver": 4,
                        "clean_start": True, "keepalive": 77, "node": "emqx@127.0.0.1"}
        kind, news = listener.next()
        assert (kind, news["client_id"], news["topic"], news["qos"]) == ("subscribed", "told", "told/#", 1)
        kind, news = listener.next()
        assert (kind, news["client_id"], news["topic"]) == ("unsubscribed", "told", "told/#")
        kind, news = listener.next()
        assert (kind, news["client_id"], news["reason"]) == ("disconnected", "told", "normal")


def test_rates_are_what_was_published(broker: BrokerProcess) -> None:
    with listening(broker, "events?types=rates") as listener:
        client = Client(broker.mqtt_port, "rated")
        try:
            seen: list[dict[str, Any]] = []
            while sum(one["received"] for one in seen) < 40:  # a sample that comes late shows a lower rate
                for _ in range(50):
                    client.paho.publish("rated/x", "x", qos=1).wait_for_publish(10)
                seen.append(listener.next()[1])
            assert sum(one["unrouted"] for one in seen) >= 40
            assert seen[-1]["connections"] == 1
        finally:
            client.close()


@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_credentials_and_parameters(broker: BrokerProcess, style: str) -> None:
    assert broker.api("GET", "events", auth=None).status_code == 401
    answer = broker.api("GET", f"events?types=connected,lunch&_style={style}")
    assert answer.status_code == (422 if style == "bare" else 200)
    assert answer.json()["message"].startswith("bad parameter types: must be some of connected, ")


def application(broker: BrokerProcess, app_id: str, **members: Any) -> tuple[str, str]:
    return app_id, broker.api("POST", "apps", json={"app_id": app_id, "name": app_id, **members}).json()["secret"]


def test_one_caller_cannot_take_all_places(broker: BrokerProcess) -> None:
    caller = application(broker, "viewer0", role="viewer")
    listeners: list[Listener] = []
    try:
        listeners += [Listener(broker, "events?types=alarm_raised", caller) for _ in range(16)]
        refused = broker.api("GET", "events", auth=caller)
        assert (refused.status_code, refused.json()) == (500, {
            "message": "one application, user or log-in may have no more than 16 of these streams at a time"})
        assert broker.api("HEAD", "events").status_code == 200
    finally:
        for listener in listeners:
            listener.close()
    wait_until(lambda: broker.api("HEAD", "events").status_code == 200, 5, "the end of those who hung up")


CHANGES: dict[str, tuple[str, str, Any]] = {
    "deleted": ("DELETE", "apps/{}", None),
    "disabled": ("PUT", "apps/{}", {"status": False}),
    "expired": ("PUT", "apps/{}", {"expired": 1}),
    "another secret": ("POST", "apps/{}/secret", None),
    "other scopes": ("PUT", "apps/{}", {"scopes": ["mqtt"]}),
}


@pytest.mark.parametrize("stream", ["events", "trace?topic=a"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_stream_ends_with_the_credentials_of_its_caller(broker: BrokerProcess, stream: str, change: str) -> None:
    """Also one on which nothing happens."""
    caller = application(broker, "passing")
    with closing(Listener(broker, stream, caller)) as listener:
        assert next(listener.lines) == b":"
        method, path, body = CHANGES[change]
        assert broker.api("PUT", "apps/passing", json={"name": "renamed"}).status_code == 200  # changes nothing
        assert broker.api(method, path.format("passing"), json=body).status_code == 200
        wait_until(lambda: next(listener.lines, None) is None, 20, "the end of the stream")
    broker.api("DELETE", "apps/passing")


@pytest.mark.parametrize(("method", "path", "body"), [
    ("DELETE", "users/passing", None),
    ("PUT", "change_pwd/passing", {"old_pwd": "old", "new_pwd": "new"}),
])
def test_a_stream_ends_with_the_user(broker: BrokerProcess, method: str, path: str, body: Any) -> None:
    broker.api("POST", "users", json={"username": "passing", "password": "old"})
    with closing(Listener(broker, "events?types=connected", ("passing", "old"), broker.dash_port)) as listener:
        assert next(listener.lines) == b":"
        assert broker.api(method, path, json=body).status_code == 200
        client = Client(broker.mqtt_port, "unseen")
        assert [line for line in listener.lines if line] == []
        client.close()
    broker.api("DELETE", "users/passing")


def test_alarms(start_broker: Callable[..., BrokerProcess]) -> None:
    """An alarm for the share of connections, and the stream that does not hold up the end of the worker."""
    broker = start_broker({
        "EMQX_MONITOR__CHECK_INTERVAL": "100ms", "EMQX_LISTENER__TCP__EXTERNAL__MAX_CONNECTIONS": "2",
        "EMQX_LISTENER__TCP__INTERNAL": "off",
    })
    with listening(broker, "events?types=alarm_raised,alarm_cleared") as listener:
        clients = [Client(broker.mqtt_port, f"full{number}") for number in range(2)]
        while (event := listener.next())[1]["id"] != "too_many_connections":
            pass
        broker.api("DELETE", "connections/none")  # the API is served meanwhile
        assert event[0] == "alarm_raised"
        for client in clients:
            client.close()
        assert any(listener.next()[1]["id"] == "too_many_connections" for _ in range(10))
        broker.running.terminate()
        for _ in listener.lines:  # raises if the stream is cut off
            pass
    assert broker.wait() == 0


def subscribe_many(broker: BrokerProcess, count: int) -> None:
    rows = [{"client_id": "noisy", "topic": f"{TOPIC}/{number}"} for number in range(count)]
    for method in ("subscribe_batch", "unsubscribe_batch"):
        assert broker.api("POST", f"mqtt/{method}", json=rows).status_code == 200


def test_a_listener_that_stops_reading_is_dropped_and_nobody_else_notices(
    start_broker: Callable[..., BrokerProcess],
) -> None:
    """More than kernel buffers and the listener's queue take together is told; another listener misses nothing."""
    broker = start_broker({"EMQX_MANAGEMENT__SEND_TIMEOUT": "1s", "EMQX_MANAGEMENT__MAX_BODY_SIZE": "4MB"})
    client = Client(broker.mqtt_port, "noisy")
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", broker.api_port))
    credentials = base64.b64encode(":".join(APP).encode()).decode()
    stalled.sendall(f"GET /api/v3/events HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n".encode())
    assert stalled.recv(12) == b"HTTP/1.1 200"
    try:
        with listening(broker, "events?types=unsubscribed") as listener:
            for round_ in range(8):
                subscribe_many(broker, 200)
                told = [listener.next()[1]["topic"] for _ in range(200)]
                assert told == [f"{TOPIC}/{number}" for number in range(200)], round_
        # Reading from it before it was dropped would make it one that reads.
        port = stalled.getsockname()[1]
        wait_until(lambda: port not in [peer.raddr.port for peer in broker.worker.net_connections("tcp") if peer.raddr],
                   30, "the end of the stalled listener")
        wait_until(lambda: ended(stalled), 20, "the end of its stream")
    finally:
        stalled.close()
        client.close()


def ended(sock: socket.socket) -> bool:
    """All that was on its way is read, and then it ends, or is reset."""
    sock.settimeout(0.2)
    try:
        while sock.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_listeners_are_few() -> None:
    """512 in all, 16 of a log-in, 128 of all log-ins of a user."""
    def taken(owners: list[tuple[str, str, int]], owner: tuple[str, str, int]) -> str:
        subscribers = [EventSubscriber(one, lambda _one: None) for one in owners]
        try:
            demand_room(subscribers, owner, MOST_LISTENERS, MOST_OF_ONE, MOST_OF_USER)
        except TooMany as error:
            return str(error)
        return ""

    others = [("application", f"a{number}", 0) for number in range(512)]
    assert taken(others[:511], ("user", "joe", 1)) == ""
    assert taken(others, ("user", "joe", 1)) == "too_many_listeners"
    of_joe = [("user", "joe", number // 16) for number in range(128)]
    assert taken(of_joe[:16], ("user", "joe", 1)) == ""
    assert "or log-in may have no more than 16" in taken(of_joe[:16], ("user", "joe", 0))
    assert "the log-ins of one user may have no more than 128" in taken(of_joe, ("user", "joe", 9))


def test_events_of_one_client(broker: BrokerProcess) -> None:
    listener = Listener(broker, "events?types=connected,disconnected&client_id=only")
    try:
        for client_id in ("other", "only", "other"):
            Client(broker.mqtt_port, client_id).close()
        first, second = listener.next(), listener.next()
        assert [(kind, news["client_id"]) for kind, news in (first, second)] == [
            ("connected", "only"), ("disconnected", "only")]
    finally:
        listener.close()
