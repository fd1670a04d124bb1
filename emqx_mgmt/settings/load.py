"""The settings in effect: the environment takes precedence over the file, and the file over the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from emqx_mgmt.settings.emqx_keys import has_no_meaning
from emqx_mgmt.settings.environment import CONFIG_VARIABLE, read_environment
from emqx_mgmt.settings.file import DEFAULT, STORED, Entry, read_file
from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.place import Place
from emqx_mgmt.settings.table import SHIPPED, find
from emqx_mgmt.settings.zone import ZoneSettings

DEFAULT_FILE = Path("etc/emqx.conf")
ACL_FILE = "acl_file"


class SettingsError(Exception):
    """All faults of the settings. Each complaint is a sentence with the place (file and line, or variable) and the
    fault. The text of the error has one in each line."""

    def __init__(self, *complaints: str) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class Settings:
    """Typed values by key. `settings["listener.tcp.external"]`, `settings.zone("external").max_inflight`.

    `file` is the configuration file, None where there is none; `ignored` are the keys in it that have no meaning here;
    `complaints` the sentences about entries that cannot be taken, in whose place the defaults hold.
    """

    def __init__(self, entries: Iterable[Entry] = (), unknown_variables: Sequence[str] = (),
                 file: Path | None = None) -> None:
        self._given: dict[str, Any] = {}
        self._entries: dict[str, Entry] = {}
        self._changed: dict[str, Any] = {}
        self._texts: dict[str, str] = {}    # of those
        self._zones: dict[str, ZoneSettings] = {}
        self.unknown_variables = unknown_variables
        self.file = file
        self.place = Place(file or DEFAULT_FILE)
        self.ignored: list[str] = []
        self.complaints = [complaint for entry in entries if (complaint := self._take(entry))]

    def _take(self, entry: Entry) -> str | None:
        """A sentence where the entry cannot be taken."""
        key = find(entry.key)
        if key is None:
            if not has_no_meaning(entry.key):
                return f"{entry.place}: unknown key {entry.key}"
            self.ignored.append(entry.key)
            return None
        try:
            self._given[entry.key] = self._parse(key, entry.text)
            self._entries[entry.key] = entry
        except ValueError as error:
            value = "" if key.secret else f" ('{entry.text}')"
            return f"{entry.place}: {entry.key}{value} {error}"
        return None

    def _parse(self, key: Key, text: str) -> Any:
        return key.kind.parse(self.place.resolve(text) if key.kind.is_path else text)

    def __getitem__(self, name: str) -> Any:
        """The value in effect; KeyError for a key the table does not have."""
        if name in self._changed:
            return self._changed[name]
        if name in self._given:
            return self._given[name]
        return self._default(row(name), name)

    def _default(self, key: Key, name: str) -> Any:
        text = key.default_for(name)
        if text is None:
            assert key.twin, f"{key.name} has neither a default nor a twin"
            return self[key.twin]
        if key.kind.shipped is not None and not Path(self.place.resolve(text)).exists():
            return key.kind.shipped(self.place.resolve(text))
        return self._parse(key, text)

    def zone(self, name: str) -> ZoneSettings:
        """The values in effect in a zone; the same object until a setting is changed."""
        if name not in self._zones:
            names = [field.name for field in fields(ZoneSettings) if field.name != "name"]
            self._zones[name] = ZoneSettings(name, *(self[f"zone.{name}.{key}"] for key in names))
        return self._zones[name]

    def text(self, name: str) -> str:
        """The value in effect as `GET /configs/` shows it."""
        return row(name).kind.show(self[name])

    def datatype(self, name: str) -> str:
        """The kind of a key as a word, for the API."""
        return row(name).kind.label

    def written(self, name: str) -> str:
        """The text of the value in effect, as it was set, or the default's."""
        if name in self._texts:
            return self._texts[name]
        if name in self._entries:
            return self._entries[name].text
        key = row(name)
        default = key.default_for(name)
        return self.written(key.twin) if default is None and key.twin else default or ""

    def origin(self, name: str) -> str:
        """The origin of the value in effect: file and line, a variable, `REST`, `default`, or another key's origin."""
        if name in self._texts:
            return "REST"
        if name in self._entries:
            return self._entries[name].place
        key = row(name)
        if key.default_for(name) is None and key.twin:
            return f"{key.twin}: {self.origin(key.twin)}"
        return "default"

    def source(self, name: str) -> str:
        """The kind of place that the value comes from."""
        if name in self._changed:
            return STORED
        if name in self._entries:
            return self._entries[name].source
        key = row(name)
        return self.source(key.twin) if key.default_for(name) is None and key.twin else DEFAULT

    def default(self, name: str) -> str:
        """The default, as `GET /configs/` shows values."""
        key = row(name)
        return key.kind.show(self._default(key, name))

    def is_set(self, name: str) -> bool:
        """Whether the key is set: in the file, in the environment, or by a change."""
        return name in self._changed or name in self._given

    def check(self, name: str, text: str) -> None:
        """Raises ValueError when the text does not fit the key."""
        self._parse(row(name), text)

    def change(self, name: str, text: str) -> None:
        """Sets a key; the value takes precedence over environment and file. ValueError when the text does not fit the
        key."""
        self._changed[name] = self._parse(row(name), text)
        self._texts[name] = text
        self._zones.clear()

    def read_again(self, name: str) -> None:
        """Reads the file that a key names again. ValueError where it cannot be used. A default file is read at each
        look-up."""
        kind, values = row(name).kind, self._changed if name in self._changed else self._given
        again = kind.parse(kind.show(self[name])) if name in values else self[name]
        if name in values:
            values[name] = again

    def take_back(self, name: str) -> None:
        """Undoes `change`."""
        self._changed.pop(name, None)
        self._texts.pop(name, None)
        self._zones.clear()

    def words(self, prefix: str, shipped: tuple[str, ...]) -> list[str]:
        """The user-chosen words below `prefix`, the shipped ones first: listener names, for one."""
        depth = prefix.count(".") + 1
        names = [*self._given, *self._changed]
        given = {name.split(".")[depth] for name in names if name.startswith(prefix + ".")}
        return [*shipped, *sorted(given - set(shipped))]


def row(name: str) -> Key:
    """The key of the table that `name` is one of. Raises KeyError."""
    key = find(name)
    if key is None:
        raise KeyError(name)
    return key


def load(environ: Mapping[str, str] | None = None, path: Path | None = None) -> Settings:
    """Settings from `path` (else EMQX_CONFIG, else etc/emqx.conf where it exists) and from the environment. Raises
    SettingsError."""
    settings = read(environ, path)
    if settings.complaints:
        raise SettingsError(*settings.complaints)
    return settings


def read(environ: Mapping[str, str] | None = None, path: Path | None = None) -> Settings:
    """The same, with `complaints` in place of an exception; SettingsError only for a file that cannot be read."""
    environ = os.environ if environ is None else environ
    unknown: list[str] = []
    file = path or configuration_file(environ)
    lines = [*(read_lines(file) if file else []), *read_environment(environ, unknown)]
    entries = [line for line in lines if isinstance(line, Entry)]
    settings = Settings(entries, unknown, file)
    settings.complaints = [
        *(line for line in lines if isinstance(line, str)), *settings.complaints, *wrong_names(settings, entries),
        *wrong_rules(settings, entries),
    ]
    return settings


def wrong_rules(settings: Settings, entries: Sequence[Entry]) -> Iterator[str]:
    """Faults of the default file of access rules, which has no entry and is read at each look-up."""
    if any(entry.key == ACL_FILE for entry in entries):
        return
    try:
        settings[ACL_FILE]
    except ValueError as error:
        yield f"{settings.place.resolve(settings.written(ACL_FILE))}: {error}"


def wrong_names(settings: Settings, entries: Sequence[Entry]) -> Iterator[str]:
    """Complaints about unknown names: a mistyped name of a listener or zone would otherwise mean a listener that is
    off, or a zone with other limits."""
    given = {entry.key for entry in entries}
    zones = settings.words("zone", SHIPPED)
    for entry in entries:
        if find(entry.key) is None:     # this is a separate complaint
            continue
        listener, _, option = entry.key.rpartition(".")
        if option == "zone" and entry.text not in zones:
            yield f"{entry.place}: {entry.key} names the zone {entry.text}, for which nothing is set"
        of_listener = listener.startswith("listener.") and listener.count(".") == 2
        if of_listener and listener not in given and settings[listener] is None:
            yield f"{entry.place}: {entry.key} is set, but {listener} is not"


def configuration_file(environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one that is named, which must exist, or else the default one if it exists."""
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read_lines(file: Path) -> list[Entry | str]:
    """The entries of the file, and complaints about lines that are no entries."""
    try:
        return list(read_file(file))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: is not UTF-8 text") from None
