"""Refusals of the management functions, with the v3 return code and the word of the answer."""

from __future__ import annotations

# Return codes of the v3 API (behaviour, 3.6): EMQ X's dashboard shows its own text for each.
UNKNOWN_ERROR = 102
WRONG_PASSWORD = 103  # or user name, at log-in
NO_CREDENTIALS = 104
NO_SUCH_USER = 105
ADMIN_STAYS = 106
MISSING_PARAMETER = 107
WRONG_PARAMETER = 108
NOT_JSON = 109
ALREADY_LOADED = 110
NOT_LOADED = 111
NOT_ONLINE = 112
USER_EXISTS = 113
WRONG_OLD_PASSWORD = 114
BAD_TOPIC = 115

NOT_ON_DISK = "it is done, but not on disk: the message store takes nothing (alarm message_store_full)"


class Unknown(LookupError):
    """A node, application or plugin of this name does not exist: for the caller the path does not exist."""


class RequestRefused(Exception):
    """A well-formed request that cannot be done; `message` is the word that the API sends."""

    def __init__(self, message: str, code: int = UNKNOWN_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class MqttRefused(RequestRefused):
    """A refused publish, subscribe or unsubscribe: the answer is its code alone."""


class MessageRefused(MqttRefused):
    """A handler of `message.publish` refused the message: the answer has the reason as well."""


class ConfigRefused(RequestRefused):
    """A plugin cannot have these settings: in the bare style, too, the answer has the code."""
