"""An nginx before a broker, started by a test on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.broker_process import free_ports, wait_until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
CONFIG = """\
daemon off;
{user}
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""


@contextmanager
def nginx(directory: Path, locations: str) -> Iterator[int]:
    """The port that it listens on. `locations` are its `location` blocks."""
    assert NGINX is not None
    (port,) = free_ports(1)
    directory.mkdir()
    config = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # the directory is this user's own
    config.write_text(CONFIG.format(directory=directory, port=port, locations=locations, user=user))
    process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), 15, "nginx")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
