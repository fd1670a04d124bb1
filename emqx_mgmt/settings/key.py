"""A row of the settings table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from emqx_mgmt.settings.kinds import Kind

USER_WORD = r"(?!\w*__)[a-z0-9_]+"


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    kind: Kind
    default: str | None
    doc: str
    named: dict[str, str] = field(default_factory=dict)
    twin: str | None = None
    hot: bool = False       # of a plugin: takes effect when changed over REST (the broker's own: hot.py)
    secret: bool = False    # never shown; its variable has a _FILE form

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = [USER_WORD if part.startswith("$") else re.escape(part) for part in self.name.split(".")]
        return re.compile(r"\.".join(parts))

    def word(self, name: str) -> str:
        """The first user-chosen word of the concrete key `name`."""
        pairs = zip(self.name.split("."), name.split("."), strict=True)
        return next(given for part, given in pairs if part.startswith("$"))

    def default_for(self, name: str) -> str | None:
        return self.named.get(self.word(name), self.default) if "$" in self.name else self.default
