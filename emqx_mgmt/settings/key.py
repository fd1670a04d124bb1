"""A row of the settings table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from emqx_mgmt.settings.kinds import Kind

USER_WORD = r"(?!\w*__)[a-z0-9_]+"
NAME_ELSEWHERE = r"[A-Za-z0-9_-]+"    # the name of a header or of a claim, which has its own spelling


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `named`: defaults for shipped names in place of `$name` or `$zone`; `twin`: the key whose value is
    the default."""

    name: str
    kind: Kind
    default: str | None
    doc: str
    named: dict[str, str] = field(default_factory=dict)
    twin: str | None = None
    hot: bool = False       # of a plugin: takes effect when changed over REST (the broker's own: hot.py)
    secret: bool = False    # never shown; its variable has a _FILE form
    inert: bool = False     # of a plugin: known, so that files of EMQ X load, and without effect

    @property
    def pattern(self) -> re.Pattern[str]:
        """Of the names of this row. `$name` is a user-chosen word, `$Name` one that may have capitals and `-`."""
        return re.compile(r"\.".join(map(_expression, self.name.split("."))))

    def word(self, name: str) -> str:
        """The first user-chosen word of the concrete key `name`."""
        pairs = zip(self.name.split("."), name.split("."), strict=True)
        return next(given for part, given in pairs if part.startswith("$"))

    def default_for(self, name: str) -> str | None:
        """The default as text; None where the twin's value is the default."""
        return self.named.get(self.word(name), self.default) if "$" in self.name else self.default


def _expression(part: str) -> str:
    if not part.startswith("$"):
        return re.escape(part)
    return NAME_ELSEWHERE if part[1].isupper() else USER_WORD
