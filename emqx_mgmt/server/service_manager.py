"""What the broker reports to systemd, by sd_notify(3). Started otherwise, it reports to nobody.

The master reports reloads, its successor after USR2, and the end; the worker that it serves clients, and that its loop
turns (the watchdog). So a unit needs `NotifyAccess=all`.
"""

from __future__ import annotations

import os
import socket
import time

from gevent import monkey

# Taken out of the environment: gunicorn would report that the broker is ready when no worker has started yet,
# and the processes that the broker starts have nothing to report.
VARIABLE = "NOTIFY_SOCKET"
_address = os.environ.pop(VARIABLE, "")
_watched = "WATCHDOG_USEC" in os.environ

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(*lines: str) -> None:
    """In one datagram. Nobody waits for a service manager that does not listen."""
    if not _address:
        return
    plain_socket = monkey.get_original("socket", "socket")
    name = "\0" + _address[1:] if _address.startswith("@") else _address
    with plain_socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto("\n".join(lines).encode(), name)
        except OSError:
            return


def status(text: str) -> str:
    """A line of `systemctl status`."""
    return f"STATUS={text}"


def reloading() -> tuple[str, str]:
    """The settings are read again; ends with READY."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def main_process(pid: int) -> str:
    return f"MAINPID={pid}"


def alive() -> None:
    """To be called again and again while the loop turns."""
    if _watched:
        notify(ALIVE)


def for_successor(environ: dict[str, str]) -> None:
    """Puts back, into the environment of the master that takes over, what was taken out of this one's."""
    if _address:
        environ[VARIABLE] = _address
