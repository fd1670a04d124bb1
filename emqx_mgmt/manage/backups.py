"""Backups over REST, made and read by a process of their own, so that the event loop does not wait."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import IO

from gevent import subprocess

from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.storage import DataDirError
from emqx_mgmt.storage.backup import copy_with_room
from emqx_mgmt.storage.data_dir import holder
from emqx_mgmt.storage.processes import command, environment


class Backups:
    """Backups of this node's data directory, one at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._busy = False

    def make(self) -> IO[bytes]:
        """A backup of this moment, in a file without a name. Raises RequestRefused."""
        file = tempfile.TemporaryFile(dir=self._data_dir)  # noqa: SIM115 -- closed once it is sent
        try:
            self._run("export", stdout=file)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def restore(self, upload: IO[bytes]) -> None:
        """Checks a backup, and has the next worker start with it; this worker ends. Raises RequestRefused."""
        try:
            with tempfile.TemporaryFile(dir=self._data_dir) as file:
                copy_with_room(upload, file, self._data_dir)
                file.seek(0)
                self._run("stage", stdin=file)
        except OSError as error:
            raise RequestRefused(f"the backup cannot be kept: {error.strerror}") from None
        except DataDirError as error:
            raise RequestRefused(f"the backup cannot be kept: {error}") from None
        os.kill(holder(self._data_dir), signal.SIGHUP)

    def _run(self, verb: str, **files: IO[bytes]) -> None:
        if self._busy:
            raise RequestRefused("another backup is being made or read")
        self._busy = True
        try:
            done = subprocess.run(command("emqx_mgmt.storage.backup", verb, str(self._data_dir)), env=environment(),
                                  stderr=subprocess.PIPE, check=False, **files)
        finally:
            self._busy = False
        if done.returncode:
            raise RequestRefused(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
