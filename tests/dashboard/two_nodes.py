"""A cluster of two nodes, as far as the dashboard sees it: an HTTP server in front of a broker, which passes on what is
of the broker's own node, and adds what the REST shapes say of a second one. While `TwoNodes.answers` is False, that one
does not answer.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

OTHER = "other@127.0.0.2"
API = "/api/v3/"
# Answers with a member of each node, and those with rows of all.
BY_NODE = ("nodes/", "stats/", "metrics/", "listeners/", "plugins/", "alarms/present", "rates/seconds", "configs/")
PAGES = ("connections/", "sessions/", "subscriptions/", "slow_subscribers/")
RATES = ("received", "sent", "dropped", "unrouted", "received_bytes", "sent_bytes", "connects", "connections",
         "subscriptions")
CLIENT = "far-1"
SLOW_CLOCK_S = 7


class TwoNodes(ThreadingHTTPServer):
    """`done`: the requests that change something at the other node."""

    daemon_threads = True

    def __init__(self, broker_port: int, node: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.broker_port = broker_port
        self.node = node
        self.answers = True
        self.done: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TwoNodes

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        path = url.path.removeprefix(API) if url.path.startswith(API) else None
        if path is not None and unquote(path).startswith(f"nodes/{OTHER}/"):
            self.of_other(unquote(path).removeprefix(f"nodes/{OTHER}/"), parse_qs(url.query))
            return
        # The browser may close a connection while its answer comes.
        with closing(HTTPConnection("127.0.0.1", self.server.broker_port, timeout=60)) as upstream, \
                suppress(ConnectionError):
            self.pass_on(upstream, url, path)

    def pass_on(self, upstream: HTTPConnection, url: SplitResult, path: str | None) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        upstream.request(self.command, self.path, body or None, headers)
        answer = upstream.getresponse()
        if (answer.getheader("Content-Type") or "").startswith("text/event-stream"):
            self.stream(answer)
            return
        content = answer.read()
        if answer.status == 200 and url.path.endswith("/session"):
            content = self.session(json.loads(content))
        elif answer.status == 200 and self.command == "GET" and path in (*BY_NODE, *PAGES):
            content = json.dumps(self.added(path, json.loads(content), parse_qs(url.query))).encode()
        self.answer(answer.status, content, answer.getheaders())

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(self, status: int, content: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in headers or [("Content-Type", "application/json")]:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, answer: Any) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while piece := answer.read1(65_536):
            self.wfile.write(piece)

    def session(self, found: dict[str, Any]) -> bytes:
        if found.get("nodes"):
            found["nodes"] = [self.server.node, OTHER]
        return json.dumps(found).encode()

    def added(self, path: str, found: Any, query: dict[str, list[str]]) -> Any:
        if path in PAGES:
            rows = self.rows(path, query)
            return found | {"items": found["items"] + rows, "meta": found["meta"] | {
                "count": found["meta"].get("count", 0) + len(rows)}}
        if not self.server.answers:
            return [*found, {"name": OTHER, "node": OTHER, "node_status": "Stopped"} if path == "nodes/"
                    else {"node": OTHER, "error": "nodedown"}]
        other = json.loads(json.dumps(found[0]).replace(self.server.node, OTHER))
        if path == "nodes/":
            other["datetime_ts"] -= SLOW_CLOCK_S
        if path == "stats/":
            other |= {"connections/count": 1000, "sessions/count": 1000}
        if path == "alarms/present":
            other["alarms"] = [{"id": "cpu_high_watermark", "severity": "warning", "title": "CPU", "timestamp": "x",
                                "summary": "of the other", "timestamp_ts": int(time.time()) - 60}]
        return [*found, other]

    def rows(self, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Of the other node."""
        if not self.server.answers:
            return []
        of = {"client_id": CLIENT, "username": "far", "node": OTHER}
        row: dict[str, Any] = of | {
            "connections/": {
                "ipaddress": "10.0.0.2", "port": 1, "proto_name": "MQTT", "proto_ver": 5, "clean_start": True,
                "keepalive": 60, "is_bridge": False, "is_super": False, "mountpoint": "undefined", "peercert": "nossl",
                "will_topic": "undefined", "zone": "external", "connected_at_ts": int(time.time()) - 60,
                "recv_pkt": 1, "recv_msg": 1, "recv_oct": 1, "send_pkt": 1, "send_msg": 1, "send_oct": 1,
                "send_pend": 0, "mailbox_len": 0, "is_slow": False, "is_held": False},
            "sessions/": {
                "client_id": "far-away", "clean_start": False, "connected": False, "created_at_ts": int(time.time()),
                "expiry_interval": 7200, "inflight_len": 0, "max_inflight": 32, "mqueue_len": 3, "max_mqueue": 1000,
                "mqueue_bytes": 30, "mqueue_dropped": 0, "awaiting_rel_len": 0, "max_awaiting_rel": 100,
                "subscriptions_count": 1, "max_subscriptions": 0, "deliver_msg": 0, "enqueue_msg": 3,
                "publishers_waiting": 0, "send_pend": 0, "is_slow": False},
            "subscriptions/": {"topic": "far/#", "qos": 1, "group": "undefined"},
            "slow_subscribers/": {"highest_ms": 900, "waits_ms": 900, "topic": "far/1", "in_flight": 1, "queued": 2,
                                  "waiting_bytes": 3, "at_ts": int(time.time())},
        }[path]
        return [row] if all(row.get(name) in values for name, values in query.items() if name in row) else []

    def of_other(self, path: str, query: dict[str, list[str]]) -> None:
        if not self.server.answers:
            self.answer(500, b'{"message": "nodedown"}')
        elif self.command != "GET":
            self.server.done.append((self.command, path))
            self.answer(200, b'{"code": 0}')
        elif path in PAGES:
            self.answer(200, page_of(self.rows(path, query)))
        elif path.startswith("rates/"):
            now = int(time.time())
            samples = [dict.fromkeys(RATES, 7) | {"ts": now - ago} for ago in range(30, 0, -1)]
            self.answer(200, json.dumps(samples).encode())
        elif path == "sessions/far-away/messages/":
            row = {"topic": "far/1", "qos": 1, "retain": False, "payload_size": 7, "published_at_ts": int(time.time()),
                   "expires_in": "undefined"}
            self.answer(200, page_of([row]))
        else:
            self.answer(404, b'{"message": "Not found."}')


def page_of(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"items": rows, "meta": {"page": 1, "limit": 100, "count": len(rows)}}).encode()


@contextmanager
def two_nodes(broker_port: int, node: str) -> Iterator[TwoNodes]:
    server = TwoNodes(broker_port, node)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
