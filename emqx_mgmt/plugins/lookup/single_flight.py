"""Equal questions that are under way at the same time share one answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from gevent.event import AsyncResult

Result = TypeVar("Result")


class LookupAbandoned(Exception):
    """Another client asked the same, and its question was cut off before the answer came."""


class SingleFlight:
    def __init__(self) -> None:
        self._under_way: dict[Hashable, AsyncResult] = {}

    def run(self, key: Hashable, ask: Callable[[], Result]) -> Result:
        """`ask()`, or the answer of an `ask` of the same key that is under way; what it raises is raised in all."""
        pending = self._under_way.get(key)
        if pending is not None:
            shared: Any = pending.get()
            return shared
        self._under_way[key] = pending = AsyncResult()
        try:
            result = ask()
        except Exception as error:
            pending.set_exception(error)
            raise
        except BaseException:  # a deadline or the end of this client's greenlet, neither of which is the others'
            pending.set_exception(LookupAbandoned("the question was cut off"))
            raise
        finally:
            del self._under_way[key]
        pending.set(result)
        return result
