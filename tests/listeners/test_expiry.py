"""Certificates that expire, and files that are none: told in the log, as alarms, as metrics, by exit codes."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from emqx_mgmt.listeners.tls import tls_options
from emqx_mgmt.listeners.validity import valid_until
from emqx_mgmt.settings import load
from router_ext.net.tls import TlsError
from tests.broker_process import BrokerProcess, free_ports, wait_until
from tests.listeners.secured import certificates

NOW = datetime.datetime.now(datetime.UTC)
EXPIRED, SOON, LATER = (NOW + datetime.timedelta(days=days) for days in (-1, 10, 20_000))


def issue(authority: trustme.CA, file: Path, until: datetime.datetime) -> str:
    issued = authority.issue_cert("localhost", not_before=until - datetime.timedelta(days=90), not_after=until)
    file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    return str(file)


def command(broker: BrokerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    program = "from emqx_mgmt.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *words], env=broker.env, timeout=60, capture_output=True,
                          text=True, check=False)


@pytest.mark.parametrize("until", [EXPIRED, SOON, LATER])
def test_the_end_of_validity_is_read_from_the_file(tmp_path, until):
    """RFC 5280, section 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050."""
    assert valid_until(issue(trustme.CA(), tmp_path / "a.pem", until)) == int(until.timestamp())


def test_what_expires_is_told_and_a_reload_takes_it_back(start_broker, tmp_path):
    authority, (tls_port, https_port) = trustme.CA(), free_ports(2)
    expired, soon = tmp_path / "expired.pem", tmp_path / "soon.pem"
    issue(authority, expired, EXPIRED)
    issue(authority, soon, SOON)
    broker = start_broker({
        "EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{tls_port}",
        "EMQX_LISTENER__SSL__EXTERNAL__CERTFILE": str(expired),
        "EMQX_MANAGEMENT__LISTENER__HTTPS": f"127.0.0.1:{https_port}",
        "EMQX_MANAGEMENT__LISTENER__HTTPS__CERTFILE": str(soon),
    })

    def alarms() -> dict[str, str]:
        return {row["id"]: row["desc"]
                for node in broker.api("GET", "alarms/present").json() for row in node["alarms"]}

    wait_until(lambda: {"certificate_expired", "certificate_expires_soon"} <= {*alarms()}, what="two alarms")
    mqtt = f"mqtt:ssl external on 127.0.0.1:{tls_port}"
    dead = f"he certificate of {mqtt}, {expired}, expired at {EXPIRED:%Y-%m-%dT%H:%M}"
    dying = f"he certificate of https:management on 127.0.0.1:{https_port}, {soon}, expires at {SOON:%Y-%m-%dT%H:%M}"
    assert f"[ERROR] T{dead}" in broker.stderr
    assert f"[WARNING] T{dying}" in broker.stderr
    assert alarms()["certificate_expired"].startswith(f"t{dead}")
    metrics = broker.http.get(f"{broker.base_url}/metrics", timeout=10).text
    shown = re.search(r'emqx_certificate_expiry_timestamp_seconds\{protocol="mqtt:ssl",.*} (\S+)', metrics)
    assert shown
    assert float(shown[1]) == int(EXPIRED.timestamp())

    expired.write_bytes(b"half written")
    refused = command(broker, "certs", "reload")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"TLS files of {mqtt} cannot be used; what was read before stays: {expired}: is")
    assert refused.stderr.count("\n") == 1
    for file in (expired, soon):
        issue(authority, file, LATER)
    assert command(broker, "certs", "reload").returncode == 0
    wait_until(lambda: not alarms(), what="the end of the alarms")
    assert broker.stop() == 0


def bad_files(directory: Path) -> dict[str, tuple[Path, Path, str]]:
    """Certificate, key, and the sentence."""
    server = Path(certificates(directory).server)
    key = serialization.load_pem_private_key(server.read_bytes(), None)
    locked, der, empty, alone = (directory / name for name in ("locked.pem", "der.pem", "empty.pem", "alone.pem"))
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.BestAvailableEncryption(b"x")))
    der.write_bytes(load_pem_x509_certificate(server.read_bytes()).public_bytes(serialization.Encoding.DER))
    empty.write_bytes(b"\n")
    alone.write_bytes(load_pem_x509_certificate(server.read_bytes()).public_bytes(serialization.Encoding.PEM))
    return {
        "empty": (empty, server, f"{empty}: is empty"),
        "der": (der, server, f"{der}: is no PEM text"),
        "encrypted": (server, locked, f"{locked}: the key is encrypted, and key_password is not set"),
        "key for certificate": (locked, server, f"{locked}: has no certificate in it"),
        "no key": (alone, alone, f"{alone}: has no private key in it"),
    }


@pytest.mark.parametrize("kind", ["empty", "der", "encrypted", "key for certificate", "no key"])
@pytest.mark.parametrize("listener", ["listener.ssl.external", "management.listener.https"])
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path, kind, listener):
    certificate, key, sentence = bad_files(tmp_path)[kind]
    prefix = "EMQX_" + listener.upper().replace(".", "__")
    settings = load({f"{prefix}__CERTFILE": str(certificate), f"{prefix}__KEYFILE": str(key)}, Path("/dev/null"))
    options = tls_options(settings, listener, tmp_path)
    with pytest.raises(TlsError, match=re.escape(sentence)):
        options.context() if listener.startswith("listener") else options.http_context()
