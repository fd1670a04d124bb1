"""The development certificate, which the first start makes."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

LIFETIME = datetime.timedelta(days=825)


def development_directory(data_dir: Path) -> Path:
    """Where the certificate that is made at the first start lies."""
    return data_dir / "certs"


def make_certificate(directory: Path, node_host: str) -> bool:
    """Writes `cert.pem` and `key.pem`, readable by their owner only, unless both exist; True when it did. The
    certificate is self-signed, for this machine's names: clients have to be told to trust it. Raises OSError."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    if all(path.exists() and path.stat().st_size for path in (certificate, key)):
        return False
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_pem, certificate_pem = self_signed(["localhost", socket.gethostname(), "127.0.0.1", "::1", node_host])
    write_private(key, key_pem)
    write_private(certificate, certificate_pem)
    return True


def write_private(path: Path, content: bytes) -> None:
    """Writes the file atomically, since half a certificate on a full disk would prevent the next start."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    os.replace(new, path)


def self_signed(names: list[str]) -> tuple[bytes, bytes]:
    """Key and certificate in PEM."""
    # Imported here: needed once in the life of an installation, and ten megabytes.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def alternative(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "emqx-mgmt development certificate")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([*map(alternative, dict.fromkeys(names))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)
