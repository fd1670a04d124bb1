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

    The last set that could be read stays when a later one cannot be had.
    """

    def __init__(self, fetch: Callable[[], bytes], parse: Callable[[dict[str, Any]], Any]) -> None:
        self._fetch = fetch
        self._parse = parse
        self._lock = gevent.lock.RLock()
        self._asked = -ASK_AGAIN_S
        self._keys: list[tuple[str | None, Any]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def refresh(self) -> None:
        """Raises what `fetch` raises, and ValueError for a document that is no set of keys."""
        with self._lock:
            self._asked = time.monotonic()
            document = json.loads(self._fetch())
            if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
                raise ValueError("the document is no set of keys (RFC 7517)")
            keys = []
            for key in document["keys"]:
                if isinstance(key, dict) and key.get("use", "sig") == "sig":
                    try:
                        keys.append((key.get("kid"), self._parse(key)))
                    except ValueError:
                        continue  # of a kind that is not known here; others of the set are
            self._keys = keys

    def candidates(self, kid: str | None) -> list[Any]:
        """The keys that a token which names `kid` may be signed with; all of them when it names none."""
        found = self._of(kid)
        if found or kid is None:
            return found
        with self._lock:  # whoever waited for another's refresh need not ask again
            if time.monotonic() - self._asked >= ASK_AGAIN_S:
                self.refresh()
        return self._of(kid)

    def _of(self, kid: str | None) -> list[Any]:
        return [key for name, key in self._keys if kid is None or name == kid]
