"""Pages of big tables, walked without holding up the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from msgspec import Struct

from emqx_mgmt.broker.loop.rounds import yield_to_loop

Source = TypeVar("Source")
Item = TypeVar("Item")

# What a row must pass to be listed.
Test = Callable[[Any], bool]

# Rows built between two rounds of the loop: about half a millisecond of work.
CHUNK = 200
# Of what is only looked at, as many cost that.
GLANCES = 5000


class Paging(Struct, frozen=True):
    """Which rows are asked for: of those that pass `where`, a page; it counts from 1, anything below is the first."""

    page: int
    limit: int
    where: tuple[Test, ...] = ()

    @property
    def first(self) -> int:
        """How many rows come before the page. A page beyond every table stays countable: islice, SQLite and C take no
        more than 63 bits, of the sum with `limit` too."""
        return min((max(self.page, 1) - 1) * self.limit, sys.maxsize - self.limit)


class Page(Struct):
    items: list[Any]
    paging: Paging
    count: int


def in_turns(items: Iterable[Item], size: int = CHUNK) -> Iterator[Item]:
    """The same items, giving the loop a round after each chunk of that size."""
    walk = iter(items)
    while chunk := list(islice(walk, size)):
        yield from chunk
        if len(chunk) == size:
            yield_to_loop()


def page_of(table: Sequence[Source], paging: Paging, row: Callable[[Source], Item | None]) -> Page:
    """The rows of one page; a row that is gone since `table` was taken (None) is left out."""
    if paging.where:
        return filtered((row(source) for source in in_turns(table)), paging)
    wanted = table[paging.first : paging.first + paging.limit]
    items: list[Item] = []
    for start in range(0, len(wanted), CHUNK):
        if start:
            yield_to_loop()
        items += [item for item in map(row, wanted[start : start + CHUNK]) if item is not None]
    return Page(items, paging, len(table))


def filtered(rows: Iterable[Any | None], paging: Paging) -> Page:
    """The page among those rows that pass the filters, and how many do."""
    passed = [row for row in rows if row is not None and all(test(row) for test in paging.where)]
    return Page(passed[paging.first : paging.first + paging.limit], paging, len(passed))
