"""The HTTP request that a WebSocket begins with, and the answer to it (RFC 6455, section 4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")  # what no header may have (RFC 9110, section 5.5)
AUTHORITY = re.compile(r"^https?://[^/?]*", re.IGNORECASE)  # of a target in absolute form (RFC 9112, section 3.2.2)


def answer(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("latin-1")


TOO_LARGE = answer("431 Request Header Fields Too Large")
BAD_REQUEST = answer("400 Bad Request")
FORBIDDEN = answer("403 Forbidden")
NOT_FOUND = answer("404 Not Found")
OTHER_VERSION = answer("426 Upgrade Required", "Sec-WebSocket-Version: 13")


def respond(request: bytes, path: str, origins: frozenset[str] | None) -> tuple[dict[str, str] | None, bytes]:
    """The headers of a request that opens a WebSocket, None where it does not, and what to answer. `request` is without
    the empty line at its end.

    `origins` None: a page of any origin may connect."""
    line, *rest = request.decode("latin-1").split("\r\n")
    words = line.split(" ")
    headers = read_headers(rest)
    if len(words) != 3 or words[0] != "GET" or words[2] != "HTTP/1.1" or headers is None or not one_host(headers):
        return None, BAD_REQUEST
    if AUTHORITY.sub("", words[1]).partition("?")[0] != path:
        return None, NOT_FOUND
    if "websocket" not in tokens(headers, "upgrade") or "upgrade" not in tokens(headers, "connection"):
        return None, BAD_REQUEST
    # What one takes for a body and another for frames is a way to smuggle requests past a proxy.
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return None, BAD_REQUEST
    if headers.get("sec-websocket-version") != "13":
        return None, OTHER_VERSION
    if origins is not None and headers.get("origin") not in origins:
        return None, FORBIDDEN
    key = headers.get("sec-websocket-key", "")
    offered = [token.strip() for token in headers.get("sec-websocket-protocol", "").split(",")]
    chosen = "mqtt" if "mqtt" in offered else next((token for token in offered if token.startswith("mqtt")), None)
    # [MQTT-6.0.0-4] The name selected is mqtt, before those of older clients (mqttv3.1). A client that names no
    # subprotocol at all is let in; one that names only others is not.
    if not is_key(key) or (chosen is None and offered != [""]):
        return None, BAD_REQUEST
    return headers, switching(key, chosen)


def read_headers(lines: list[str]) -> dict[str, str] | None:
    """By lower-case name, repeated ones joined; None when a line is no header."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or CONTROL.search(line):
            return None
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    return headers


def one_host(headers: dict[str, str]) -> bool:
    return "," not in headers.get("host", ",")


def tokens(headers: dict[str, str], name: str) -> list[str]:
    return [token.strip().lower() for token in headers.get(name, "").split(",")]


def is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def switching(key: str, protocol: str | None) -> bytes:
    proof = base64.b64encode(hashlib.sha1(key.encode() + MAGIC, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {proof}")
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
