"""Reason codes (MQTT 5.0, section 2.4) and what a refused CONNECT says in each version."""

from __future__ import annotations

from router_ext.codec import encode_connack

SUCCESS = 0x00
DISCONNECT_WITH_WILL = 0x04
NO_SUBSCRIPTION_EXISTED = 0x11
UNSPECIFIED_ERROR = 0x80
PROTOCOL_ERROR = 0x82
CLIENT_IDENTIFIER_NOT_VALID = 0x85
BAD_USERNAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
SERVER_UNAVAILABLE = 0x88
BANNED = 0x8A
SERVER_SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
KEEP_ALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90
QUOTA_EXCEEDED = 0x97
ADMINISTRATIVE_ACTION = 0x98
PAYLOAD_FORMAT_INVALID = 0x99
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B
SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
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


def refusal(code: int, version: int) -> tuple[bytes, str]:
    """The CONNACK that refuses with MQTT 5 reason `code`, and the word under which it is counted."""
    return_code, word = RETURN_CODES.get(code, OTHER)
    return encode_connack(False, code if version == 5 else return_code, {}, version), word
