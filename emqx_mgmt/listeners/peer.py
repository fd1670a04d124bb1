"""The client's certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router_ext.engine.channel import Channel


def identify(channel: Channel, username_from: str) -> str | None:
    """Notes the subject of the client's certificate on the channel. Returns the user name that the listener takes from
    it; None where it takes none or there is no certificate."""
    der = channel.peer_certificate()
    if der is None:
        return None
    # Imported here, so that only listeners that request certificates load it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = x509.load_der_x509_certificate(der)
    channel.peercert = certificate.subject.rfc4514_string()
    if username_from == "cn":
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else None
    if username_from == "dn":
        return str(channel.peercert)
    if username_from == "crt":
        return certificate.public_bytes(Encoding.PEM).decode()
    return None


def common_name(subject: str) -> str:
    """The common name of a subject; "" where it has none."""
    from cryptography import x509

    names = x509.Name.from_rfc4514_string(subject).get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
