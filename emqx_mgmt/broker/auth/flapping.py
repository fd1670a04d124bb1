"""Flapping: a client that disconnects too often is banned for a while (`flapping_threshold` of its zone)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emqx_mgmt.broker.auth.banned import CLIENT_ID, Ban

if TYPE_CHECKING:
    from router_ext.session.zone import Zone

log = logging.getLogger(__name__)

SWEEP_MS = 60_000


@dataclass(slots=True)
class Flaps:
    """Disconnects of one client since `began`, monotonic ms; forgotten at `until`."""

    began: int
    until: int
    count: int = 0


class Flapping:
    """Counts disconnects by client id; `ban` is called with the ban when a zone's threshold is reached."""

    def __init__(self, ban: Callable[[Ban], object]) -> None:
        self._ban = ban
        self._flaps: dict[str, Flaps] = {}
        self._swept = 0

    def disconnected(self, client_id: str, zone: Zone, now: int) -> None:
        """A connection of the client has ended; `now` in monotonic milliseconds."""
        flaps = self._flaps.get(client_id)
        if flaps is None or now >= flaps.until:
            flaps = self._flaps[client_id] = Flaps(now, now + zone.flapping_period)
        flaps.count += 1
        if flaps.count >= zone.flapping_count:
            del self._flaps[client_id]
            self._ban(Ban(CLIENT_ID, client_id, reason="flapping", by="flapping detection",
                          until=int(time.time()) + zone.flapping_ban))
            log.warning("Client %.100r is banned for %d s: it disconnected %d times in %d s", client_id,
                        zone.flapping_ban, flaps.count, (now - flaps.began) // 1000)

    def sweep(self, now: int) -> None:
        """Forgets clients that have not disconnected for a period; `now` in monotonic milliseconds."""
        if now - self._swept >= SWEEP_MS:
            self._swept = now
            self._flaps = {client_id: flaps for client_id, flaps in self._flaps.items() if flaps.until > now}
