"""The directory in which relative paths of the settings begin."""

from __future__ import annotations

from pathlib import Path

ETC = "etc"


class Place:
    """The directory of the configuration file, whether the file exists or not. It is not the directory where the broker
    is started.

    EMQ X's `etc/emqx.conf` has paths like `etc/acl.conf` and `data`, which begin at the parent directory. So where the
    file's directory is called etc and does not contain the path, the path begins at the parent directory. `etc/` at the
    beginning of a path may stand for the file's directory, whatever its name is.
    """

    def __init__(self, file: Path) -> None:
        self._directory = file.parent
        self._is_etc = self._directory.absolute().name == ETC

    def resolve(self, text: str) -> str:
        """The resolved path; empty for an empty text. A path that exists nowhere resolves to the last place that is
        tried."""
        path = Path(text)
        if not text or path.is_absolute():
            return text
        meant = [self._directory / path]
        if path.parts[0] == ETC:
            meant.append(self._directory.joinpath(*path.parts[1:]))
        if self._is_etc:
            meant.append(self._directory.parent / path)
        found = next((candidate for candidate in meant if candidate.exists()), None)
        return str(found or (meant[-1] if self._is_etc else meant[0]))
