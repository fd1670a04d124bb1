"""Clients, sessions and subscriptions: what the API lists is on the page, and what is done there happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.dashboard.browser import Browsing, needs_browser

pytestmark = needs_browser
HOSTILE = '<img src=x onerror="alert(1)">/../%2F?\' \u202e'
SHOWN = HOSTILE.replace("\u202e", "U+202E")


@contextmanager
def clients(at: Browsing, *ids: str) -> Iterator[list[Client]]:
    """Subscribers to `plant/#`, of the user `site0`, with sessions that stay."""
    with ExitStack() as stack:
        yield [subscribed(stack.enter_context(Client(at.broker.mqtt_port, one, "site0", clean=False))) for one in ids]


def subscribed(client: Client) -> Client:
    client.subscribe("plant/#", 1)
    return client


def listed(at: Browsing, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.broker.api("GET", path).json()["items"]
    return found


def test_clients_are_listed_found_and_disconnected(at: Browsing):
    """Sorting and filters are the server's and stand in the address; a client that is disconnected is so for itself."""
    with clients(at, "sensor-1", "sensor-2", HOSTILE) as (first, second, _):
        watched = at.logged_in("operator", "clients")
        page = watched.page
        table = page.get_by_role("region", name="Clients")
        table.get_by_role("link", name=SHOWN).wait_for()
        api = at.broker.api("GET", "connections/sensor-1").json()[0]
        text = table.get_by_role("row").filter(has_text="sensor-1").inner_text()
        assert {f"{api['ipaddress']}:{api['port']}", "site0", "3.1.1"} <= set(text.split())
        watched.accessible()
        page.emulate_media(color_scheme="dark")
        watched.accessible()
        page.get_by_text("Columns", exact=True).click()
        page.get_by_role("checkbox", name="Address").uncheck()
        page.get_by_role("checkbox", name="Zone").check()
        watched.accessible()
        page.reload()
        table.get_by_role("columnheader", name="Zone").wait_for()
        assert table.get_by_role("columnheader", name="Address").count() == 0
        table.get_by_role("button", name="Client id").click()
        page.wait_for_url("**sort=client_id")
        table.get_by_role("button", name="Client id").click()
        page.wait_for_url("**sort=-client_id")
        table.get_by_role("row").nth(1).filter(has_text="sensor-2").wait_for()
        page.keyboard.press("/")
        page.keyboard.type("or-1")
        table.get_by_role("row").filter(has_text="sensor-2").wait_for(state="detached")
        assert "_like_client_id=or-1" in page.url
        table.get_by_role("checkbox", name="Select sensor-1").check()
        page.get_by_role("button", name="Disconnect…").click()
        watched.accessible()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect", exact=True).click()
        page.get_by_text("1 client is disconnected.").wait_for()
        wait_until(lambda: not first.paho.is_connected())
        assert second.paho.is_connected()


def test_a_ban_holds(at: Browsing):
    with clients(at, HOSTILE) as (client,):
        page = at.logged_in("operator", "clients").page
        page.get_by_role("checkbox", name="Select <img").check()
        page.get_by_role("button", name="Ban…").click()
        page.get_by_label("Reason").fill("noise")
        page.get_by_role("dialog").get_by_role("button", name="Ban", exact=True).click()
        page.get_by_text("1 client is banned.").wait_for()
        wait_until(lambda: not client.paho.is_connected())
    assert Client(at.broker.mqtt_port, HOSTILE).code != 0
    assert [(row["who"], row["reason"]) for row in listed(at, "banned/")] == [(HOSTILE, "noise")]


def test_a_viewer_is_offered_nothing_and_nothing_found_says_so(at: Browsing):
    page = at.logged_in("viewer", "clients").page
    page.get_by_text("No client is connected.").wait_for()
    with clients(at, "sensor-1"):
        page.keyboard.press("r")
        page.get_by_role("link", name="sensor-1").wait_for()
        assert page.get_by_role("checkbox").count() == 0
        page.get_by_label("User contains").fill("nobody")
        page.get_by_text("Nothing is found with _like_username = nobody.").wait_for()
        page.get_by_role("button", name="Drop the filter").click()
        page.get_by_role("link", name="sensor-1").wait_for()


def test_sessions_of_those_who_are_away_are_forgotten(at: Browsing):
    """The queue is counted while the client is away, and gone with its session."""
    with clients(at, "away-1", "here-1") as (away, _):
        away.close()
        with Client(at.broker.mqtt_port, "sender") as sender:
            sender.publish("plant/1", b"x", 1)
        watched = at.logged_in("operator", "sessions?_like_client_id=-1")
        page = watched.page
        row = page.get_by_role("row").filter(has_text="away-1")
        row.get_by_role("link", name="1/1,000").wait_for()
        page.get_by_role("row").filter(has_text="here-1").get_by_text("● connected").wait_for()
        watched.accessible()
        page.emulate_media(color_scheme="dark")
        watched.accessible()
        page.get_by_label("Client", exact=True).select_option("away")
        page.get_by_role("row").filter(has_text="here-1").wait_for(state="detached")
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Forget 1…").click()
        page.get_by_role("dialog").get_by_role("button", name="Forget", exact=True).click()
        page.get_by_text("1 session is deleted.").wait_for()
        assert listed(at, "sessions/?client_id=away-1") == []


def test_a_subscription_is_taken_back_and_undone(at: Browsing):
    with clients(at, "sensor-1", "sensor-2") as (first, _):
        first.subscribe("other/+/x", 2)
        watched = at.logged_in("operator", "subscriptions?_match_topic=other/1/x")
        page = watched.page
        page.get_by_role("row").filter(has_text="other/+/x").get_by_role("link", name="sensor-1").wait_for()
        assert page.get_by_role("row").count() == 2
        watched.accessible()
        page.emulate_media(color_scheme="dark")
        watched.accessible()
        page.get_by_role("checkbox", name="Select sensor-1 other").check()
        page.get_by_role("button", name="Unsubscribe…").click()
        page.get_by_role("dialog").get_by_role("button", name="Unsubscribe", exact=True).click()
        page.get_by_text("1 subscription is taken back.").wait_for()
        assert listed(at, "subscriptions/?client_id=sensor-1&_like_topic=other") == []
        page.get_by_role("button", name="Undo").click()
        wait_until(lambda: [row["qos"] for row in listed(at, "subscriptions/?_like_topic=other")] == [2])
