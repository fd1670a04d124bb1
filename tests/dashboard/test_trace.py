"""The pages that show what happens as it comes: trace and events, with pause, words, and saving as JSON lines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.dashboard.browser import Browsing, Watched, needs_browser
from tests.dashboard.subscribers import HOSTILE, subscriber

pytestmark = needs_browser


def publish(at: Browsing, topic: str, payload: str, client_id: str = "sender") -> None:
    subprocess.run(["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-i", client_id, "-t", topic, "-m", payload,
                    "-q", "1"], check=True, capture_output=True)


def saved(watched: Watched, tmp_path: Path) -> list[dict]:
    with watched.page.expect_download() as download:
        watched.page.get_by_role("button", name="Save as JSON lines").click()
    download.value.save_as(tmp_path / "saved")
    return [json.loads(line) for line in (tmp_path / "saved").read_text().splitlines()]


def test_a_trace_shows_each_step_of_a_message(at: Browsing, tmp_path: Path):
    watched = at.logged_in("operator", "trace")
    page = watched.page
    page.get_by_role("textbox", name="Topic").fill("plant/#")
    with subscriber(at, HOSTILE, "-t", "plant/+/state", "-q", "1"):
        page.get_by_role("button", name="Start").click()
        page.get_by_text("No message yet.").wait_for()
        publish(at, "plant/1/state", '{"id": 1152921504606846976}')
        rows = page.get_by_role("region", name="Steps of messages").get_by_role("row")
        rows.filter(has_text="acknowledged").filter(has=page.get_by_role("link", name=HOSTILE)).wait_for()
        rows.filter(has_text="published").wait_for()
        watched.accessible()
        page.get_by_role("button", name="Pause", exact=True).click()
        publish(at, "plant/2/other", "nobody gets this")
        page.get_by_text("have come since").or_(page.get_by_text("has come since")).wait_for()
        assert rows.filter(has_text="plant/2/other").count() == 0
        page.get_by_role("button", name="Go on").click()
        rows.filter(has_text="dropped").filter(has_text="plant/2/other").wait_for()
        page.get_by_role("searchbox", name="Words").fill("ACKNOWLEDGED plant")
        rows.filter(has_text="dropped").wait_for(state="detached")
        assert [row["event"] for row in saved(watched, tmp_path)] == ["acknowledged"]
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()


def test_a_refused_trace_has_the_servers_sentence(at: Browsing):
    watched = at.logged_in("viewer", "trace?topic=a/%23/b", color_scheme="dark")
    watched.allowed.add(422)
    page = watched.page
    assert page.get_by_label("with payloads").count() == 0
    page.get_by_role("button", name="Start").click()
    page.get_by_text("must be a valid topic or topic filter").wait_for()
    watched.accessible()


def test_events_are_shown_as_they_happen(at: Browsing, tmp_path: Path):
    watched = at.logged_in("viewer", "events?without=disconnected", color_scheme="dark")
    page = watched.page
    page.get_by_text("● live").wait_for()
    page.get_by_text("Nothing has happened since").wait_for()
    with subscriber(at, HOSTILE, "-t", "plant/1", "-q", "1"):
        rows = page.get_by_role("region", name="Events").get_by_role("row")
        rows.filter(has_text="subscribed").filter(has_text="plant/1").filter(
            has=page.get_by_role("link", name=HOSTILE)).wait_for()
        rows.filter(has_text="MQTT 3.1.1").wait_for()
        watched.accessible()
    publish(at, "a", "b", "second")
    rows.filter(has=page.get_by_role("link", name="second")).wait_for()
    assert [(row["event"], row["client_id"]) for row in saved(watched, tmp_path)] == [
        ("connected", HOSTILE), ("subscribed", HOSTILE), ("connected", "second")]
