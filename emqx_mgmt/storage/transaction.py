"""Work on the record store: the function that runs it, and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Run(Protocol):
    """The type of `Store.run`."""

    def __call__(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls `work(connection, ...)` on the store's thread. Raises what it raises, and StoreUnusable."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """COMMIT at the end, ROLLBACK on an exception. COMMIT may raise as well."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise
