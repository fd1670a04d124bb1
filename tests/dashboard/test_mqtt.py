"""The MQTT client of the dashboard, seen from another client."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.broker_process import free_ports
from tests.dashboard.browser import Browsing, browsing, needs_browser
from tests.dashboard.subscribers import subscriber

pytestmark = needs_browser


@pytest.fixture(scope="module")
def shared_browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    """With a WebSocket listener, which the brokers of other tests have not."""
    listener = {"EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{free_ports(1)[0]}"}
    with browsing(tmp_path_factory.mktemp("browsing"), listener) as made:
        yield made


def test_messages_go_both_ways(at: Browsing):
    """MQTT 5 over WebSocket; another client gets what is published, and the page its own subscription."""
    watched = at.logged_in("viewer", "mqtt")
    watched.problems = Allowing()
    page = watched.page
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_text("● connected").wait_for()
    with subscriber(at, "beside", "-t", "plant/#", "-C", "1") as beside:
        page.get_by_role("textbox", name="Topic filter").fill("plant/+")
        page.get_by_role("button", name="Subscribe", exact=True).click()
        page.get_by_role("button", name="Unsubscribe plant/+").wait_for()
        page.get_by_role("textbox", name="Topic", exact=True).fill("plant/<b>")
        page.get_by_role("textbox", name="Payload").fill('{"on": true}')
        page.get_by_role("button", name="Publish", exact=True).click()
        rows = page.get_by_role("region", name="Messages").get_by_role("row")
        rows.filter(has_text="received").filter(has_text="plant/<b>").wait_for()
        assert beside.communicate(timeout=10)[0] == '{"on": true}\n'
    watched.accessible()
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_text("not connected").wait_for()


class Allowing(list[str]):
    """The WebSocket of the page is another port of the same host."""

    def append(self, problem: str) -> None:
        if not re.match(r"another host: ws://127\.0\.0\.1:", problem):
            super().append(problem)
