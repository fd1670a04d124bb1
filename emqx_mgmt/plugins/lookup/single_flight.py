"""Equal questions that are asked at the same time share one answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from gevent.event import AsyncResult

Result = TypeVar("Result")


class LookupAbandoned(Exception):
    """Another client had asked the same question, and was cut off before the answer came."""


class SingleFlight:
    def __init__(self) -> None:
        self._under_way: dict[Hashable, AsyncResult] = {}

    def run(self, key: Hashable, ask: Callable[[], Result]) -> Result:
        """The result of `ask()`, or of an `ask` with the same key that is running already. An exception is raised for
        all that wait."""
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
        except BaseException:  # a deadline, or the end of this client's greenlet: neither concerns the other clients
            pending.set_exception(LookupAbandoned("the question was cut off"))
            raise
        finally:
            del self._under_way[key]
        pending.set(result)
        return result
