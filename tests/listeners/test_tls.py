"""TLS as it is configured: versions, ciphers, client certificates, revoked ones, tickets, pre-shared keys, renewal."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.broker_process import BrokerProcess, free_ports, wait_until
from tests.listeners.secured import (
    CONNECT,
    CONNECT_OK,
    PINGREQ,
    PINGRESP,
    Certificates,
    certificates,
    issue,
)

PASSWORD = "the key's own password"
SUITE, CIPHER = "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
# One broker, a listener for each way to configure it.
LISTENERS: dict[str, dict[str, str]] = {
    "plain": {},
    "old": {"TLS_VERSIONS": "tlsv1.2", "CIPHERS": CIPHER},
    "suite": {"TLS_VERSIONS": "tlsv1.3", "CIPHERSUITES": SUITE},
    "strict": {"VERIFY": "verify_peer", "FAIL_IF_NO_PEER_CERT": "true", "CACERTFILE": "{ca}", "CRLFILE": "{crl}",
               "PEER_CERT_AS_USERNAME": "dn"},
    "crt": {"VERIFY": "verify_peer", "CACERTFILE": "{ca}", "PEER_CERT_AS_USERNAME": "crt"},
    "locked": {"KEYFILE": "{locked}", "KEY_PASSWORD_FILE": "{password}"},
    "forgetful": {"REUSE_SESSIONS": "off"},
    "psk": {"CERTFILE": "", "PSK_FILE": "{psk}"},
    "rate": {"MAX_CONN_RATE": "10"},
}


class Configured:
    """The broker, its ports by the listener's name, and the files it reads."""

    def __init__(self, directory: Path) -> None:
        self.made: Certificates = certificates(directory)
        self.directory = directory
        self.revoked = issue(self.made, "stolen", "stolen.pem")
        self.late = issue(self.made, "late", "late.pem")
        self.write_crl([self.revoked])
        (directory / "psk").write_text("# devices\nsensor:c0ffee00c0ffee00\n")
        key = serialization.load_pem_private_key(Path(self.made.server).read_bytes(), None)
        secret = serialization.BestAvailableEncryption(PASSWORD.encode())
        (directory / "locked.pem").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
        (directory / "password").write_text(PASSWORD + "\n")
        # Not the server's own file, which tests of renewal replace.
        (directory / "chain.pem").write_bytes(Path(self.made.server).read_bytes())
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.broker = BrokerProcess(directory, self.environment())

    def environment(self) -> dict[str, str]:
        files = {"ca": self.made.ca, "crl": self.directory / "crl.pem", "locked": self.directory / "locked.pem",
                 "password": self.directory / "password", "psk": self.directory / "psk"}
        env = {"EMQX_LOG__BURST_LIMIT": ""}  # tests count the lines of a reload
        for name, options in LISTENERS.items():
            prefix = f"EMQX_LISTENER__SSL__{name.upper()}"
            env[prefix] = f"127.0.0.1:{self.ports[name]}"
            certfile = self.directory / "chain.pem" if name == "locked" else self.made.server
            for key, value in {"CERTFILE": str(certfile), **options}.items():
                env[f"{prefix}__{key}"] = value.format(**files)
        return env

    def write_crl(self, revoked: list[x509.Certificate]) -> None:
        authority = x509.load_pem_x509_certificate(self.made.authority.cert_pem.bytes())
        key: Any = serialization.load_pem_private_key(self.made.authority.private_key_pem.bytes(), None)
        now = datetime.datetime.now(datetime.UTC)
        crl = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
        crl = crl.last_update(now - datetime.timedelta(days=1)).next_update(now + datetime.timedelta(days=1))
        for certificate in revoked:
            crl = crl.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now).build())
        signed = crl.sign(key, hashes.SHA256())
        (self.directory / "crl.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def context(self, client: str | None = None) -> ssl.SSLContext:
        context = self.made.context()
        if client is not None:
            context.load_cert_chain(self.directory / f"{client}.pem")
        return context

    def open(self, name: str, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None,
             ) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", self.ports[name]), timeout=20)
        return (context or self.context()).wrap_socket(sock, server_hostname="localhost", session=session)

    def admits(self, name: str, context: ssl.SSLContext) -> bool:
        """Whether a client gets as far as CONNACK."""
        try:
            with self.open(name, context) as sock:
                sock.sendall(CONNECT)
                return sock.recv(4) == CONNECT_OK
        except OSError:
            return False

    def ended(self, name: str, reason: str) -> int:
        (node,) = self.broker.api("GET", "/listeners/").json()
        row = next(row for row in node["listeners"] if row["listen_on"].endswith(f":{self.ports[name]}"))
        return dict(row["shutdown_count"] or {}).get(reason, 0)

    def reload(self) -> None:
        """Returns when all files have been read again."""
        before = self.broker.stderr.count("TLS files were read again")
        self.broker.signal(signal.SIGUSR1)
        wait_until(lambda: self.broker.stderr.count("TLS files were read again") >= before + len(LISTENERS), 20)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    configured = Configured(tmp_path_factory.mktemp("tls"))
    configured.broker.start()
    yield configured
    assert configured.broker.stop() == 0
    assert "Traceback" not in configured.broker.stderr
    assert PASSWORD not in configured.broker.stderr
    assert "c0ffee" not in configured.broker.stderr


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


def test_versions_and_ciphers(tls):
    with tls.open("plain") as sock:
        assert sock.version() == "TLSv1.3"
    with tls.open("old") as sock:
        assert (sock.version(), sock.cipher()[0]) == ("TLSv1.2", CIPHER)
    with tls.open("suite") as sock:
        assert (sock.version(), sock.cipher()[0]) == ("TLSv1.3", SUITE)
    before = tls.ended("plain", "handshake_failed")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        assert not tls.admits("plain", only(ssl.TLSVersion.TLSv1_1, tls.context()))
    assert not tls.admits("old", only(ssl.TLSVersion.TLSv1_3, tls.context()))
    assert not tls.admits("suite", only(ssl.TLSVersion.TLSv1_2, tls.context()))
    wait_until(lambda: tls.ended("plain", "handshake_failed") == before + 1)


def test_ciphers_without_forward_secrecy_or_with_sha1_are_to_be_asked_for(start_broker, tmp_path):
    (port,) = free_ports(1)
    server = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("localhost", key_type=trustme.KeyType.RSA)
    server.private_key_and_cert_chain_pem.write_to_path(tmp_path / "rsa.pem")
    start_broker({"EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}",
                  "EMQX_LISTENER__SSL__EXTERNAL__CERTFILE": str(tmp_path / "rsa.pem")})

    def agreed(ciphers: str) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        with (
            contextlib.suppress(ssl.SSLError),
            socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
            context.wrap_socket(sock) as secured,
        ):
            return secured.cipher()[0]
        return None

    assert agreed("AES256-GCM-SHA384") is None
    assert agreed("DHE-RSA-AES256-GCM-SHA384") is None
    assert agreed("ECDHE-RSA-AES256-SHA") is None
    assert agreed("ECDHE-RSA-AES128-GCM-SHA256") == "ECDHE-RSA-AES128-GCM-SHA256"


def test_client_certificates(tls):
    assert not tls.admits("strict", tls.context())
    assert not tls.admits("strict", tls.context("stolen"))
    wait_until(lambda: tls.ended("strict", "handshake_failed") == 2)
    with tls.open("strict", tls.context("client")) as sock:
        sock.sendall(CONNECT)
        assert sock.recv(4) == CONNECT_OK
        (row,) = tls.broker.api("GET", "/connections/test").json()
        assert row["username"] == row["peercert"]
        assert "CN=device-7" in row["peercert"]


def test_more_connections_than_keep_their_buffers_take_turns(tls):
    """Thirty-two keep OpenSSL's buffers from one message to the next; those of the others come and go."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(tls.open("plain")) for _ in range(40)]
        for number, sock in enumerate(socks):
            sock.sendall(CONNECT.replace(b"test", b"t%03d" % number))
            assert read(sock, 4) == CONNECT_OK
        for _ in range(3):
            for sock in socks:
                sock.sendall(PINGREQ)
            for sock in socks:
                assert read(sock, 2) == PINGRESP


def mosquitto_pub(tls: Configured, *options: str) -> int:
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(tls.ports["strict"]), "--cafile", tls.made.ca,
               "-t", "from/mosquitto", "-m", "hello", "-q", "1", *options]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode


def test_mosquitto_with_a_client_certificate_and_a_revoked_one(tls):
    before = tls.ended("strict", "handshake_failed")
    client, stolen = str(tls.directory / "client.pem"), str(tls.directory / "stolen.pem")
    with tls.open("plain") as reader:
        reader.sendall(CONNECT + b"\x82\x13\0\1\0\x0efrom/mosquitto\0")
        assert read(reader, 9) == CONNECT_OK + b"\x90\x03\0\1\0"
        assert mosquitto_pub(tls, "--cert", client, "--key", client) == 0
        assert read(reader, 23) == b"\x30\x15\0\x0efrom/mosquittohello"
        assert mosquitto_pub(tls, "--cert", stolen, "--key", stolen) != 0
        assert mosquitto_pub(tls) != 0
        wait_until(lambda: tls.ended("strict", "handshake_failed") == before + 2)
        reader.sendall(PINGREQ)
        assert read(reader, 2) == PINGRESP  # and not a second message


def read(sock: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def test_a_whole_certificate_as_user_name(tls):
    with tls.open("crt", tls.context("client")) as sock:
        sock.sendall(CONNECT)
        assert sock.recv(4) == CONNECT_OK
        (row,) = tls.broker.api("GET", "/connections/test").json()
    shown = x509.load_pem_x509_certificate(row["username"].encode())
    assert shown.subject.rfc4514_string() == row["peercert"]
    assert tls.admits("crt", tls.context())  # verify_peer alone asks, and does not insist


def test_a_certificate_taken_back_later_is_refused_with_its_ticket(tls):
    context = tls.context("late")
    session = ticket(tls, "strict", context)
    with tls.open("strict", context, session) as sock:
        assert sock.session_reused
    tls.write_crl([tls.revoked, tls.late])
    tls.reload()
    assert not tls.admits("strict", context)
    with pytest.raises(OSError), tls.open("strict", context, session) as sock:  # noqa: PT011, PT012
        sock.sendall(CONNECT)
        assert sock.recv(4) != CONNECT_OK
        raise ConnectionResetError


def ticket(tls: Configured, name: str, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """What the broker gives to shorten the next handshake; in TLS 1.3 it comes with the first bytes."""
    with tls.open(name, context) as sock:
        sock.sendall(CONNECT)
        assert sock.recv(4) == CONNECT_OK
        return sock.session


@pytest.mark.parametrize("name", ["plain", "old"])
def test_a_session_is_resumed_also_after_a_reload(tls, name):
    context = tls.context()
    session = ticket(tls, name, context)
    for _ in range(2):
        with tls.open(name, context, session) as sock:
            assert sock.session_reused
            sock.sendall(CONNECT)
            assert sock.recv(4) == CONNECT_OK
            session = sock.session
        tls.reload()


def test_sessions_are_not_resumed_where_that_is_off(tls):
    context = tls.context()
    session = ticket(tls, "forgetful", context)
    assert session is None or not session.has_ticket


def served(tls: Configured) -> bytes | None:
    with tls.open("plain") as fresh:
        return fresh.getpeercert(binary_form=True)


def test_a_reload_by_command_disconnects_nobody(tls):
    with tls.open("plain") as kept:
        kept.sendall(CONNECT)
        assert kept.recv(4) == CONNECT_OK
        before = kept.getpeercert(binary_form=True)
        tls.made.issue_server()
        program = "from emqx_mgmt.cli import main; main()"
        subprocess.run([sys.executable, "-c", program, "certs", "reload"], env=tls.broker.env, check=True, timeout=50)
        wait_until(lambda: served(tls) != before, 20)
        kept.sendall(PINGREQ)
        assert kept.recv(2) == PINGRESP


def test_files_that_cannot_be_used_change_nothing(tls):
    chain = Path(tls.made.server)
    good = chain.read_bytes()
    chain.write_bytes(b"half written")
    wait_until(lambda: "cannot be used; what was read before stays" in tls.broker.stderr, 20)
    assert tls.admits("plain", tls.context())
    chain.write_bytes(good)
    tls.reload()


def test_the_password_of_a_key_stays_a_secret(tls):
    assert tls.admits("locked", tls.context())
    assert PASSWORD not in tls.broker.api("GET", "/configs/").text
    for process in (tls.broker.running.pid, tls.broker.worker.pid):
        assert PASSWORD.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_wrong_password_ends_the_start_without_telling_it(start_broker, tls):
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}",
                           "EMQX_LISTENER__SSL__EXTERNAL__CERTFILE": tls.made.server,
                           "EMQX_LISTENER__SSL__EXTERNAL__KEYFILE": str(tls.directory / "locked.pem"),
                           "EMQX_LISTENER__SSL__EXTERNAL__KEY_PASSWORD": "not it"}, ready=False)
    assert broker.wait() == os.EX_CONFIG
    assert "locked.pem" in broker.stderr
    assert "not it" not in broker.stderr


def publish_with(tls: Configured, identity: str, key: str) -> bool:
    """mosquitto_pub with a pre-shared key."""
    done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(tls.ports["psk"]), "--psk-identity", identity,
                           "--psk", key, "-q", "1", "-t", "psk", "-m", "hello"],
                          capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def test_pre_shared_keys(tls):
    assert publish_with(tls, "sensor", "c0ffee00c0ffee00")
    assert not publish_with(tls, "sensor", "c0ffee00c0ffee01")
    assert not publish_with(tls, "nobody", "c0ffee00c0ffee00")
    assert not tls.admits("psk", tls.context())  # no certificate, no other way in
    with (tls.directory / "psk").open("a") as file:
        file.write("meter:beef\n")
    wait_until(lambda: publish_with(tls, "meter", "beef"), 20)


def test_connections_beyond_the_rate_wait(tls):
    """Never faster than ten a second; nobody is refused."""
    began = time.monotonic()
    for _ in range(12):
        assert tls.admits("rate", tls.context())
    assert time.monotonic() - began > 1.0


def test_https_connections_beyond_the_rate_wait_and_those_beyond_the_limit_are_closed(start_broker, tmp_path):
    made = certificates(tmp_path)
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_MANAGEMENT__LISTENER__HTTPS": f"127.0.0.1:{port}",
                           "EMQX_MANAGEMENT__LISTENER__HTTPS__CERTFILE": made.server,
                           "EMQX_MANAGEMENT__LISTENER__HTTPS__MAX_CLIENTS": "2",
                           "EMQX_MANAGEMENT__LISTENER__HTTPS__MAX_CONN_RATE": "10"})
    began = time.monotonic()
    for _ in range(15):
        with made.context().wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20),
                                        server_hostname="localhost") as sock:
            sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began >= 1.0
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            stack.enter_context(made.context().wrap_socket(sock, server_hostname="localhost"))
        assert not stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)).recv(1)
    (node,) = broker.api("GET", "/listeners/").json()
    (row,) = [row for row in node["listeners"] if row["protocol"] == "https:management"]
    counted = dict(row["shutdown_count"])
    assert counted["max_conn_rate"] > 0
    assert counted["max_connections"] == 1


def test_the_store_process_is_not_told_the_settings(tls):
    """Whose environment would show the password."""
    (store,) = tls.broker.worker.children()
    assert b"EMQX_" in Path(f"/proc/{tls.broker.worker.pid}/environ").read_bytes()
    assert b"EMQX_" not in Path(f"/proc/{store.pid}/environ").read_bytes()
