"""An HTTP service of users, in a process of its own so that it can be stopped.

    python -m tests.backends.http_users <port> <file of users> [certificate and key]

It lets in who has the right password, by the file as it is at the time, and knows super users; it has no rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from tests.backends.server import Server
from tests.broker_process import CHECKOUT, free_ports


class HttpUsers(Server):
    name = "a service of users"
    plugin = "emqx_auth_http"
    prefix = "auth.http"
    user, user_group = "root", "root"
    has_rules = False
    has_credentials = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.certify()
        pair = (directory / name for name in ("key.pem", "cert.pem"))
        (directory / "both.pem").write_bytes(b"".join(file.read_bytes() for file in pair))
        self.users: dict[str, dict[str, object]] = {}
        self.tls_port = free_ports(1)[0]

    def command(self) -> list[str]:
        self._write()
        return [sys.executable, "-m", "tests.backends.http_users", str(self.port), str(self.tls_port),
                str(self.directory / "users.json"), str(self.directory / "both.pem")]

    @property
    def start_in(self) -> Path:
        return CHECKOUT

    def settings(self) -> dict[str, str]:
        return self._settings(f"http://127.0.0.1:{self.port}")

    def _settings(self, base: str) -> dict[str, str]:
        return {"auth_req": f"{base}/auth", "super_req": f"{base}/super", "acl_req": ""}

    def secure_settings(self, authority: Path) -> dict[str, str]:
        return self._settings(f"https://127.0.0.1:{self.tls_port}") | {"ssl.cafile": str(authority)}

    def set_up(self) -> None:
        """It has no tables."""

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        """`password` is its SHA-256, in hex."""
        self.users[username] = {"password": password, "is_super": is_super}
        self._write()

    def _write(self) -> None:
        new = self.directory / "users.new"
        new.write_text(json.dumps(self.users))
        new.replace(self.directory / "users.json")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file: Path

    def do_GET(self) -> None:
        self._answer(404)   # the broker asks whether anybody is there

    def do_POST(self) -> None:
        asked = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode(), keep_blank_values=True))
        user = json.loads(self.file.read_text()).get(asked["username"])
        if user is None:
            self._answer(200, b"ignore")
        elif self.path == "/super":
            self._answer(200 if user["is_super"] else 403)
        else:
            digest = hashlib.sha256(asked["password"].encode("utf-8", "surrogateescape")).hexdigest()
            self._answer(200 if digest == user["password"] else 401)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.tls = tls

    def get_request(self) -> tuple[socket.socket, object]:
        sock, address = super().get_request()
        if self.tls is not None:
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, *_: object) -> None:
        """A client that did not wait, or does not trust."""


if __name__ == "__main__":
    import threading

    Handler.file = Path(sys.argv[3])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[4])
    threading.Thread(target=Service(int(sys.argv[2]), context).serve_forever, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        Service(int(sys.argv[1])).serve_forever()
