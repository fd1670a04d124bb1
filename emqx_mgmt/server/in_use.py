"""The lines of the start log that name the files, directories and addresses in use."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from emqx_mgmt.listeners import Listener
from emqx_mgmt.settings import Settings
from emqx_mgmt.settings.emqx_keys import shown
from emqx_mgmt.settings.load import DEFAULT_FILE

log = logging.getLogger(__name__)

PACKAGE = "emqx-mgmt"


def log_version() -> None:
    """The first line of the log."""
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:   # sources that were not installed
        version = "of no version"
    log.info("Starting: %s %s, Python %s, process %d", PACKAGE, version, platform.python_version(), os.getpid(),
             extra={"event": "starting"})


def log_in_use(settings: Settings, listeners: Sequence[Listener]) -> None:
    """Logs the files and listeners that are in use."""
    for sentence in files(settings):
        log.info(sentence)
    for listener in listeners:
        tls = f", TLS from {', '.join(map(full, listener.tls.files))}" if listener.tls else ""
        log.info(f"Listening: {listener}{tls}")
    if settings.ignored:
        log.warning("Keys of EMQ X that have no meaning here are ignored: " + ", ".join(map(shown, settings.ignored)))


def files(settings: Settings) -> Iterator[str]:
    """A sentence for each file or directory."""
    file = settings.file
    yield f"Configuration: {full(file)}" if file else f"Configuration: defaults, since there is no {full(DEFAULT_FILE)}"
    rules = settings["acl_file"]
    yield f"ACL rules: those shipped, since there is no {full(rules.path)}" if rules.is_shipped else (
        f"ACL rules: {full(rules.path)}")
    yield f"Data directory: {full(settings['node.data_dir'])}"
    etc_dir = Path(settings["plugins.etc_dir"])
    found = ", ".join(sorted(path.name for path in etc_dir.glob("*.conf"))) or "none is there"
    yield f"Settings of plugins: in {full(etc_dir)}: {found}"


def full(path: str | Path) -> str:
    """The absolute path."""
    return str(Path(path).absolute())
