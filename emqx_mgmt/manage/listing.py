"""Pages of big tables, read without blocking the event loop."""

from __future__ import annotations

import sys
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from msgspec import Struct

from emqx_mgmt.broker.loop.rounds import yield_to_loop

Source = TypeVar("Source")
Item = TypeVar("Item")

# A condition that listed rows fulfil.
Test = Callable[[Any], bool]

# Rows built between two rounds of the loop: about half a millisecond of work.
TURN_ROWS = 200
# Items examined without building rows, in the same time.
GLANCES = 5000


class Sort(Struct, frozen=True):
    """By the member `field` of the rows; rows that are equal stay in the order of the table."""

    field: str
    descending: bool


class Paging(Struct, frozen=True):
    """The rows that a request asks for: a page of those that pass `where`. Pages count from 1; lower numbers mean the
    first.

    `client_id`: the only one whose rows pass, where that is asked for. `counted`: the answer says how many rows pass,
    else only whether there are more behind the page.
    """

    page: int
    limit: int
    where: tuple[Test, ...] = ()
    sort: Sort | None = None
    counted: bool = True
    client_id: str | None = None

    @property
    def selects(self) -> bool:
        """Whether the rows of the page are found by examining rows, not by their positions."""
        return bool(self.where) or self.sort is not None

    @property
    def first(self) -> int:
        """The number of rows before the page. It is bounded, because islice, SQLite and C take at most 63 bits, also
        for the sum with `limit`."""
        return min((max(self.page, 1) - 1) * self.limit, sys.maxsize - self.limit)


class Page(Struct):
    """`count`: how many rows pass; of a search that ended early, how many did until then."""

    items: list[Any]
    paging: Paging
    count: int

    @property
    def has_next(self) -> bool:
        """Whether rows follow behind this page."""
        return self.paging.first + self.paging.limit < self.count


def in_turns(items: Iterable[Item], size: int = TURN_ROWS) -> Iterator[Item]:
    """Yields the same items, and yields to the event loop after each chunk."""
    walk = iter(items)
    while chunk := list(islice(walk, size)):
        yield from chunk
        if len(chunk) == size:
            yield_to_loop()


def page_of(table: Sequence[Source], paging: Paging, row: Callable[[Source], Item | None]) -> Page:
    """The rows of one page; rows that have disappeared since `table` was taken (None) are left out."""
    if paging.selects:
        return filtered((row(source) for source in in_turns(table)), paging)
    wanted = table[paging.first : paging.first + paging.limit]
    items: list[Item] = []
    for start in range(0, len(wanted), TURN_ROWS):
        if start:
            yield_to_loop()
        items += [item for item in map(row, wanted[start : start + TURN_ROWS]) if item is not None]
    return Page(items, paging, len(table))


def filtered(rows: Iterable[Any | None], paging: Paging) -> Page:
    """The page of the rows that pass the filters, and the number of these rows."""
    passing = (row for row in rows if row is not None and all(test(row) for test in paging.where))
    first, end = paging.first, paging.first + paging.limit
    if paging.sort is not None:
        return ordered(passing, paging, paging.sort)
    passed = list(passing if paging.counted else islice(passing, end + 1))
    return Page(passed[first:end], paging, len(passed))


def ordered(rows: Iterable[Any], paging: Paging, by: Sort) -> Page:
    """Keeps only the rows up to the end of the page, sorted at any time, because sorting all of them at the end would
    block the loop."""
    first, end = paging.first, paging.first + paging.limit
    kept: list[tuple[Any, int, Any]] = []
    count = 0
    for count, row in enumerate(rows, 1):
        key, place = _rank(getattr(row, by.field)), -count if by.descending else count
        if len(kept) < end:
            insort(kept, (key, place, row))
        elif by.descending and key > kept[0][0]:
            del kept[0]
            insort(kept, (key, place, row))
        elif not by.descending and key < kept[-1][0]:
            del kept[-1]
            insort(kept, (key, place, row))
    if by.descending:
        kept.reverse()
    return Page([row for _, _, row in kept[first:end]], paging, count)


def _rank(value: Any) -> tuple[bool, Any]:
    """A sort key that puts numbers before texts, such as `undefined`."""
    return isinstance(value, str), value
