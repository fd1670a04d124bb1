"""TLS of a listener: its files and options, and whether the files have changed."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emqx_mgmt.listeners.validity import valid_until
from emqx_mgmt.settings import Settings
from emqx_mgmt.settings.regular_file import open_regular
from router_ext.net.tls import TICKET_KEYS, TlsContext, TlsError

PYTHON_VERSIONS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
# OpenSSL's without those that a key stolen later opens, without finite fields (slow for the server), and without SHA-1.
CIPHERS = "DEFAULT:!kRSA:!kDHE:!kRSAPSK:!kDHEPSK:!SHA1"
# Python can choose one, and by default there are finite fields that cost the server 140 ms a handshake.
HTTPS_GROUP = "prime256v1"
HANDSHAKE, KEY_UPDATE = 22, 24  # RFC 8446, 5.1 and 4
Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(slots=True)
class TlsOptions:
    """All options. `certfile` None: no certificate, only pre-shared keys. `ticket_keys` accept the tickets of sessions
    from before a renewal or HUP, but not where clients show certificates: one that was revoked since would be let in by
    its ticket."""

    certfile: str | None
    keyfile: str | None
    password: bytes | None = field(repr=False)
    cafile: str | None
    verify: bool
    require: bool
    versions: tuple[str, ...]
    ciphers: str
    ciphersuites: str = ""
    crlfile: str | None = None
    psk_file: str | None = None
    server_preference: bool = True
    tickets: bool = True
    peer_cert_as_username: str = "off"
    ticket_keys: bytes = field(default_factory=lambda: os.urandom(TICKET_KEYS), repr=False)
    valid_until: float | None = None  # the certificate that is in use; unix seconds

    @property
    def files(self) -> list[str]:
        """The paths of all files that it reads."""
        return [path for path in (self.certfile, self.keyfile, self.cafile, self.crlfile, self.psk_file) if path]

    def stamp(self) -> Stamp:
        """Changes when one of the files does."""
        return tuple(map(stamp_of, self.files))

    def check_files(self) -> None:
        """Raises TlsError for the first file that cannot be used, with a better reason than OpenSSL's."""
        for path in self.files:
            content = read(path)
            if path == self.psk_file:
                continue
            if not content.strip():
                raise TlsError(f"{path}: is empty")
            if b"-----BEGIN " not in content:
                raise TlsError(f"{path}: is no PEM text (openssl x509 -inform der, or openssl pkey -inform der, helps)")
            if path == self.keyfile and b"ENCRYPTED" in content and self.password is None:
                raise TlsError(f"{path}: the key is encrypted, and key_password is not set")
        if self.certfile and b"-----BEGIN CERTIFICATE" not in read(self.certfile):
            raise TlsError(f"{self.certfile}: has no certificate in it")
        if self.keyfile and b"PRIVATE KEY-----" not in read(self.keyfile):
            raise TlsError(f"{self.keyfile}: has no private key in it")

    def context(self) -> TlsContext:
        """The context for MQTT. Raises TlsError and OSError."""
        self.check_files()
        context = self._context()
        self._note_validity()
        return context

    def _note_validity(self) -> None:
        if self.certfile:
            self.valid_until = valid_until(self.certfile)

    def _context(self) -> TlsContext:
        return TlsContext(
            certfile=self.certfile,
            keyfile=self.keyfile,
            password=self.password,
            cafile=self.cafile,
            crlfile=self.crlfile,
            verify=self.verify,
            require=self.require,
            versions=self.versions,
            ciphers=self.ciphers or CIPHERS,
            ciphersuites=self.ciphersuites,
            server_preference=self.server_preference,
            tickets=self.tickets,
            ticket_keys=None if self.verify else self.ticket_keys,
            psk=read_psk(self.psk_file) if self.psk_file else None,
        )

    def http_context(self) -> ssl.SSLContext:
        """The context for HTTPS, of Python's ssl module. The MQTT one is made first, since its errors say more."""
        self.check_files()
        self._context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        versions = sorted(PYTHON_VERSIONS[version] for version in self.versions)
        context.minimum_version, context.maximum_version = versions[0], versions[-1]
        context.set_ecdh_curve(HTTPS_GROUP)
        if self.ciphers:
            context.set_ciphers(self.ciphers)
        if self.cafile:
            context.load_verify_locations(self.cafile)
        if self.verify:
            context.verify_mode = ssl.CERT_REQUIRED if self.require else ssl.CERT_OPTIONAL
        assert self.certfile is not None
        context.load_cert_chain(self.certfile, self.keyfile, self.password or b"")
        context._msg_callback = hang_up_on_new_keys  # type: ignore[attr-defined]
        self._note_validity()
        return context


def hang_up_on_new_keys(conn: Any, direction: str, version: int, content: int, kind: int | None, data: bytes) -> None:
    """TLS 1.3 lets a client change keys without end, and OpenSSL reads on meanwhile, which blocks the event loop. HTTP
    requests need no change of keys, so the connection is closed."""
    if direction == "read" and (content, kind) == (HANDSHAKE, KEY_UPDATE):
        with suppress(OSError):  # reset by the client already
            conn._sock.shutdown(socket.SHUT_RDWR)


def read(path: str) -> bytes:
    """The content of a regular file. Raises TlsError."""
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None


def stamp_of(path: str) -> tuple[int, int, int] | None:
    """Changes whenever the file does; None when it cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def read_psk(path: str) -> dict[bytes, bytes]:
    """Keys by identity. Raises ValueError with the number of the line, never its content."""
    keys = {}
    with open_regular(path) as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(b"#"):
            identity, colon, key = line.strip().rpartition(b":")
            try:
                keys[identity] = bytes.fromhex(key.decode("ascii"))
            except ValueError:
                colon = b""
            if not colon or not identity:
                raise TlsError(f"{path}:{number}: expected identity:key, the key in hexadecimal")
    return keys


def tls_options(settings: Settings, prefix: str, development: Path) -> TlsOptions:
    """The options of the settings below `prefix`; `development` is the directory of the development certificate."""
    certfile: str = settings[f"{prefix}.certfile"]
    password: str = settings[f"{prefix}.key_password"]
    options = TlsOptions(
        certfile=certfile or str(development / "cert.pem"),
        keyfile=settings[f"{prefix}.keyfile"] or certfile or str(development / "key.pem"),
        password=password.encode() or None,
        cafile=settings[f"{prefix}.cacertfile"] or None,
        verify=settings[f"{prefix}.verify"] == "verify_peer",
        require=settings[f"{prefix}.fail_if_no_peer_cert"],
        versions=settings[f"{prefix}.tls_versions"],
        ciphers=settings[f"{prefix}.ciphers"],
    )
    if prefix.startswith("listener."):
        options.ciphersuites = settings[f"{prefix}.ciphersuites"]
        options.crlfile = settings[f"{prefix}.crlfile"] or None
        options.psk_file = settings[f"{prefix}.psk_file"] or None
        options.server_preference = settings[f"{prefix}.honor_cipher_order"]
        options.tickets = settings[f"{prefix}.reuse_sessions"]
        options.peer_cert_as_username = settings[f"{prefix}.peer_cert_as_username"]
        if options.psk_file and not certfile:
            options.certfile = options.keyfile = None
    return options
