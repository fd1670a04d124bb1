"""Reason codes (MQTT 5.0, section 2.4) and what a refused CONNECT says in each version."""

from __future__ import annotations

from typing import Any

from router_ext.protocol.codec import encode_connack

SUCCESS = 0x00
CONTINUE_AUTHENTICATION = 0x18
RE_AUTHENTICATE = 0x19
DISCONNECT_WITH_WILL = 0x04
NO_SUBSCRIPTION_EXISTED = 0x11
UNSPECIFIED_ERROR = 0x80
PROTOCOL_ERROR = 0x82
UNSUPPORTED_PROTOCOL_VERSION = 0x84
CLIENT_IDENTIFIER_NOT_VALID = 0x85
BAD_USERNAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
SERVER_UNAVAILABLE = 0x88
SERVER_BUSY = 0x89
BANNED = 0x8A
SERVER_SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
KEEP_ALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
ADMINISTRATIVE_ACTION = 0x98
PAYLOAD_FORMAT_INVALID = 0x99
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B
SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
MAXIMUM_CONNECT_TIME = 0xA0
WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2

# CONNACK return codes of MQTT 3.1 and 3.1.1 (section 3.2.2.3), and the words that count them.
RETURN_CODES = {
    CLIENT_IDENTIFIER_NOT_VALID: (2, "client_identifier_not_valid"),
    SERVER_UNAVAILABLE: (3, "server_unavailable"),
    BAD_USERNAME_OR_PASSWORD: (4, "malformed_username_or_password"),
    NOT_AUTHORIZED: (5, "unauthorized_client"),
    BANNED: (5, "banned"),
    BAD_AUTHENTICATION_METHOD: (5, "bad_authentication_method"),
}
OTHER = (3, "server_unavailable")


# Reason strings, for a client that asks for them.
TEXTS = {
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "refused for a reason of this broker's own",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x92: "packet identifier not found",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}


def refusal(code: int, version: int, properties: dict[str, Any]) -> tuple[bytes, str]:
    """The CONNACK that refuses with MQTT 5 reason `code`, and the word under which it is counted."""
    return_code, word = RETURN_CODES.get(code, OTHER)
    return encode_connack(False, code if version == 5 else return_code, properties, version), word
