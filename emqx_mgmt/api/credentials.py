"""The credentials of a request: HTTP Basic (RFC 7617)."""

from __future__ import annotations

import base64

from werkzeug.datastructures import Authorization


def credentials_of(header: str) -> Authorization | None:
    """Those of an Authorization header, None where it is of another scheme or malformed.

    What is not UTF-8 is Latin-1: RFC 7617 section 2 leaves the encoding to the client, and Python's `requests` encodes
    text as Latin-1."""
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
