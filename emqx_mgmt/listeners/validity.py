"""The expiry of certificates, read from their files.

The dates are found without a library for certificates, which would take ten megabytes of each worker for them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
SEQUENCE, VERSION = 0x30, 0xA0
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18


def valid_until(certfile: str) -> float:
    """The time at which the first certificate in the file expires, in unix seconds. Raises OSError and ValueError."""
    chain = PEM.findall(Path(certfile).read_text(encoding="latin-1"))
    return min(not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in chain)


def not_after(certificate: bytes) -> float:
    """RFC 5280, section 4.1: TBSCertificate begins with version, serial number, signature, issuer and validity."""
    ((_, signed),) = list(values(certificate))
    _, inside = next(values(signed))
    fields = [(tag, value) for tag, value in values(inside) if tag != VERSION]
    tag, text = list(values(fields[3][1]))[1]
    form = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value, one after the other (X.690, section 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            more = length & 0x7F
            length, at = int.from_bytes(der[at:at + more], "big"), at + more
        yield tag, der[at:at + length]
        at += length
