"""Delays log-ins from addresses that keep failing.

No address is locked out: an attempt only waits for its turn. Credentials that were verified before are not delayed.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass

import gevent

FREE_ATTEMPTS = 5
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
LONGEST_WAIT_S = 3.0
FORGOTTEN_AFTER_S = 60.0
ADDRESSES = 10_000


@dataclass(slots=True)
class Failures:
    count: int = 0
    last: float = 0.0
    # The time at which the next attempt may proceed.
    turn: float = 0.0


class Throttle:
    def __init__(self) -> None:
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    def wait(self, address: str) -> None:
        """Waits until an attempt from this address may be verified."""
        failures = self._failures.get(_network(address))
        if failures is None or failures.count < FREE_ATTEMPTS:
            return
        now = time.monotonic()
        turn = max(now, failures.turn)
        failures.turn = turn + _pause(failures.count)
        gevent.sleep(min(turn - now, LONGEST_WAIT_S))

    def failed(self, address: str) -> None:
        now = time.monotonic()
        network = _network(address)
        failures = self._failures.setdefault(network, Failures())
        self._failures.move_to_end(network)
        if now - failures.last > FORGOTTEN_AFTER_S:
            failures.count = 0
        failures.count += 1
        failures.last = now
        failures.turn = max(failures.turn, now + _pause(failures.count))
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._failures.pop(_network(address), None)


def _pause(count: int) -> float:
    if count < FREE_ATTEMPTS:
        return 0.0
    return min(FIRST_PAUSE_S * 2.0 ** min(count - FREE_ATTEMPTS, 10), LONGEST_PAUSE_S)


def _network(address: str) -> str:
    """The key of an address. Of IPv6 the /64 counts, since one host may use all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
