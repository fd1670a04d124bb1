"""MQTT clients beside the browser."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager

from tests.broker_process import wait_until
from tests.dashboard.browser import Browsing

HOSTILE = '<img src=x onerror="alert(1)">/../%2F'


@contextmanager
def subscriber(at: Browsing, client_id: str, *options: str):
    """Yields once the subscription stands."""
    with subprocess.Popen(["mosquitto_sub", "-p", str(at.broker.mqtt_port), "-i", client_id, *options],
                          stdout=subprocess.PIPE, text=True) as client:
        try:
            wait_until(lambda: at.broker.api("GET", "subscriptions/", params={"client_id": client_id}).json()["items"])
            yield client
        finally:
            client.kill()
