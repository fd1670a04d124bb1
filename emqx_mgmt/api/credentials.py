"""The credentials of a request: HTTP Basic (RFC 7617)."""

from __future__ import annotations

import base64

from werkzeug.datastructures import Authorization


def credentials_of(header: str) -> Authorization | None:
    """The credentials of an Authorization header; None where the header has another scheme or is malformed.

    Bytes that are not UTF-8 are decoded as Latin-1: RFC 7617 section 2 leaves the encoding to the client, and Python's
    `requests` uses Latin-1.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        given = base64.b64decode(encoded)
    except ValueError:
        return None
    try:
        text = given.decode()
    except UnicodeDecodeError:
        text = given.decode("latin-1")
    name, colon, password = text.partition(":")
    return Authorization("basic", {"username": name, "password": password}) if colon else None
