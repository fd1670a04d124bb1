"""Three tasks of someone who has never seen the dashboard, from the overview and by what is on the screen alone: each
takes a handful of clicks."""

from __future__ import annotations

import socket

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.dashboard.browser import PASSWORD, Browsing, Watched, needs_browser

pytestmark = needs_browser
HANDFUL = 4


class Newcomer:
    """Clicks, and counts it; an address is never typed."""

    def __init__(self, watched: Watched) -> None:
        self.page = watched.page
        self.clicks = 0
        self.page.get_by_role("heading", name="Overview").wait_for()

    def click(self, role: str, name: str, within: str = "body") -> None:
        self.page.locator(within).get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)


def test_find_why_a_client_does_not_get_a_topic(at: Browsing):
    with Client(at.broker.mqtt_port, "sensor-7") as client, Client(at.broker.mqtt_port, "other") as other:
        client.subscribe("plant/+/cmd", 1)
        other.subscribe("plant/#", 1)
        someone = Newcomer(at.logged_in("viewer"))
        someone.click("link", "Who gets it")
        someone.type("Topic", "plant/1/state")
        someone.click("button", "Ask")
        someone.page.get_by_role("row").filter(has_text="other").wait_for()
        someone.type("Someone is missing here?", "sensor-7")
        someone.click("button", "Why not?")
        someone.page.get_by_text("None of its subscriptions matches this topic.").wait_for()
        someone.page.get_by_text("It is connected.").wait_for()
        assert someone.clicks <= HANDFUL


def test_find_why_a_client_is_not_there(at: Browsing):
    """It is refused: a search among those that are connected leads on to the reason."""
    someone = Newcomer(at.logged_in("viewer"))
    at.broker.api("POST", "banned/", json={"who": "sensor-8", "as": "client_id", "reason": "too loud"})
    with Client(at.broker.mqtt_port, "sensor-8") as client:
        assert client.code != 0
    someone.click("link", "Clients")
    someone.type("Client id contains", "sensor-8")
    someone.click("link", "why this client is not connected")
    someone.page.get_by_text("too loud").wait_for()
    someone.page.get_by_text("It was refused 1 time since this page was opened").wait_for()
    assert someone.clicks <= HANDFUL


def test_find_who_makes_messages_wait_and_stop_it(at: Browsing):
    """A subscriber that acknowledges nothing: the list of places counts it."""
    with socket.create_connection(("127.0.0.1", at.broker.mqtt_port)) as client:
        client.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04slow" + b"\x82\x09\x00\x01\x00\x04lazy\x01")
        wait_until(lambda: at.broker.api("GET", "subscriptions/", params={"client_id": "slow"}).json()["items"])
        at.broker.api("POST", "mqtt/publish", json={"topic": "lazy", "payload": "x", "qos": 1})
        wait_until(lambda: at.broker.api("GET", "slow_subscribers/").json()["items"])
        someone = Newcomer(at.logged_in("operator"))
        someone.click("link", "Slow subscribers 1")
        someone.click("checkbox", "Select slow")
        someone.click("button", "Disconnect…")
        someone.click("button", "Disconnect", "dialog")
        client.settimeout(20)
        while client.recv(4096):
            pass
        assert someone.clicks <= HANDFUL


def test_give_a_colleague_read_only_access(at: Browsing):
    """The role that a new user has unless another is chosen; nothing is offered to it, and the API refuses it."""
    name = "colleague"
    someone = Newcomer(at.logged_in("administrator"))
    someone.click("link", "Users")
    someone.click("button", "New user")
    someone.type("User", name)
    someone.type("New password", PASSWORD)
    someone.type("The same password again", PASSWORD)
    someone.click("button", "Add", "dialog")
    row = someone.page.get_by_role("row").filter(has=someone.page.get_by_role("cell", name=name, exact=True))
    row.get_by_text("viewer", exact=True).wait_for()
    assert someone.clicks <= HANDFUL
    with Client(at.broker.mqtt_port, "sensor-9"):
        page = at.fresh().log_in(name, place="clients").page
        page.get_by_role("link", name="sensor-9").wait_for()
        assert page.get_by_role("checkbox").count() == 0
        refused = at.broker.api("DELETE", "connections/sensor-9", auth=(name, PASSWORD), port=at.broker.dash_port)
        assert refused.status_code == 403
