from typing import Any, ClassVar

from emqx_mgmt.broker.auth.client import Client

class Packet:
    fields: ClassVar[tuple[str, ...]]
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def hidden(self, field: str) -> Any: ...

class Will(Packet):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]
    publisher: Client | None
    def __init__(self, topic: str, payload: bytes = ..., qos: int = ..., retain: bool = ...,
                 properties: dict[str, Any] | None = ...) -> None: ...

class Connect(Packet):
    proto_name: str
    proto_ver: int
    is_bridge: bool
    clean_start: bool
    keepalive: int
    client_id: str
    username: str | None
    password: bytes | None
    will: Will | None
    properties: dict[str, Any]
    def __init__(self, client_id: str = ..., proto_ver: int = ..., *, proto_name: str | None = ...,
                 is_bridge: bool = ..., clean_start: bool = ..., keepalive: int = ...,
                 username: str | None = ..., password: bytes | None = ..., will: Will | None = ...,
                 properties: dict[str, Any] | None = ...) -> None: ...

class Connack(Packet):
    session_present: bool
    reason_code: int
    properties: dict[str, Any]
    def __init__(self, session_present: bool = ..., reason_code: int = ...,
                 properties: dict[str, Any] | None = ...) -> None: ...

class PublishPacket(Packet):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    properties: dict[str, Any]
    def __init__(self, topic: str, payload: bytes = ..., qos: int = ..., retain: bool = ...,
                 dup: bool = ..., packet_id: int = ..., properties: dict[str, Any] | None = ...) -> None: ...

class Ack(Packet):
    type: int
    packet_id: int
    reason_code: int
    properties: dict[str, Any]
    def __init__(self, type: int, packet_id: int, reason_code: int = ...,
                 properties: dict[str, Any] | None = ...) -> None: ...

class Subscribe(Packet):
    packet_id: int
    filters: list[tuple[str, int]]
    properties: dict[str, Any]
    def __init__(self, packet_id: int, filters: list[tuple[str, int]],
                 properties: dict[str, Any] | None = ...) -> None: ...

class Suback(Packet):
    packet_id: int
    reason_codes: list[int]
    properties: dict[str, Any]
    def __init__(self, packet_id: int, reason_codes: list[int], properties: dict[str, Any] | None = ...) -> None: ...

class Unsubscribe(Packet):
    packet_id: int
    filters: list[str]
    properties: dict[str, Any]
    def __init__(self, packet_id: int, filters: list[str], properties: dict[str, Any] | None = ...) -> None: ...

class Unsuback(Packet):
    packet_id: int
    reason_codes: list[int]
    properties: dict[str, Any]
    def __init__(self, packet_id: int, reason_codes: list[int] | None = ...,
                 properties: dict[str, Any] | None = ...) -> None: ...

class Pingreq(Packet): ...

class Pingresp(Packet): ...

class Disconnect(Packet):
    reason_code: int
    properties: dict[str, Any]
    def __init__(self, reason_code: int = ..., properties: dict[str, Any] | None = ...) -> None: ...

class Auth(Packet):
    reason_code: int
    properties: dict[str, Any]
    def __init__(self, reason_code: int = ..., properties: dict[str, Any] | None = ...) -> None: ...
