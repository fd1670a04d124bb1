"""Refusals of the management functions. Each knows its v3 return code and its word."""

from __future__ import annotations

# Return codes of the v3 API (the ones that its handlers send).
UNKNOWN_ERROR = 102
MISSING_PARAMETER = 107
WRONG_PARAMETER = 108
NOT_JSON = 109
NOT_ONLINE = 112
BAD_TOPIC = 115

NOT_ON_DISK = "it is done, but not on disk: the message store takes nothing (alarm message_store_full)"


class Unknown(LookupError):
    """A node, application or plugin of this name does not exist: for the caller the path does not exist."""


class Refused(Exception):
    """A request that is well formed and yet cannot be done; `message` is the word the API sends."""

    def __init__(self, message: str, code: int = UNKNOWN_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class MqttRefused(Refused):
    """A refused publish, subscribe or unsubscribe: the answer is its code alone."""


class ConfigRefused(Refused):
    """Settings of a plugin that it cannot have: in the bare style the answer is the code alone."""
