"""The client that hooks and access rules decide about, also when its connection is gone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import msgspec

from emqx_mgmt.broker.auth.templates import filled
from emqx_mgmt.broker.auth.topic_rules import TopicRule
from router_ext.engine.channel import peer_of

# A socket address that is nobody's: 0.0.0.0, port 0, as the system writes it.
NOWHERE = b"\x02\x00" + bytes(14)


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
    is_bridge: bool = False
    port: int = 0  # of the listener, where somebody decides about the connection

    @property
    def subject(self) -> str | None:
        """Of its certificate (RFC 4514), where the listener asks for one."""
        return None

    @property
    def peer(self) -> tuple[str, int]:
        """Address text and port."""
        peer: tuple[str, int] = peer_of(self.address)
        return peer

    def mountpoint(self, template: str | None) -> str | None:
        """The zone's mountpoint with the client's values filled in; "" for none; None where a value may not be part of
        a mountpoint."""
        return filled(template, self.client_id, self.username or None) if template else ""


class Remembered(msgspec.Struct, array_like=True):
    """The properties of a client that access rules use, without its id, which is in its messages."""

    username: str | None
    address: bytes
    zone: str
    proto_ver: int
    is_super: bool
    is_bridge: bool
    relayed: bool
    port: int = 0


NOBODY = msgspec.msgpack.encode(None)
DEFAULT_ZONE = "external"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Remembered).decode


def remember(client: Client | None) -> bytes:
    """The client for `recall`, 65,600 bytes at most."""
    return NOBODY if client is None else _encode(
        Remembered(client.username, client.address, client.zone, client.proto_ver, client.is_super, client.is_bridge,
                   client.relayed, client.port))


def recall(client_id: str, remembered: bytes) -> Client | None:
    """The client that was given to `remember`, or None. Earlier versions remembered nothing: a client of that id then,
    without user name and address."""
    if remembered == NOBODY:
        return None
    if not remembered:
        return Client(client_id, None, NOWHERE, DEFAULT_ZONE)
    row = _decode(remembered)
    kind = RelayedClient if row.relayed else Client
    return kind(client_id, row.username, row.address, row.zone, row.proto_ver, row.is_super, is_bridge=row.is_bridge,
                port=row.port)


class RelayedClient(Client):
    """A client behind a proxy, whose loopback address is the proxy's. A class, since a field would take memory for each
    client."""

    __slots__ = ()
    relayed: ClassVar[bool] = True


class CertifiedClient(Client):
    """A client with a certificate."""

    __slots__ = ("_subject",)
    _subject: str

    @classmethod
    def of(cls, client: Client, subject: str) -> CertifiedClient:
        kind = RelayedCertifiedClient if client.relayed else CertifiedClient
        certified = kind(*(getattr(client, field.name) for field in fields(Client)))
        certified._subject = subject
        return certified

    @property
    def subject(self) -> str | None:
        return self._subject


class RelayedCertifiedClient(CertifiedClient):
    __slots__ = ()
    relayed: ClassVar[bool] = True


@dataclass(slots=True, frozen=True)
class Grant:
    """An authentication handler's yes; plain True grants without anything more.

    `expires_at`, unix seconds: the connection is ended then, and its will sent. `rules` are asked before the ACL chain;
    where none of them matches, the chain decides."""

    is_super: bool = False
    expires_at: float | None = None
    rules: tuple[TopicRule, ...] = ()


@dataclass(slots=True, frozen=True)
class Ruling:
    """A handler's answer about a topic: whether the client may, and the rule that says so, for an operator who asks
    why. Plain True and False name no rule."""

    allow: bool
    source: str


@dataclass(slots=True, frozen=True)
class Unavailable:
    """A handler's answer when it cannot decide at present, its database being unreachable, say: it ends the chain, and
    the client is refused as long as that lasts. `why` is for the log."""

    why: str
