"""Servers of other programs that tests start for themselves, on ports of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
import trustme

from tests.broker_process import free_ports, wait_until


class Server:
    """`command()` starts it in the foreground; it is up once its port takes connections and `is_up` agrees.

    Most of these refuse to run as root: `user` owns `directory` and the process then."""

    name = "server"
    password = ""   # of the broker at this server
    plugin = ""     # the one that asks it
    prefix = ""     # of that plugin's settings
    user = "nobody"
    # What the back-end, or its plugin, has.
    has_rules = True            # about topics
    has_supers = True
    has_credentials = True      # of the broker's own
    has_hashes = True           # in a column, as `password_hash` says
    denies = True               # rules that deny, and conditions
    denies_unlisted = False     # who has rules, and none of them about the topic
    rules_come_with_user = False
    asks_by_name = False        # alone: clients of one name share an answer
    secret = "password"         # the setting

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        return True

    def certify(self) -> Path:
        """Gives the server a certificate for 127.0.0.1; returns the file of its authority."""
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(str(self.directory / "key.pem"))
        (self.directory / "key.pem").chmod(0o600)
        certificate.cert_chain_pems[0].write_to_path(str(self.directory / "cert.pem"))
        authority.cert_pem.write_to_path(str(self.directory / "ca.pem"))
        return self.directory / "ca.pem"

    def secure_settings(self, authority: Path) -> dict[str, str]:
        """`settings` for TLS, with the certificate's authority."""
        return self.settings() | {"ssl": "on", "ssl.cafile": str(authority)}

    def settings(self) -> dict[str, str]:
        """Of the plugin, below `prefix`."""
        return {"server": f"127.0.0.1:{self.port}", "username": "broker", "password": self.password}

    @property
    def env(self) -> dict[str, str]:
        """The same as variables of a broker's environment."""
        return {f"EMQX_{self.prefix}.{key}".upper().replace(".", "__"): value for key, value in self.settings().items()}

    def run(self, *command: str, **named: object) -> str:
        """As the server's user; returns what it prints."""
        done = subprocess.run(self.as_user(*command), cwd=self.directory, capture_output=True, text=True, timeout=60,
                              **named)  # type: ignore[call-overload]
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def as_user(self, *command: str) -> list[str]:
        if os.getuid() != 0:
            return list(command)
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user_group}", "--clear-groups", *command]

    user_group = "nogroup"

    def own(self) -> None:
        """Gives the directory to the server's user."""
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{self.user}:{self.user_group}", str(self.directory)], check=True)

    @property
    def start_in(self) -> Path:
        return self.directory

    def set_up(self) -> None:
        """Makes tables without rows."""
        raise NotImplementedError

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        """In place of one of that name; `password` as it is stored."""
        raise NotImplementedError

    def end_connections(self) -> None:
        """Those of the broker, as an administrator would where there is a way; else the server's end does."""
        self.kill()
        self.start()

    def start(self) -> None:
        self.own()
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.as_user(*self.command()), cwd=self.start_in, stdout=log, stderr=log,
                                            start_new_session=True)
        wait_until(self._answers, 30, f"{self.name} on port {self.port}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {(self.directory / 'log').read_text()[-2000:]}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return self.is_up()
        return False

    def signal(self, number: int) -> None:
        """To the server and all its processes."""
        assert self.process is not None
        for one in [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    @contextlib.contextmanager
    def paused(self):
        """Takes connections, since the kernel does, and answers nothing."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


def needs(*programs: str) -> None:
    """Skips where a program is missing, except where all of them have to be there."""
    missing = [program for program in programs if not Path(program).exists()]
    if missing and os.environ.get("BACKEND_TESTS") == "required":
        pytest.fail(f"{', '.join(missing)} not installed")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


