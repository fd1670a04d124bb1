"""The settings of one plugin. The first of these that has a value decides: a change stored over REST, the environment,
the plugin's file, the default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any

from emqx_mgmt.settings import Key
from emqx_mgmt.settings.environment import FILE_SUFFIX, PREFIX, key_of, read_secret
from emqx_mgmt.settings.file import DEFAULT, ENVIRONMENT, FILE, STORED, read_file
from emqx_mgmt.settings.place import Place

# Shown in place of a secret. A caller that sends it back leaves the secret unchanged.
MASK = "******"


class ConfigError(Exception):
    """All faults of the settings. Each complaint is a sentence that names the key, and the file and line where there is
    one."""

    def __init__(self, *complaints: str) -> None:
        super().__init__("; ".join(complaints))
        self.complaints = complaints


class Config:
    """Typed values by key: `config["retainer.max_payload_size"]`.

    `stored` are the changes made over REST. Once a whole set was stored (`replaced`), the file is ignored. Relative
    paths begin at `place`, like the broker's.
    """

    def __init__(self, table: Iterable[Key], file: Path, environ: Mapping[str, str], stored: Mapping[str, str],
                 replaced: bool, place: Place) -> None:
        self._place = place
        self._table = tuple(table)
        self._exact = {key.name: key for key in self._table if "$" not in key.name}
        self._texts: dict[str, str] = {}
        self._sources: dict[str, str] = {}  # of the texts
        if not replaced:
            self._take(DEFAULT, {key.name: key.default for key in self._exact.values() if key.default})
            self._read(file)
        self._take(ENVIRONMENT, dict(self._from(environ)))
        self._take(STORED, stored)
        self._values = {name: self.parse(name, text) for name, text in self._texts.items()}

    def _take(self, source: str, texts: Mapping[str, str]) -> None:
        self._texts.update(texts)
        self._sources.update(dict.fromkeys(texts, source))

    def _read(self, file: Path) -> None:
        if not file.exists():
            return
        complaints = []
        for entry in read_file(file):
            if isinstance(entry, str):
                complaints.append(entry)
                continue
            try:
                self.parse(entry.key, entry.text)
            except ConfigError as error:
                complaints.append(f"{entry.place}: {error}")
            self._take(FILE, {entry.key: entry.text})
        if complaints:
            raise ConfigError(*complaints)

    def _from(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for variable in sorted(environ):
            name = key_of(variable) if variable.startswith(PREFIX) else ""
            secret = self.find(name.removesuffix(FILE_SUFFIX.lower()))
            if self.find(name):
                yield name, environ[variable].strip()
            elif secret and secret.secret and variable.removesuffix(FILE_SUFFIX) not in environ:
                try:
                    yield name.removesuffix(FILE_SUFFIX.lower()), read_secret(variable, environ[variable])
                except ValueError as error:
                    raise ConfigError(str(error)) from None

    def knows(self, variable: str) -> bool:
        """Whether a variable of the environment is one of these settings."""
        name = key_of(variable)
        secret = self.find(name.removesuffix(FILE_SUFFIX.lower()))
        return self.find(name) is not None or (secret is not None and secret.secret)

    def find(self, name: str) -> Key | None:
        key = self._exact.get(name)
        if key is not None:
            return key
        return next((key for key in self._table if "$" in key.name and key.pattern.fullmatch(name)), None)

    def parse(self, name: str, text: str) -> Any:
        """The typed value of a text; raises ConfigError."""
        key = self.find(name)
        if key is None:
            raise ConfigError(f"unknown key {name}")
        try:
            return self._typed(key, text)
        except ValueError as error:
            shown = "" if key.secret else f" ('{text}')"
            raise ConfigError(f"{name}{shown} {error}") from None

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        return self._typed(self._exact[name], self._exact[name].default or "")

    def _typed(self, key: Key, text: str) -> Any:
        return key.kind.parse(self._place.resolve(text) if key.kind.is_path else text)

    def chosen(self, pattern: str) -> dict[str, Any]:
        """The values given for a key with a user-chosen word (`auth.user.$n.username`), by that word."""
        key = next(key for key in self._table if key.name == pattern)
        return {key.word(name): value for name, value in self._values.items() if key.pattern.fullmatch(name)}

    def copy(self) -> Config:
        same = copy(self)
        same.adopt(self)
        return same

    def with_text(self, name: str, text: str) -> Config:
        """A copy with another value for one key. Raises ConfigError."""
        changed = self.copy()
        changed._values[name] = self.parse(name, text)
        changed._take(STORED, {name: text})
        return changed

    def adopt(self, other: Config) -> None:
        """Takes over the values of another Config."""
        self._texts, self._sources, self._values = dict(other._texts), dict(other._sources), dict(other._values)

    def names(self) -> list[str]:
        return list(self._texts)

    def text(self, name: str) -> str:
        """The text of the value: the one that is set, or else the default."""
        given = self._texts.get(name)
        if given is not None:
            return given
        return self._exact[name].default or "" if name in self._exact else ""

    # -- as the API shows it ------------------------------------------------------------------------

    def given(self) -> list[tuple[Key, str, str]]:
        """Key, name and text of each value that is set, in the order of the table."""
        rows = [(self.find(name), name, text) for name, text in self._texts.items()]
        return sorted(
            ((key, name, MASK if key.secret and text else text) for key, name, text in rows if key is not None),
            key=lambda row: (self._table.index(row[0]), row[1]),
        )

    def others(self) -> list[Key]:
        """The other keys of the table; keys with a user-chosen word as the table writes them."""
        return [key for key in self._table if key.name not in self._texts]

    def unmasked(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The values that a caller sent, with each mask replaced by the secret that it stands for."""
        return {name: self._texts.get(name, "") if text == MASK and self._is_secret(name) else text
                for name, text in texts.items()}

    def _is_secret(self, name: str) -> bool:
        key = self.find(name)
        return key is not None and key.secret

    def shown(self, name: str) -> str:
        """The value in effect as `GET /configs` has it; empty where a key with a user-chosen word has none."""
        key = self.find(name)
        if key is None or (name not in self._values and "$" in key.name):
            return ""
        return MASK if key.secret and self.text(name) else key.kind.show(self[name])

    def source(self, name: str) -> str:
        """The origin of the value."""
        return self._sources.get(name, DEFAULT)
