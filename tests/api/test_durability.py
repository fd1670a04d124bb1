"""kill -9 in the middle of changes: every change that was confirmed is there (SQLite in WAL mode, full sync)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import requests

from tests.broker_process import APP, BrokerProcess, wait_until


class Writer(threading.Thread):
    """Makes one change after the other and notes those that were confirmed."""

    def __init__(self, broker: BrokerProcess, change: Callable[[requests.Session, str, str], bool]) -> None:
        super().__init__(daemon=True)
        self.url = f"{broker.base_url}/api/v3"
        self.change = change
        self.confirmed: list[str] = []

    def run(self) -> None:
        session = requests.Session()
        session.auth = APP
        for number in range(100_000):
            name = f"n{number}"
            try:
                if not self.change(session, self.url, name):
                    return
            except requests.RequestException:
                return
            self.confirmed.append(name)


def add_app(session: requests.Session, url: str, name: str) -> bool:
    return session.post(f"{url}/apps", json={"app_id": name, "name": name}, timeout=10).status_code == 200


def add_ban(session: requests.Session, url: str, name: str) -> bool:
    return session.post(f"{url}/banned", json={"who": name, "as": "username"}, timeout=10).status_code == 201


def set_limit(session: requests.Session, url: str, name: str) -> bool:
    body = {"key": "mqtt.mqueue.max_length", "value": name.removeprefix("n")}
    return session.put(f"{url}/configs/emqx", json=body, timeout=10).status_code == 200


def test_kill_9_in_the_middle_of_changes(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    writers = [Writer(broker, change) for change in (add_app, add_ban, set_limit)]
    for writer in writers:
        writer.start()
    wait_until(lambda: all(len(writer.confirmed) > 20 for writer in writers), 30, "some changes")
    broker.kill9()
    for writer in writers:
        writer.join(15)

    broker.start()
    apps, bans, limits = (writer.confirmed for writer in writers)
    assert set(apps) <= {row["app_id"] for row in broker.api("GET", "apps").json()}
    assert set(bans) <= {row["who"] for row in broker.api("GET", "banned").json()["items"]}
    rows = broker.api("GET", "nodes/emqx@127.0.0.1/configs").json()
    limit = next(int(row["value"]) for row in rows if row["key"] == "mqtt.mqueue.max_length")
    assert limit in (len(limits) - 1, len(limits))
