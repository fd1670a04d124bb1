"""One client: facts, subscriptions, queue, a trace, and why it does not get a topic."""

from __future__ import annotations

from contextlib import closing

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.dashboard.browser import Browsing, needs_browser

pytestmark = needs_browser
HOSTILE = '<b>"x"</b>/../%2F?&#'


def test_a_client_is_shown_subscribed_traced_and_disconnected(at: Browsing):
    """The facts are the API's; what an operator subscribes for it, it gets; the trace has the steps of a message."""
    with Client(at.broker.mqtt_port, HOSTILE, "site0", will="last/will") as client:
        client.subscribe("plant/+", 1)
        watched = at.logged_in("operator", "clients")
        page = watched.page
        page.get_by_role("link", name=HOSTILE).click()
        page.get_by_role("heading", name=HOSTILE).wait_for()
        page.get_by_text("● connected for").wait_for()
        facts = page.locator("dl.facts").all_inner_texts()
        row = at.broker.api("GET", "connections/", params={"client_id": HOSTILE}).json()["items"][0]
        for text in (f"{row['ipaddress']}:{row['port']}", "site0", "last/will", "MQTT 4", "60 s"):
            assert text in facts[0]
        watched.accessible()
        page.emulate_media(color_scheme="dark")
        watched.accessible()

        page.get_by_role("link", name="Subscriptions 1").click()
        page.get_by_role("textbox", name="Topic filter").fill("other/#")
        page.get_by_role("button", name="Subscribe it").click()
        page.get_by_role("row").filter(has_text="other/#").wait_for()
        client.publish("other/1", b"seen")
        assert client.receive().payload == b"seen"
        watched.accessible()

        page.get_by_role("link", name="Trace").last.click()
        page.get_by_role("button", name="Start", exact=True).click()
        wait_until(lambda: len(at.broker.api("GET", "traces/").json()) == 1)
        client.publish("plant/1", b"x", 1)
        for step in ("published", "delivered", "acknowledged"):
            page.get_by_role("row").filter(has_text=step).filter(has_text="plant/1").first.wait_for()
        page.get_by_role("button", name="Payload, 1 B").first.click()
        page.get_by_role("dialog").locator("pre").filter(has_text="x").wait_for()
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        watched.accessible()
        page.get_by_role("button", name="Stop").click()
        wait_until(lambda: not at.broker.api("GET", "traces/").json())

        page.get_by_role("button", name="Disconnect…").click()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect", exact=True).click()
        wait_until(lambda: not client.paho.is_connected())
        page.get_by_text("No client of this id is connected, and none has a session.").wait_for()


def test_why_an_absent_client_does_not_get_a_topic(at: Browsing):
    """Its queue, its bans, and the outcome of a message to a topic, by a link that holds the question."""
    with closing(Client(at.broker.mqtt_port, "away-1", clean=False)) as away:
        away.subscribe("plant/#", 1)
    with Client(at.broker.mqtt_port, "sender") as sender:
        for number in range(3):
            sender.publish(f"plant/{number}", b"x" * number, 1)
    at.broker.api("POST", "banned", json={"who": "away-1", "as": "client_id", "reason": "noise"})
    watched = at.logged_in("viewer", "client?id=away-1&tab=why&topic=plant/7")
    page = watched.page
    page.get_by_text("It is not connected; its session waits for it.").wait_for()
    page.get_by_role("listitem").filter(has_text="Banned by client id:").filter(has_text="noise").wait_for()
    page.get_by_text("would be queued, with QoS 1").wait_for()
    assert page.get_by_role("button", name="Ban…").count() == 0
    watched.accessible()
    page.get_by_role("textbox", name="Topic").fill("factory/7")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("None of its subscriptions matches this topic.").wait_for()
    assert "topic=factory" in page.url
    page.get_by_role("link", name="Queue 3").click()
    page.get_by_role("row").filter(has_text="plant/2").get_by_text("2 B").wait_for()
    watched.accessible()
    watched.go("client?id=away")
    page.get_by_text("1 id contains it:").wait_for()
    page.get_by_role("link", name="away-1").wait_for()


def test_two_clients_are_compared(at: Browsing):
    """What differs is marked; the link holds both."""
    with Client(at.broker.mqtt_port, "one", keepalive=60), Client(at.broker.mqtt_port, "two", keepalive=90):
        watched = at.logged_in("operator", "clients")
        page = watched.page
        for name in ("one", "two"):
            page.get_by_role("checkbox", name=f"Select {name}").check()
        page.get_by_role("link", name="Compare").click()
        table = page.get_by_role("region", name="Compare")
        row = table.get_by_role("row").filter(has_text="Keep-alive")
        row.filter(has_text="60 s").filter(has_text="90 s").filter(has_text="(differs)").wait_for()
        assert table.get_by_role("row").filter(has_text="Protocol").filter(has_text="(differs)").count() == 0
        assert page.url.endswith("id=one&with=two")
        watched.accessible()
        page.get_by_role("textbox", name="Compare with client id").fill("nobody")
        page.get_by_role("button", name="Compare").click()
        page.get_by_text("No client of the other id is connected").wait_for()
