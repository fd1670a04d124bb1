"""Reads the settings and answers what is in effect: environment over file over default."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from emqx_mgmt.settings.environment import CONFIG_VARIABLE, read_environment
from emqx_mgmt.settings.file import Entry, read_file
from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.table import SHIPPED, find
from emqx_mgmt.settings.zone import Zone

DEFAULT_FILE = Path("etc/emqx.conf")


class SettingsError(Exception):
    """One sentence that says where (file and line, or variable) and what."""


class Settings:
    """Typed values by key. `settings["listener.tcp.external"]`, `settings.zone("external").max_inflight`."""

    def __init__(self, entries: Iterable[Entry] = (), unknown_variables: Sequence[str] = ()) -> None:
        self._given: dict[str, Any] = {}
        self._changed: dict[str, Any] = {}
        self._zones: dict[str, Zone] = {}
        self.unknown_variables = unknown_variables
        for entry in entries:
            self._given[entry.key] = parse(entry)

    def __getitem__(self, name: str) -> Any:
        """The value in effect; KeyError for a key the table does not have."""
        if name in self._changed:
            return self._changed[name]
        if name in self._given:
            return self._given[name]
        return self._default(row(name), name)

    def _default(self, key: Key, name: str) -> Any:
        text = key.default_for(name)
        if text is not None:
            return key.kind.parse(text)
        assert key.twin, f"{key.name} has neither a default nor a twin"
        return self[key.twin]

    def zone(self, name: str) -> Zone:
        """The values in effect in a zone; the same object until a setting is changed."""
        if name not in self._zones:
            names = [field.name for field in fields(Zone) if field.name != "name"]
            self._zones[name] = Zone(name, *(self[f"zone.{name}.{key}"] for key in names))
        return self._zones[name]

    def text(self, name: str) -> str:
        """The value in effect as `GET /configs/` shows it."""
        return row(name).kind.show(self[name])

    def datatype(self, name: str) -> str:
        return row(name).kind.label

    def is_set(self, name: str) -> bool:
        """In the file, in the environment, or by a change; else a default holds."""
        return name in self._changed or name in self._given

    def check(self, name: str, text: str) -> None:
        """Raises ValueError when the text does not fit the key."""
        row(name).kind.parse(text)

    def change(self, name: str, text: str) -> None:
        """Sets a key over whatever the environment and the file say; ValueError when the text does not fit it."""
        self._changed[name] = row(name).kind.parse(text)
        self._zones.clear()

    def take_back(self, name: str) -> None:
        """Undoes `change`."""
        self._changed.pop(name, None)
        self._zones.clear()

    def words(self, prefix: str, shipped: tuple[str, ...]) -> list[str]:
        """The user-chosen words below `prefix`, the shipped ones first: listener names, for one."""
        depth = prefix.count(".") + 1
        names = [*self._given, *self._changed]
        given = {name.split(".")[depth] for name in names if name.startswith(prefix + ".")}
        return [*shipped, *sorted(given - set(shipped))]


def row(name: str) -> Key:
    key = find(name)
    if key is None:
        raise KeyError(name)
    return key


def parse(entry: Entry) -> Any:
    key = find(entry.key)
    if key is None:
        raise SettingsError(f"{entry.place}: unknown key {entry.key}")
    try:
        return key.kind.parse(entry.text)
    except ValueError as error:
        shown = "" if key.secret else f" ('{entry.text}')"
        raise SettingsError(f"{entry.place}: {entry.key}{shown} {error}") from None


def load(environ: Mapping[str, str] | None = None, path: Path | None = None) -> Settings:
    """Settings from `path` (else EMQX_CONFIG, else etc/emqx.conf where it exists) and from the environment."""
    environ = os.environ if environ is None else environ
    unknown: list[str] = []
    try:
        from_environment = list(read_environment(environ, unknown))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    entries = [*file_entries(environ, path), *from_environment]
    settings = Settings(entries, unknown)
    check_names(settings, entries)
    return settings


def check_names(settings: Settings, entries: Sequence[Entry]) -> None:
    """A mistyped name of a listener or a zone would otherwise mean one that is off, or one with other limits."""
    given = {entry.key for entry in entries}
    zones = settings.words("zone", SHIPPED)
    for entry in entries:
        listener, _, option = entry.key.rpartition(".")
        if option == "zone" and entry.text not in zones:
            raise SettingsError(f"{entry.place}: {entry.key} names the zone {entry.text}, for which nothing is set")
        of_listener = listener.startswith("listener.") and listener.count(".") == 2
        if of_listener and listener not in given and settings[listener] is None:
            raise SettingsError(f"{entry.place}: {entry.key} is set, but {listener} is not")


def file_entries(environ: Mapping[str, str], path: Path | None) -> list[Entry]:
    named = path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is None and not DEFAULT_FILE.exists():
        return []
    source = named or DEFAULT_FILE
    try:
        return [checked(entry) for entry in read_file(source)]
    except OSError as error:
        raise SettingsError(f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{source}: is not UTF-8 text") from None


def checked(entry: Entry | str) -> Entry:
    if isinstance(entry, str):
        raise SettingsError(entry)
    return entry
