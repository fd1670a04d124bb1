"""Every setting in effect, with the origin of its value."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.load import Settings
from emqx_mgmt.settings.table import SHIPPED, TABLE

MASK = "******"
# Words of listeners and zones that exist without being set. Other words exist only where they are set.
LISTENERS, ZONES = "$name", "$zone"


class Setting(Struct):
    """`value` as it is written, masked where it is secret; `origin`: file and line, a variable, `REST`, `default`, or
    the key whose value this one takes with that one's origin."""

    key: str
    value: str
    origin: str


def in_effect(settings: Settings) -> list[Setting]:
    """All settings in effect, in the order of the table."""
    return [
        Setting(name, MASK if key.secret and settings.written(name) else settings.written(name), settings.origin(name))
        for key in TABLE for name in names(settings, key)
    ]


def names(settings: Settings, key: Key) -> Iterator[str]:
    """The concrete keys of a row."""
    known = [""]
    for part in key.name.split("."):
        known = [f"{prefix}.{word}".lstrip(".") for prefix in known for word in words(settings, prefix, part)]
    yield from known


def words(settings: Settings, prefix: str, part: str) -> list[str]:
    if not part.startswith("$"):
        return [part]
    shipped = SHIPPED if part == ZONES or prefix == "listener.tcp" else SHIPPED[:1] if part == LISTENERS else ()
    return settings.words(prefix, shipped)
