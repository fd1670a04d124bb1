"""A set of public keys at a URL (RFC 7517), fetched again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import gevent.lock

ASK_AGAIN_S = 10.0      # a token with a key that is not in the set has it fetched, at most so often
LONGEST_SET = 1 << 20


class WebKeys:
    """`fetch()` gives the document; `parse(key)` makes a key usable and raises ValueError for one that is not.
    `fetched(error)` is called whenever it was fetched, with None where the set can be used.

    The last set that could be read stays when a later one cannot be had.
    """

    def __init__(self, fetch: Callable[[], bytes], parse: Callable[[dict[str, Any]], Any],
                 fetched: Callable[[Exception | None], object]) -> None:
        self._fetch = fetch
        self._parse = parse
        self._fetched = fetched
        self._lock = gevent.lock.RLock()
        self._asked = -ASK_AGAIN_S
        self._error = ""
        self._keys: list[tuple[str | None, Any]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def refresh(self) -> None:
        """Raises what `fetch` raises, and ValueError for a document that is no set of keys."""
        with self._lock:
            self._asked = time.monotonic()
            try:
                self._keys = self._read(json.loads(self._fetch()))
            except Exception as error:  # of the network, of TLS, of a document that is none
                self._error = str(error) or type(error).__name__
                self._fetched(error)
                raise
            self._error = ""
            self._fetched(None)

    def _read(self, document: Any) -> list[tuple[str | None, Any]]:
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
            raise ValueError("the document is no set of keys (RFC 7517)")
        keys = []
        for key in document["keys"]:
            if isinstance(key, dict) and key.get("use", "sig") == "sig":
                try:
                    keys.append((key.get("kid"), self._parse(key)))
                except ValueError:
                    continue  # of a kind that is not known here; others of the set are
        return keys

    def candidates(self, kid: str | None) -> list[Any]:
        """The keys that a token which names `kid` may be signed with; all of them when it names none. Raises where
        there are none because the set cannot be had."""
        found = self._of(kid)
        if found:
            return found
        with self._lock:  # whoever waited for another's refresh need not ask again
            if time.monotonic() - self._asked >= ASK_AGAIN_S:
                self.refresh()
        if self._error:
            raise OSError(self._error)
        return self._of(kid)

    def _of(self, kid: str | None) -> list[Any]:
        return [key for name, key in self._keys if kid is None or name == kid]
