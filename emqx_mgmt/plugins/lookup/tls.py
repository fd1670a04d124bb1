"""TLS to a back-end: the certificate authority to trust, and the certificate to show."""

from __future__ import annotations

import ssl

from emqx_mgmt.plugins.config import Config
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, STRING


def tls_settings(prefix: str) -> tuple[Key, ...]:
    return (
        Key(f"{prefix}.cafile", STRING, "", "Who signed the back-end's certificate, in PEM; empty: the system's own."),
        Key(f"{prefix}.cacertfile", STRING, "", "The same, as later versions of EMQ X name it."),
        Key(f"{prefix}.certfile", STRING, "", "The certificate to show, in PEM; empty: none."),
        Key(f"{prefix}.keyfile", STRING, "", "Its key, in PEM."),
        Key(f"{prefix}.verify", FLAG, "on", "Refuse a back-end whose certificate is not good for its name."),
    )


def authority(settings: Config, prefix: str) -> str:
    """The file of those who may have signed the back-end's certificate; empty: the system's own."""
    file: str = settings[f"{prefix}.cafile"] or settings[f"{prefix}.cacertfile"]
    return file


def client_context(settings: Config, prefix: str) -> ssl.SSLContext:
    """One context for all connections. Raises ValueError, as a sentence, for files that cannot be used."""
    signer = authority(settings, prefix)
    try:
        context = ssl.create_default_context(cafile=signer or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{prefix}.cafile ({signer}) cannot be used: {error}") from None
    if not settings[f"{prefix}.verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings[f"{prefix}.certfile"]:
        try:
            context.load_cert_chain(settings[f"{prefix}.certfile"], settings[f"{prefix}.keyfile"] or None)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{prefix}.certfile and .keyfile cannot be used: {error}") from None
    return context
