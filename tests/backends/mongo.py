"""A small peer of MongoDB's wire protocol (OP_MSG): it finds documents by equality, alone or as a member of a set."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
import time
from typing import Any

import bson

HEAD = struct.Struct("<iiii")
OP_MSG, OP_QUERY, OP_REPLY = 2013, 2004, 1


class MongoPeer:
    """`collections` are documents by collection; `commands` what it was asked. `delay` is seconds before each answer to
    a `find`, `fault` an error that it gets instead."""

    def __init__(self, port: int = 0) -> None:
        self.collections: dict[str, list[dict[str, Any]]] = {}
        self.commands: list[dict[str, Any]] = []
        self.delay = 0.0
        self.fault: dict[str, Any] | None = None
        self.set_name, self.hosts, self.primary = "", [], ""
        peer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                peer.connections.add(self.request)
                with contextlib.suppress(OSError, struct.error):
                    while peer.serve(self.request):
                        pass
                peer.connections.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self.connections: set[Any] = set()
        self.server = Server(("127.0.0.1", port), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(2)

    def serve(self, sock: Any) -> bool:
        head = read(sock, HEAD.size)
        if not head:
            return False
        length, request, _, code = HEAD.unpack(head)
        body = read(sock, length - HEAD.size)
        if code == OP_QUERY:  # the first hello of a driver
            answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self.hello())
            sock.sendall(HEAD.pack(HEAD.size + len(answer), 0, request, OP_REPLY) + answer)
            return True
        assert code == OP_MSG
        (size,) = struct.unpack_from("<i", body, 5)
        answer = struct.pack("<iB", 0, 0) + bson.encode(self.answer(bson.decode(body[5:5 + size])))
        sock.sendall(HEAD.pack(HEAD.size + len(answer), 0, request, OP_MSG) + answer)
        return True

    def hello(self) -> dict[str, Any]:
        me = f"127.0.0.1:{self.port}"
        known: dict[str, Any] = {"isWritablePrimary": True, "ismaster": True}
        if self.set_name:
            first = self.primary == me
            known = {"setName": self.set_name, "hosts": self.hosts, "me": me, "primary": self.primary, "setVersion": 1,
                     "isWritablePrimary": first, "ismaster": first, "secondary": not first}
        return known | {"ok": 1.0, "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000,
                        "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(command))
        if name in ("hello", "ismaster", "isMaster"):
            return self.hello()
        if name != "find":
            return {"ok": 1.0}
        self.commands.append(command)
        time.sleep(self.delay)
        if self.fault is not None:
            return self.fault
        found = [document for document in self.collections.get(command["find"], [])
                 if matches(document, command.get("filter", {}))]
        return {"ok": 1.0, "cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}


def matches(document: dict[str, Any], condition: dict[str, Any]) -> bool:
    """Equality, `$eq` and `$or`. Anything else is more than a selector may have become."""
    for field, wanted in condition.items():
        if field == "$or":
            if not any(matches(document, one) for one in wanted):
                return False
            continue
        assert not field.startswith("$"), condition
        if isinstance(wanted, dict):
            assert list(wanted) == ["$eq"], condition
            wanted = wanted["$eq"]
        assert isinstance(wanted, str), condition
        if document.get(field) != wanted:
            return False
    return True


def read(sock: Any, n: int) -> bytes:
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            return b""
        data += piece
    return data
