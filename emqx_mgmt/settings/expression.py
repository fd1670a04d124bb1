"""Regular expressions that are held against what clients send: RE2's, which take time in proportion to the text.

Python's own go back and try again, for minutes where two groups share a topic of 60 KB. RE2 has no look-around and no
references to groups; `\\d`, `\\w` and `\\s` are ASCII.
"""

from __future__ import annotations

from typing import Any


def linear(text: str) -> Any:
    """The compiled expression (`search`, `groups`); raises ValueError for one that RE2 does not know."""
    import re2  # a megabyte that a broker without such rules need not load

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        why = error.args[0]
        raise ValueError(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None
