"""The tree of topics, the retained message of one, and what is done to it."""

from __future__ import annotations

from typing import Any

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.dashboard.browser import Browsing, needs_browser

pytestmark = needs_browser
HOSTILE = '<img src=x onerror="alert(1)">/100%2F?&'
DIGITS = "1152921504606846976"


def retained(at: Browsing, topic_filter: str) -> list[dict[str, Any]]:
    answer = at.broker.api("GET", "retained/", params={"_match_topic": topic_filter})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_the_tree_is_opened_by_keys_and_a_message_deleted_and_brought_back(at: Browsing):
    """A level is asked for when it is opened; numbers keep their digits; Undo publishes what was deleted."""
    with Client(at.broker.mqtt_port, "sensor-3") as client:
        client.subscribe("plant/+/cmd", 1)
        client.publish("plant/3/state", f'{{"id": {DIGITS}}}'.encode(), 1, retain=True)
        client.publish("plant/3/other", b"\x08\x96\x01\x12\x07testing\x1a\x02\x08\x01", 1, retain=True)
        client.publish(HOSTILE, b"<script>alert(1)</script>", 1, retain=True)
        watched = at.logged_in("operator", "topics")
        page = watched.page
        tree = page.get_by_role("treegrid")
        tree.get_by_role("row").filter(has_text="<img src=x").wait_for()
        assert tree.get_by_role("row").filter(has_text="state").count() == 0
        tree.get_by_role("row").filter(has_text="plant").focus()
        page.keyboard.press("ArrowRight")
        tree.locator("[aria-level='2']").filter(has_text="+").wait_for()
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        for title in ("Payload", "Size", "Age"):
            tree.get_by_role("columnheader", name=title).wait_for()
        other = tree.get_by_role("row").filter(has_text="other")
        other.filter(has_text="(bytes)").filter(has_text="16 B").click()
        page.get_by_text("by sensor-3").wait_for()
        page.get_by_role("button", name="Protobuf").click()
        page.locator(".payload pre").filter(has_text='2 bytes: "testing"').filter(has_text="1 varint: 150").wait_for()
        state = tree.get_by_role("row").filter(has_text="state")
        state.filter(has_text='{"id": 115').filter(has_text="27 B").click()
        page.locator(".payload pre").filter(has_text=DIGITS).wait_for()
        assert "topic=plant%2F3%2Fstate" in page.url
        watched.accessible()
        page.emulate_media(color_scheme="dark")
        watched.accessible()

        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_text("No message is retained for this topic.").wait_for()
        assert [row["topic"] for row in retained(at, "plant/#")] == ["plant/3/other"]
        page.get_by_role("button", name="Undo").click()
        page.locator(".payload pre").filter(has_text=DIGITS).wait_for()
        assert [row["qos"] for row in retained(at, "plant/3/state")] == [1]

        watched.go("topics?topic=plant")
        page.get_by_role("button", name="Delete all below: 2…").click()
        watched.accessible()
        page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
        page.get_by_text("2 messages are deleted.").wait_for()
        assert retained(at, "plant/#") == []


def test_a_hostile_topic_is_shown_and_a_message_published(at: Browsing):
    """Subscribers get what is published there; a viewer is offered nothing."""
    with Client(at.broker.mqtt_port, "listener") as client:
        client.subscribe("shop/#", 1)
        watched = at.logged_in("operator", "topics")
        page = watched.page
        page.get_by_role("searchbox", name="Topic or filter").fill(HOSTILE)
        page.get_by_role("button", name="Go", exact=True).click()
        page.locator(".payload pre").filter(has_text="<script>alert(1)</script>").wait_for()
        page.get_by_role("button", name="Publish…").last.click()
        dialog = page.get_by_role("dialog", name="Publish")
        dialog.get_by_label("Topic", exact=True).fill("shop/1")
        dialog.get_by_label("Payload").fill("héllo")
        dialog.get_by_label("Retain").check()
        watched.accessible()
        dialog.get_by_role("button", name="Publish", exact=True).click()
        assert client.receive().payload.decode() == "héllo"
        wait_until(lambda: len(retained(at, "shop/1")) == 1)
        viewer = at.logged_in("viewer", "topics?topic=shop/1").page
        viewer.locator(".payload pre").filter(has_text="héllo").wait_for()
        assert viewer.get_by_role("button", name="Delete").count() == 0
        assert viewer.get_by_role("button", name="Publish").count() == 0
