"""Bans, topic metrics, slow subscribers and alarms: what the API says, and actions seen from outside."""

from __future__ import annotations

import socket
import subprocess

from tests.broker_process import wait_until
from tests.dashboard.browser import Browsing, needs_browser
from tests.dashboard.subscribers import HOSTILE

pytestmark = needs_browser


def connects(at: Browsing, client_id: str) -> bool:
    return subprocess.run(["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-i", client_id, "-t", "a", "-m", "b"],
                          check=False, capture_output=True).returncode == 0


def test_a_ban_is_added_ended_and_undone(at: Browsing):
    watched = at.logged_in("operator", "bans")
    page = watched.page
    page.get_by_text("Nobody is banned.").wait_for()
    page.get_by_role("button", name="Ban…").click()
    dialog = page.get_by_role("dialog", name="Ban clients")
    dialog.get_by_label("Who").fill(HOSTILE)
    dialog.get_by_label("Reason").fill("too loud")
    watched.accessible()
    dialog.get_by_role("button", name="Ban", exact=True).click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=HOSTILE))
    row.filter(has_text="too loud").wait_for()
    watched.accessible()
    assert not connects(at, HOSTILE)
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="End", exact=True).click()
    page.get_by_role("button", name="Undo").wait_for()
    assert connects(at, HOSTILE)
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: not connects(at, HOSTILE))


def test_topics_are_counted(at: Browsing):
    watched = at.logged_in("operator", "topic-metrics", color_scheme="dark")
    page = watched.page
    page.get_by_label("Topic or topic filter to count").fill("plant/+/<i>")
    page.get_by_role("button", name="Count it").click()
    row = page.get_by_role("row").filter(has_text="plant/+/<i>")
    row.wait_for()
    subprocess.run(["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-t", "plant/1/<i>", "-m", "12345"], check=True)
    page.locator("h1").click()
    page.keyboard.press("r")
    row.filter(has_text="5 B").wait_for()
    watched.accessible()
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Count no more").click()
    page.get_by_role("dialog").get_by_role("button", name="Count no more").click()
    page.get_by_text("No topic is counted.").wait_for()
    assert at.broker.api("GET", "topic_metrics/").json()["items"] == []


def test_a_slow_subscriber_is_kicked(at: Browsing):
    """QoS 1 messages that nobody acknowledges: a bare socket subscribes and then says nothing."""
    with socket.create_connection(("127.0.0.1", at.broker.mqtt_port)) as client:
        client.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04slow" + b"\x82\x09\x00\x01\x00\x04lazy\x01")
        client.recv(4)
        wait_until(lambda: at.broker.api("GET", "subscriptions/", params={"client_id": "slow"}).json()["items"])
        subprocess.run(["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-t", "lazy", "-m", "x", "-q", "1"],
                       check=True)
        wait_until(lambda: at.broker.api("GET", "slow_subscribers/").json()["items"])
        watched = at.logged_in("operator", "slow")
        page = watched.page
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="slow", exact=True))
        row.filter(has_text="acknowledgement").filter(has_text="lazy").wait_for()
        watched.accessible()
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Disconnect…").click()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect", exact=True).click()
        client.settimeout(10)
        while client.recv(4096):
            pass


def test_a_viewer_sees_alarms_and_is_offered_no_action(at: Browsing):
    watched = at.logged_in("viewer", "alarms?id=disk_high_watermark", color_scheme="dark")
    page = watched.page
    page.get_by_text("Make room before nothing more can be stored.").wait_for()
    present = [alarm["id"] for node in at.broker.api("GET", "alarms/present").json() for alarm in node["alarms"]]
    for alarm in present:
        page.get_by_role("region", name="Alarms").get_by_role("button", name=alarm).wait_for()
    if not present:
        page.get_by_text("No alarm stands.").wait_for()
    watched.accessible()
    page.get_by_role("button", name="History").click()
    page.get_by_text("No alarm was ever cleared.").or_(page.get_by_role("columnheader", name="Lasted")).wait_for()
    watched.go("bans")
    page.get_by_role("heading", name="Bans", level=1).wait_for()
    assert page.get_by_role("button", name="Ban…").count() == 0
