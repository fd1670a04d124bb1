"""Several nodes: the choice of one, rows of all, actions at the node of the row, and a node that does not answer. The
second node is a server that gives the shapes of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import expect

from tests.clients.paho import Client
from tests.dashboard.browser import Browsing, Watched, needs_browser
from tests.dashboard.two_nodes import CLIENT, OTHER, TwoNodes, two_nodes

pytestmark = needs_browser


@contextmanager
def cluster(at: Browsing, place: str) -> Iterator[tuple[TwoNodes, Watched, str]]:
    """An operator at a place; the broker's own node has the client `near-1`."""
    node = at.broker.api("GET", "nodes/").json()[0]["name"]
    with two_nodes(at.broker.dash_port, node) as nodes, Client(at.broker.mqtt_port, "near-1") as client:
        client.subscribe("near/#", 1)
        watched = at.fresh()
        watched.base = f"http://127.0.0.1:{nodes.server_address[1]}"
        yield nodes, watched.log_in("operator", place=place), node
        watched.page.close()


def test_rows_of_all_nodes_and_of_the_chosen_one(at: Browsing):
    """The choice stands in the address and goes along from place to place."""
    with cluster(at, "clients") as (_, watched, node):
        page = watched.page
        near, far = (page.get_by_role("link", name=name, exact=True) for name in ("near-1", CLIENT))
        near.wait_for()
        far.wait_for()
        page.get_by_role("row").filter(has=far).filter(has_text=OTHER).wait_for()
        page.get_by_text("clocks are").wait_for()
        choice = page.get_by_role("combobox", name="Node", exact=True)
        choice.select_option(OTHER)
        near.wait_for(state="detached")
        assert "node=other" in page.url
        watched.accessible()
        far.click()
        page.get_by_text("● connected for").wait_for()
        page.get_by_text("10.0.0.2:1").first.wait_for()
        choice.select_option(node)
        page.get_by_text(f"Only {node} was asked.").wait_for()
        page.get_by_role("button", name="Ask all nodes").click()
        page.get_by_text("● connected for").wait_for()
        for place, there in (("subscriptions", "far/#"), ("slow", "900 ms"), ("alarms", "of the other"),
                             ("sessions", "far-away")):
            watched.go(f"{place}?node={OTHER}")
            page.get_by_role("row").filter(has_text=there).wait_for()
            expect(page.get_by_role("row").filter(has_text="near")).to_have_count(0)
        watched.go(f"alarms?node={OTHER}")
        page.get_by_role("button", name="cpu_high_watermark").click()
        page.get_by_role("figure", name="Messages per second: in 7, out 7, dropped 7").wait_for()
        watched.accessible()
        watched.go("overview")
        page.get_by_role("link", name="1,001").first.wait_for()
        expect(page.get_by_role("region", name="Nodes").get_by_role("row")).to_have_count(3)


def test_an_action_goes_to_the_node_of_the_row(at: Browsing):
    with cluster(at, "sessions") as (nodes, watched, _):
        page = watched.page
        page.get_by_role("row").filter(has_text="far-away").get_by_role("link", name="3/1,000").click()
        page.get_by_role("row").filter(has_text="far/1").get_by_text("7 B").wait_for()
        page.get_by_role("button", name="Forget the session…").click()
        page.get_by_role("dialog").get_by_role("button", name="Forget", exact=True).click()
        page.get_by_text("1 session is deleted.").wait_for()
        assert nodes.done == [("DELETE", "sessions/persistent/far-away")]


def test_a_node_that_does_not_answer_is_named(at: Browsing):
    """What the others say is shown; where only that node is asked, a sentence says why there is nothing."""
    with cluster(at, "overview") as (nodes, watched, _):
        watched.allowed.add(500)
        nodes.answers = False
        page = watched.page
        watched.go("alarms")
        page.get_by_text(f"{OTHER} did not answer").wait_for()
        watched.go("clients")
        page.get_by_role("link", name="near-1", exact=True).wait_for()
        page.get_by_text(f"{OTHER} did not answer").wait_for()
        watched.accessible()
        for place in ("nodes", "plugins", "overview"):
            watched.go(place)
            page.get_by_role("row").nth(1).wait_for()
            page.get_by_text(f"{OTHER} did not answer").wait_for()
        page.get_by_role("combobox", name="Node", exact=True).select_option(OTHER)
        watched.go(f"clients?node={OTHER}")
        page.get_by_text("This node does not answer.").wait_for()
        watched.accessible()
