"""Who a hook is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from router_ext.channel import peer_of


@dataclass(slots=True)
class Client:
    """The credentials of a connection (EMQ X "credentials"). `password` is there during authentication only."""

    client_id: str
    username: str | None
    address: bytes  # the socket address; its text would take as much memory as all the rest
    zone: str
    proto_ver: int = 4
    is_super: bool = False
    password: bytes | None = None
    auth_method: str | None = None  # of enhanced authentication (MQTT 5)
    relayed: ClassVar[bool] = False

    @property
    def peer(self) -> tuple[str, int]:
        """Address text and port."""
        peer: tuple[str, int] = peer_of(self.address)
        return peer


class RelayedClient(Client):
    """One whose connection a proxy passed on: a loopback address is not its own. A class, since a field would take
    memory for each client."""

    __slots__ = ()
    relayed: ClassVar[bool] = True


@dataclass(slots=True, frozen=True)
class Grant:
    """An authentication handler's yes with a super-user flag; plain True grants without it."""

    is_super: bool = False


@dataclass(slots=True, frozen=True)
class Unavailable:
    """A handler's answer when it cannot decide at present, its database being unreachable, say: it ends the chain, and
    the client is refused as long as that lasts. `why` is for the log."""

    why: str
