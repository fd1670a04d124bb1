"""Names that do not survive a path, and topics with commas: every page of a single thing works with them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.dashboard.browser import PASSWORD, Browsing, needs_browser

pytestmark = needs_browser
DOTS = ".."
TOPIC = "/./%2e%2E/a,b?/&=:0 \\"
WORST = "./%2e%2E/a,b?#&=:0 +\\"


def listed(at: Browsing, path: str, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.broker.api("GET", path, params=params).json()["items"]
    return found


@pytest.mark.parametrize("name", [DOTS, WORST])
def test_the_queue_of_an_absent_client_is_shown_and_forgotten(at: Browsing, name: str):
    with closing(Client(at.broker.mqtt_port, name, clean=False)) as away:
        away.subscribe("plant/#", 1)
    with Client(at.broker.mqtt_port, "sender") as sender:
        sender.publish("plant/7", b"x", 1)
    page = at.logged_in("operator", "sessions").page
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
    row.get_by_role("link", name="1/1,000").click()
    page.get_by_role("heading", name=name).wait_for()
    page.get_by_role("row").filter(has_text="plant/7").wait_for()
    page.get_by_role("link", name="Subscriptions 1").click()
    page.get_by_role("row").filter(has_text="plant/#").wait_for()
    page.get_by_role("button", name="Forget the session…").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget", exact=True).click()
    page.get_by_text("No client of this id is connected, and none has a session.").wait_for()
    assert listed(at, "sessions/", client_id=name) == []


@pytest.mark.parametrize("name", [DOTS, TOPIC])
def test_a_retained_message_is_deleted_and_brought_back(at: Browsing, name: str):
    published = at.broker.api("POST", "mqtt/publish", json={
        "topics": [name], "payload": "first", "retain": True, "client_id": ""})
    assert published.json() == {"code": 0}
    watched = at.logged_in("operator", "topics")
    page = watched.page
    page.get_by_role("searchbox", name="Topic or filter").fill(name)
    page.get_by_role("button", name="Go", exact=True).click()
    page.locator(".payload pre").filter(has_text="first").wait_for()
    page.get_by_text('by ""').wait_for()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("No message is retained for this topic.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.locator(".payload pre").filter(has_text="first").wait_for()
    assert [(row["topic"], row["client_id"]) for row in listed(at, "retained/")] == [(name, "")]
    watched.go("topic-metrics")
    page.get_by_label("Topic or topic filter to count").fill(name)
    page.get_by_role("button", name="Count it").click()
    page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").check()
    page.get_by_role("button", name="Count no more").click()
    page.get_by_role("dialog").get_by_role("button", name="Count no more").click()
    page.get_by_text("No topic is counted.").wait_for()
    assert at.broker.api("DELETE", "retained/", params={"_match_topic": "#"}).json() == {"deleted": 1}


@pytest.mark.parametrize("name", [DOTS, WORST])
def test_a_ban_is_ended(at: Browsing, name: str):
    assert at.broker.api("POST", "banned/", json={"who": name, "as": "client_id"}).ok
    page = at.logged_in("operator", "bans").page
    page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True)).get_by_role("checkbox").check()
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="End", exact=True).click()
    page.get_by_text("Nobody is banned.").wait_for()
    assert listed(at, "banned/") == []


def test_filters_with_commas_are_subscribed_and_brought_back(at: Browsing):
    with Client(at.broker.mqtt_port, WORST) as client:
        page = at.logged_in("operator", "clients").page
        page.get_by_role("link", name=WORST).click()
        page.get_by_role("link", name="Subscriptions 0").click()
        page.get_by_role("textbox", name="Topic filter").fill("a,b/+")
        page.get_by_role("button", name="Subscribe it").click()
        page.get_by_role("row").filter(has_text="a,b/+").get_by_role("checkbox").check()
        page.get_by_role("button", name="Unsubscribe…").click()
        page.get_by_role("dialog").get_by_role("button", name="Unsubscribe", exact=True).click()
        page.get_by_text("It has no subscription. ").wait_for()
        page.get_by_role("button", name="Undo").click()
        wait_until(lambda: [row["topic"] for row in listed(at, "subscriptions/", client_id=WORST)] == ["a,b/+"])
        client.publish("a,b/1", b"both", 1)
        assert client.receive().payload == b"both"


def test_users_and_applications_are_edited_and_deleted(at: Browsing):
    """Their ids are in paths, too."""
    admin = {"auth": ("administrator", PASSWORD), "port": at.broker.dash_port}
    for name in (DOTS, "a%2F"):
        user = {"username": name, "password": "x-Of-1234", "role": "viewer"}
        assert at.broker.api("POST", "users/", **admin, json=user).ok
        page = at.logged_in("administrator", "users").page
        page.get_by_role("button", name=f"Delete {name}", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.get_by_role("row").filter(has_text=name).wait_for(state="detached")
        assert name not in [row["username"] for row in at.broker.api("GET", "users/", **admin).json()]
