"""Every place of the dashboard as a view with something in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.broker_process import CHECKOUT
from tests.dashboard.browser import ROLES, Watched
from tests.dashboard.plant import AWAY, HOSTILE, ORDERS, STATE

_PLACE = re.compile(r'\{ name: "([\w-]+)", .*\}')
_MEMBERS = re.compile(r'(\w+): "([\w-]+)"')


@dataclass(frozen=True)
class View:
    """An address below `#/`, and the role that it needs."""

    name: str
    address: str
    role: str = "viewer"

    def open(self, watched: Watched) -> None:
        watched.go(self.address)
        settled(watched)

    def is_for(self, role: str) -> bool:
        return ROLES.index(role) >= ROLES.index(self.role)


def settled(watched: Watched) -> None:
    """The page's own heading is there, and nothing is waited for any more."""
    page = watched.page
    page.locator("main h1").wait_for()
    page.locator("main .skeleton").first.wait_for(state="detached")


def places() -> dict[str, dict[str, str]]:
    """The rows of src/places.ts that have a page of their own, by name."""
    rows = [dict(_MEMBERS.findall(row[0])) for row in
            _PLACE.finditer((CHECKOUT / "dashboard/src/places.ts").read_text())]
    return {row["name"]: row for row in rows if "link" not in row}


def _query(**members: str) -> str:
    return "?" + urlencode(members)


# What a place needs to show something; places that are not here need nothing.
QUERIES = {
    "client": _query(id="gateway-03"), "plugin": _query(name="emqx_retainer"), "topics": _query(topic=STATE),
    "explain": _query(topic=ORDERS, client_id="gateway-00", qos="1"), "trace": _query(topic="plant/#"),
}
FURTHER = [
    *(View(f"client-{tab}", "client" + _query(id=AWAY, tab=tab))
      for tab in ("facts", "subscriptions", "queue", "trace", "why")),
    View("client-hostile", "client" + _query(id=HOSTILE)),
    View("topics-hostile", "topics" + _query(topic=f"strange/{HOSTILE}/value")),
    View("clients-nothing-found", "clients" + _query(_like_client_id="nobody")),
    View("alarms-history", "alarms" + _query(shown="history")),
]
VIEWS = [*(View(name, name + QUERIES.get(name, ""), row.get("role", "viewer")) for name, row in places().items()),
         *FURTHER]
