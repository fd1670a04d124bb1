"""One level of the trie, walked some names at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_ext.message.message import Message
from router_ext.message.retained_store import RetainedStore
from router_ext.routing.router import Router, Subscriber

LEVELS = st.sampled_from(["", "a", "b", "ab", "a longer name than fits into a node of the trie", "+"])
FILTERS = st.lists(st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool), max_size=12)


def names(table: Router | RetainedStore, path: str | None) -> list[str]:
    level, found = table.level(None if path is None else path.encode()), []
    while not level.done:
        found += level.take(1)
    return sorted(name.decode() for name in found)


def below(filters: list[str], path: str | None) -> list[str]:
    """The same, of a list."""
    depth = 0 if path is None else path.count("/") + 1
    split = [one.split("/") for one in filters]
    begin = [] if path is None else path.split("/")
    return sorted({one[depth] for one in split if len(one) > depth and one[:depth] == begin})


@given(FILTERS, FILTERS)
def test_the_names_below_each_path(filters: list[str], removed: list[str]) -> None:
    router, subscriber = Router(), Subscriber()
    for one in filters + removed:
        router.subscribe(one.encode(), subscriber, 0)
    for one in removed:
        router.unsubscribe(one.encode(), subscriber)
    left = [one for one in filters if one not in removed]
    paths = {"/".join(one.split("/")[:depth]) for one in filters for depth in range(1, 5)}
    for path in (None, *paths, "a/x", "b longer", "a longer name"):
        assert names(router, path) == below(left, path)
        if path is not None:
            assert router.children(path.encode(), 100) == len(below(left, path))
            assert router.children(path.encode(), 1) == min(1, len(below(left, path)))


def test_what_changes_while_it_is_walked() -> None:
    """What stays is seen."""
    store = RetainedStore()
    for number in range(100):
        store.add(Message.create(f"x/{number}", b"."))
    level, found = store.level(b"x"), set()
    for number in range(0, 100, 2):
        found.update(level.take(3))
        store.delete(f"x/{number}".encode())
        store.add(Message.create(f"x/new{number}", b"."))
    while not level.done:
        found.update(level.take(3))
    assert {f"{number}".encode() for number in range(1, 100, 2)} <= found
    level = store.level(b"x")
    level.take(3)
    store.clear()
    assert level.take(3) == []
    assert level.done


def test_subscriptions_to_a_filter() -> None:
    router, subscribers = Router(), [Subscriber() for _ in range(4)]
    for subscriber in subscribers:
        router.subscribe(b"a/+", subscriber, 0)
    router.subscribe(b"a/+", subscribers[0], 0, group=b"g")
    router.subscribe(b"a/+", subscribers[1], 0, group=b"h")
    router.subscribe(b"a/b/c", subscribers[1], 0)
    assert [router.subscriptions_to(one) for one in (b"a/+", b"a", b"a/b", b"a/b/c", b"")] == [6, 0, 0, 1, 0]


def test_it_is_made_by_its_table() -> None:
    with pytest.raises(TypeError):
        type(Router().level(None))()
