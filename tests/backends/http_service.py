"""An HTTP service in the process of the tests: it answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class HttpService:
    """`answers` has, by path, a status, a body, a content type and perhaps a Cache-Control, or a function of the
    request's parameters that gives them; any other path is 404. `requests` are (method, path, parameters, headers by
    their names in small letters)."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Any] = {}
        self.requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = []
        self.delay = 0.0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.answer(self, urlsplit(self.path).query)

            def do_POST(self) -> None:
                service.answer(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that did not wait for its answer."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, text: str) -> None:
        handler.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path, params = urlsplit(handler.path).path, dict(parse_qsl(text, keep_blank_values=True))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.command, path, params, headers))
        time.sleep(self.delay)
        found = self.answers.get(path, (404, b"", "text/plain"))
        status, body, kind, *control = found(params) if callable(found) else found
        handler.send_response(status)
        for directives in control:
            handler.send_header("Cache-Control", directives)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
