"""The tree of topics that have a retained message or a subscription, a level at a time."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.manage.listing import Page, Paging, in_turns

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from router_ext.message.message import Message
    from router_ext.message.retained_store import RetainedStore
    from router_ext.routing.router import Router

RETAINED, ROUTES = "retained", "routes"
# Names of a level looked at between two rounds of the loop, and the most children of a row that are counted.
LOOKS, COUNTED = 2000, 1000
ROWS = 10   # made between two rounds
SHOWN = 80   # characters of a payload


class Branch(Struct, gc=False):
    """`topic`: the whole path. `children`: how many names there are below it, `1000+` for more than 1,000. Where it has
    a message: its size in bytes, when it came in unix seconds, and the beginning of the payload if that is text."""

    level: str
    topic: str
    has_message: bool
    subscriptions: int
    children: int | str
    payload_size: int | UnsetType = UNSET
    published_at_ts: int | UnsetType = UNSET
    beginning: str | UnsetType = UNSET


class TopicTree:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def branches(self, under: str | None, of: frozenset[str], after: str | None, limit: int) -> Page:
        """At most `limit` names below `under` (None: the first level), behind `after`, in the order of their bytes. The
        whole level is looked at, and nothing below it."""
        tables = [table for word, table in ((RETAINED, self._broker.engine.retained), (ROUTES, self._broker.router))
                  if word in of and table is not None]
        path = None if under is None else under.encode()
        names = self._names(tables, path, None if after is None else after.encode(), limit + 1)
        above = "" if under is None else f"{under}/"
        rows = [self._branch(name, above + name, tables)
                for name in in_turns([name.decode() for name in names[:limit]], ROWS)]
        return Page(rows, Paging(1, limit, counted=False), len(names))

    def _names(self, tables: list[Router | RetainedStore], path: bytes | None, after: bytes | None,
               most: int) -> list[bytes]:
        kept: list[bytes] = []
        for table in tables:
            level = table.level(path)
            while not level.done:
                for name in level.take(LOOKS):
                    if (after is not None and name <= after) or (len(kept) == most and name >= kept[-1]):
                        continue
                    place = bisect_left(kept, name)
                    if place == len(kept) or kept[place] != name:
                        kept.insert(place, name)
                        del kept[most:]
                if not level.done:
                    yield_to_loop()
        return kept

    def _branch(self, level: str, topic: str, tables: list[Router | RetainedStore]) -> Branch:
        path, retained = topic.encode(), self._broker.engine.retained
        message = None if retained not in tables or retained is None else retained.get(path)
        counts = [table.children(path, COUNTED + 1) for table in tables]
        return Branch(
            level, topic,
            message is not None,
            self._broker.router.subscriptions_to(path) if self._broker.router in tables else 0,
            self._children(path, tables, counts), *(() if message is None else about(message)))

    def _children(self, path: bytes, tables: list[Router | RetainedStore], counts: list[int]) -> int | str:
        """Of all tables together, each name once."""
        if max(counts) > COUNTED:
            return f"{COUNTED}+"
        together = max(counts) if min(counts) == 0 or len(counts) == 1 else len(
            self._names(tables, path, None, COUNTED + 1))
        return together if together <= COUNTED else f"{COUNTED}+"


def about(message: Message) -> tuple[int, int, str | UnsetType]:
    """Size, unix seconds, and the beginning."""
    payload = message.payload
    age = max(time.monotonic() - message.arrived / 1000, 0)
    return len(payload), int(time.time() - age), beginning(payload)


def beginning(payload: bytes) -> str | UnsetType:
    """UNSET where it is no UTF-8, or has control characters that are no white space."""
    start = payload[:4 * SHOWN]
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or len(start) == len(payload):
            return UNSET
        text = start[:error.start].decode()
    return UNSET if any(ord(one) < 0x20 and one not in "\t\n\r" for one in text) else text[:SHOWN]
