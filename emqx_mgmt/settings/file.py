"""The configuration file: EMQ X's `key = value`, one a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emqx_mgmt.settings.regular_file import read_text

# A topic filter may contain #, so a comment after a value begins with a blank.
COMMENT = re.compile(r"(^|\s)#.*")


# The origins of a setting's value. STORED: it was changed over REST.
DEFAULT, FILE, ENVIRONMENT, STORED = "default", "file", "environment", "stored"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with the text given for it, and where it was given: the place, and what kind of place that is."""

    key: str
    text: str
    place: str
    source: str = FILE


def read_file(path: Path) -> Iterator[Entry | str]:
    """The file's entries; a text in place of an entry is a complaint about a line."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = COMMENT.sub("", line).strip()
        if not line:
            continue
        key, equals, text = line.partition("=")
        if equals and key.strip():
            yield Entry(key.strip(), text.strip(), f"{path}:{number}")
        else:
            yield f"{path}:{number}: expected key = value"
