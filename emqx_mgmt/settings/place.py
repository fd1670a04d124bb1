"""Where the relative paths of the settings begin."""

from __future__ import annotations

from pathlib import Path

ETC = "etc"


class Place:
    """The directory of the configuration file, whether there is such a file or not: not where the broker is started.

    EMQ X writes `etc/acl.conf` and `data` into its `etc/emqx.conf`, and means the directory above. So where the file's
    directory is called etc and has no such thing, a path begins one directory above; and `etc/` at the beginning of a
    path may stand for the file's directory, however that is called.
    """

    def __init__(self, file: Path) -> None:
        self._directory = file.parent
        self._is_etc = self._directory.absolute().name == ETC

    def resolve(self, text: str) -> str:
        """The path that is meant. Empty for an empty text; what exists nowhere is where it would be looked for last."""
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
