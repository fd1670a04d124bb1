"""Regular expressions for topics that clients send. They are RE2's, whose time is proportional to the text.

Python's own expressions backtrack, for minutes where two groups share a topic of 60 KB. RE2 has no look-around and no
references to groups; `\\d`, `\\w` and `\\s` are ASCII.
"""

from __future__ import annotations

from typing import Any


def linear(text: str) -> Any:
    """The compiled expression (`search`, `groups`); raises ValueError for an expression that RE2 does not support."""
    import re2  # imported here: a megabyte that a broker without such rules does not need

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        why = error.args[0]
        raise ValueError(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None
