"""A cache of earlier answers, bounded in time and in number."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# A key of this process: without it, nothing can be learned from the digest of a password.
_PROCESS_KEY = secrets.token_bytes(32)


def keyed_digest(*parts: bytes) -> bytes:
    """HMAC-SHA-256 of the parts under a key of this process. The lengths are part of it, so different divisions of the
    same bytes differ."""
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(_PROCESS_KEY, text, "sha256")


class ExpiringMap(Generic[Key, Value]):
    """At most `most` values; the oldest make room. Each value has its own lifetime in seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[Key, tuple[float, Value]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        found = self._values.get(key)
        if found is None:
            return None
        until, value = found
        if time.monotonic() < until:
            return value
        del self._values[key]
        return None

    def put(self, key: Key, value: Value, seconds: float) -> None:
        self._values.pop(key, None)
        if len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        self._values[key] = (time.monotonic() + seconds, value)

    def drop(self, key: Key) -> None:
        self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()
