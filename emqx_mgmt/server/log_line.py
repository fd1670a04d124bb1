"""One line of printable text for each event, whatever its values are.

Clients choose client ids, topics and user names, and plugins write what they like. Only this module makes such values
harmless: characters that would begin a new line or control a terminal are escaped, and long values are cut.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

# In characters. A message that a plugin has put together itself is one long value.
LONGEST_VALUE = 256
LONGEST_MESSAGE = 4096
LONGEST_TRACEBACK = 16_384
# Of a record's `extra`, beside its text: what happened, in one word; whom it concerns; and which request it was.
MEMBERS = ("event", "client_id", "peer", "request_id")


def one_line(text: str) -> str:
    """Replaces characters that are not printable by Python's escapes: `\\n`, `\\x1b`, `\\u2028`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cut(text: str, most: int) -> str:
    """`most` characters, and an ellipsis where more follow."""
    return text if len(text) <= most else f"{text[:most]}…"


def message_of(record: logging.LogRecord) -> str:
    """The message in one line, also where a plugin's arguments do not fit its format."""
    try:
        text = str(record.msg) % shortened(record.args) if record.args else str(record.msg)
    except Exception:
        text = f"{record.msg} (its values do not fit)"
    return cut(one_line(cut(text, LONGEST_MESSAGE)), LONGEST_MESSAGE)


def shortened(args: Any) -> Any:
    """The arguments of a line, each cut."""
    if isinstance(args, Mapping):
        return {name: shortened_value(value) for name, value in args.items()}
    return tuple(map(shortened_value, args))


def shortened_value(value: Any) -> Any:
    """Texts and bytes are cut, other values stay."""
    if isinstance(value, str):
        return cut(value, LONGEST_VALUE)
    return value[:LONGEST_VALUE] if isinstance(value, bytes) else value


def traceback_of(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The lines of a traceback; of a long one the beginning and the end, which says what is wrong."""
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    told = [*text.split("\n"), *(record.stack_info or "").split("\n")]
    lines = [one_line(cut(line, LONGEST_VALUE)) for line in told if line]
    half = LONGEST_TRACEBACK // LONGEST_VALUE // 2
    return lines if len(lines) <= 2 * half else [*lines[:half], f"… ({len(lines) - 2 * half} lines)", *lines[-half:]]


class TextFormatter(logging.Formatter):
    """A traceback follows its event on the same line, with `\\n` (two characters) between its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, tracebacks included."""
        line = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S%z')} [{record.levelname}] {message_of(record)}"
        return "\\n".join([line, *traceback_of(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, tracebacks included."""
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": one_line(cut(record.name, LONGEST_VALUE)),
            "message": message_of(record),
        }
        for name in MEMBERS:
            value = record.__dict__.get(name)
            if value is not None:
                event[name] = one_line(cut(str(value), LONGEST_VALUE))
        if record.exc_info or record.stack_info:
            event["traceback"] = "\n".join(traceback_of(self, record))
        return orjson.dumps(event).decode()
