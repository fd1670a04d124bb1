"""Bans by client id, user name and address (behaviour, section 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from emqx_mgmt.settings.addresses import parse_address

CLIENT_ID, USERNAME, IP_ADDRESS = "client_id", "username", "ip_address"
KINDS = (CLIENT_ID, USERNAME, IP_ADDRESS)


class BanKey(NamedTuple):
    """What identifies a ban: there is one for each kind and name."""

    kind: str
    who: str


class Ban(Struct, frozen=True):
    """`kind` is one of KINDS; `who` is a client id, a user name or an address as `address_text` writes it; `until` is
    unix seconds, None for ever."""

    kind: str
    who: str
    reason: str | None = None
    by: str | None = None
    desc: str | None = None
    until: int | None = None

    @property
    def key(self) -> BanKey:
        """Its key in the table."""
        return BanKey(self.kind, self.who)

    def stands(self, now: float) -> bool:
        """Whether it bans at `now`, unix seconds."""
        return self.until is None or self.until >= now


def address_text(address: str) -> str:
    """The address as bans have it: in the shortest form, IPv4 within IPv6 as IPv4. Raises ValueError."""
    return str(parse_address(address))


class Banned:
    """The bans in memory, checked at each CONNECT. An expired ban has no effect, and is listed until it is swept."""

    def __init__(self) -> None:
        self._bans: dict[BanKey, Ban] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def __iter__(self) -> Iterator[Ban]:
        return iter(self._bans.values())

    def check(self, client_id: str, username: str | None, ip: str, now: float) -> bool:
        """Whether any of the three is banned at `now`, unix seconds."""
        named = ((CLIENT_ID, client_id), (USERNAME, username), (IP_ADDRESS, address_text(ip)))
        bans = (self._bans.get(BanKey(kind, who)) for kind, who in named if who is not None)
        return any(ban is not None and ban.stands(now) for ban in bans)

    def put(self, ban: Ban) -> None:
        """Replaces a ban of the same kind and name."""
        self._bans[ban.key] = ban

    def remove(self, key: BanKey) -> None:
        """Nothing happens when there is none."""
        self._bans.pop(key, None)

    def expired(self, now: float) -> list[BanKey]:
        """The keys of bans that are over at `now`, unix seconds."""
        return [key for key, ban in self._bans.items() if not ban.stands(now)]
