"""The page "Who gets it": the answer of `GET /explain/`, the publisher's verdict, nearby filters, publishing."""

from __future__ import annotations

import pytest

from tests.dashboard.browser import Browsing, needs_browser
from tests.dashboard.subscribers import HOSTILE, subscriber

pytestmark = needs_browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_recipients_are_those_of_the_api(at: Browsing, scheme: str):
    with (subscriber(at, HOSTILE, "-t", "plant/+/cmd", "-q", "1", "-C", "1") as first,
          subscriber(at, "member", "-t", "$share/g/plant/#")):
        watched = at.logged_in("operator", "explain?topic=plant/1/cmd&client_id=member&qos=1", color_scheme=scheme)
        page = watched.page
        table = page.get_by_role("region", name="Who gets it")
        asked = {"topic": "plant/1/cmd", "client_id": "member", "qos": 1}
        found = at.broker.api("GET", "explain/", params=asked).json()
        page.get_by_text("Reaches 2 subscriptions").wait_for()
        for row in found["recipients"]:
            shown = table.get_by_role("row").filter(has=page.get_by_role("link", name=row["client_id"])).inner_text()
            assert {"delivered": "delivered", "candidate": "one of a group"}[row["outcome"]] in shown
            assert row["by"] in shown
        page.get_by_text("may publish:").wait_for()
        watched.accessible()
        page.get_by_role("button", name="Publish it…").click()
        page.get_by_label("Payload").fill("from the page")
        watched.accessible()
        page.get_by_role("button", name="Publish", exact=True).click()
        page.get_by_text("Published.").wait_for()
        assert first.communicate(timeout=10)[0] == "from the page\n"


def test_a_topic_without_subscribers_says_what_is_near(at: Browsing):
    with subscriber(at, "near", "-t", "plant/2/cmds"):
        watched = at.logged_in("viewer", "explain")
        page = watched.page
        page.get_by_label("Topic", exact=True).fill("plant/2/cmd")
        page.keyboard.press("Enter")
        page.get_by_text("It reaches nobody: no subscription matches.").wait_for()
        assert page.get_by_role("button", name="Publish it…").count() == 0
        page.get_by_role("button", name="Show filters nearby").click()
        page.get_by_role("link", name="plant/2/cmds").wait_for()
        watched.accessible()
        watched.allowed.add(422)
        page.get_by_label("Topic", exact=True).fill("plant/#")
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="must be a valid topic name").wait_for()
