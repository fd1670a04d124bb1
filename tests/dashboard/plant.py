"""A broker with the data of a plant: gateways, presses, absent and slow clients, retained values, alarms, bans, users.

For tests that look at every place, and for pictures of it. Some names are long, and some are hostile.
"""

from __future__ import annotations

import json
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.broker_process import free_ports, wait_until
from tests.clients.raw import PUBACK, PUBLISH, Raw
from tests.dashboard.browser import PASSWORD, Browsing, browsing

HOSTILE = '<img src=x onerror="alert(1)">/../%2F?\' \u202e'
LONG = "building-4/" + "-".join(f"unit{number}" for number in range(60))
SLOW = "historian-2"
AWAY = "maintenance-tablet"
STATE = "plant/3/line1/press-03/state"
ORDERS = "plant/3/line1/press-03/orders"
PAYLOADS = {"text": "läuft · 运行中".encode(), "bytes": bytes(range(256)), "markup": HOSTILE.encode(),
            "empty-object": b"{}", "cbor": bytes.fromhex("a2616119012c6162f93c00"), "long": b"0123456789abcdef" * 1024}
# So that alarms stand: any disk is fuller than that.
WARNED = {"EMQX_MONITOR__CHECK_INTERVAL": "1s", "EMQX_MONITOR__DISK_HIGH_WATERMARK": "1%",
          "EMQX_MONITOR__DISK_LOW_WATERMARK": "0%"}
ROUND_S = 0.2


class Plant:
    """All but the messages of every day is there as soon as it is made; `working` lets these flow as well."""

    def __init__(self, at: Browsing, gateways: int = 4) -> None:
        self.at = at
        self.random = random.Random(7)
        self.clients: dict[str, Raw] = {}
        self._devices(gateways)
        self._values()
        self._waiting()
        self._management()

    def close(self) -> None:
        for client in self.clients.values():
            client.drop()

    def _connect(self, client_id: str, version: int = 4, **options: Any) -> Raw:
        client = Raw(socket.create_connection(("127.0.0.1", self.at.broker.mqtt_port)), version)
        self.clients[client_id] = client.connect(client_id, keepalive=300, **options)
        return client

    def _devices(self, gateways: int) -> None:
        for number in range(gateways):
            gateway = self._connect(f"gateway-{number:02}", 5, username="gateways", clean=False, session_expiry=86_400)
            gateway.subscribe(f"plant/{number % 4}/+/+/orders", f"$share/routing/site/{number % 3}/#", qos=1)
            press = self._connect(f"press-{number:02}", 4, username="presses",
                                  will=(f"plant/3/line1/press-{number:02}/gone", b"power cut", 1, False))
            press.subscribe(f"plant/3/line1/press-{number:02}/orders")
        self._connect("wall-display", 4, username="wall").subscribe("plant/+/+/+/state")
        for strange in (HOSTILE, LONG):
            self._connect(strange, 5, username=strange[:200]).subscribe(f"strange/{strange}/orders", "plant/3/line0/#")

    def _values(self) -> None:
        """Retained messages, with every kind of payload."""
        sender = self.clients["press-03"]
        for line in range(3):
            for press in range(8):
                value = self._reading() | {"id": 1152921504606846976 + press}
                sender.publish(f"plant/3/line{line}/press-{press:02}/state", json.dumps(value).encode(), 1, retain=True)
        for name, payload in PAYLOADS.items():
            sender.publish(f"samples/{name}", payload, 1, retain=True)
        for strange in (HOSTILE, LONG):
            self.clients[strange].publish(f"strange/{strange}/value", strange.encode(), 1, retain=True)

    def _reading(self) -> dict[str, Any]:
        return {"t": round(30 + self.random.random() * 9, 2), "on": True}

    def _waiting(self) -> None:
        """A client that is away with a queue, and one that acknowledges nothing."""
        away = self._connect(AWAY, 5, username="maintenance", clean=False, session_expiry=86_400)
        away.subscribe("plant/3/line1/+/orders", qos=1)
        away.disconnect()
        del self.clients[AWAY]
        self._connect(SLOW, 4, username="historian", clean=False).subscribe("plant/#", qos=1)
        for number in range(12):
            self.clients["gateway-00"].publish(ORDERS, json.dumps({"order": number, "pieces": 40}).encode(), 1)

    def api(self, method: str, path: str, **kw: Any) -> Any:
        answer = self.at.broker.api(method, path, auth=("administrator", PASSWORD), port=self.at.broker.dash_port, **kw)
        assert answer.ok, f"{method} {path}: {answer.text}"
        return answer.json()

    def _management(self) -> None:
        node, until = self.api("GET", "nodes/")[0]["name"], int(time.time()) + 86_400
        self.api("PUT", f"nodes/{node}/plugins/emqx_auth_username/load")
        for name in ("historian", "maintenance", LONG[:60]):
            self.api("POST", "auth_username", json={"username": name, "password": "Of-the-plant-1"})
        for who, kind in (("intruder-1", "client_id"), ("203.0.113.9", "ip_address"), (HOSTILE, "username")):
            self.api("POST", "banned", json={"who": who, "as": kind, "until": until, "reason": "guesses passwords",
                                             "desc": "night shift"})
        for topic in (ORDERS, "plant/3/#", f"strange/{HOSTILE}/value"):
            self.api("POST", "topic_metrics", json={"topic": topic})
        for number, role in enumerate(("viewer", "operator", "administrator")):
            self.api("POST", "apps", json={"app_id": f"reports-{number}", "name": f"Reports {number}", "role": role})
        self.api("POST", "users", json={"username": HOSTILE, "password": PASSWORD, "role": "viewer"})
        wait_until(lambda: self.api("GET", "slow_subscribers/")["items"], what="a slow subscriber")
        wait_until(lambda: self.api("GET", "alarms/present/")[0]["alarms"], what="an alarm")

    def refused(self) -> None:
        """A client that is banned tries to connect."""
        client = Raw(socket.create_connection(("127.0.0.1", self.at.broker.mqtt_port)), 4)
        client.connect("intruder-1", code=5)
        client.drop()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Presses publish, and everybody but the slow client reads and acknowledges."""
        stopped = threading.Event()

        def work() -> None:
            for count in iter(int, None):
                if stopped.wait(ROUND_S):
                    return
                self._round(count)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            stopped.set()
            worker.join()

    def _round(self, count: int) -> None:
        for name, client in self.clients.items():
            if name.startswith("press") and self.random.random() < 0.6:
                topic = f"plant/3/line{self.random.randrange(3)}/{name}/state"
                client.send(client.publish_packet(topic, json.dumps(self._reading()).encode()))
            if name.startswith("gateway") and self.random.random() < 0.1:
                client.send(client.publish_packet(f"site/{self.random.randrange(4)}/alive", b"1"))
        readable = [client for name, client in self.clients.items() if name != SLOW]
        for sock in select.select([client.sock for client in readable], [], [], 0)[0]:
            client = next(one for one in readable if one.sock is sock)
            while client.read():
                pass
            while (packet := client.buffered()) is not None:
                if packet.kind == PUBLISH and packet.qos == 1:
                    client.ack(PUBACK, packet.pid)


@contextmanager
def plant(place: Path, gateways: int = 4) -> Iterator[Plant]:
    """The plant, its broker and a browser."""
    with browsing(place, WARNED | {"EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{free_ports(1)[0]}"}) as at:
        made = Plant(at, gateways)
        try:
            yield made
        finally:
            made.close()
