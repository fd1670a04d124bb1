"""A broker with all seven listeners, and certificates to meet it with."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509

from tests.broker_process import BrokerProcess, free_ports

CONNECT = bytes.fromhex("101000044d5154540402003c00") + b"\x04test"
CONNECT_OK = b"\x20\x02\x00\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


@dataclass(slots=True)
class Certificates:
    """Files of an authority, a server's certificate of it, and a client's."""

    directory: Path
    authority: trustme.CA

    @property
    def ca(self) -> str:
        return str(self.directory / "ca.pem")

    @property
    def server(self) -> str:
        return str(self.directory / "server.pem")

    @property
    def client(self) -> str:
        return str(self.directory / "client.pem")

    def issue_server(self) -> None:
        issued = self.authority.issue_cert("localhost", "127.0.0.1", "::1")
        written = self.directory / "server.new"
        written.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        written.replace(self.server)  # in one step, as a careful tool does

    def context(self, *, with_client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if with_client:
            context.load_cert_chain(self.client)
        return context


def issue(made: Certificates, name: str, file: str) -> x509.Certificate:
    """A client's certificate and key, written to a file."""
    issued = made.authority.issue_cert(f"{name}@example.org", common_name=name)
    issued.private_key_and_cert_chain_pem.write_to_path(made.directory / file)
    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())


def certificates(directory: Path) -> Certificates:
    made = Certificates(directory, trustme.CA())
    made.authority.cert_pem.write_to_path(made.ca)
    made.issue_server()
    issue(made, "device-7", "client.pem")
    return made


@dataclass(slots=True)
class Secured:
    """The broker and the ports of its listeners beside TCP."""

    broker: BrokerProcess
    certificates: Certificates
    ssl: int
    ws: int
    wss: int
    https: int

    def row(self, protocol: str) -> dict:
        (node,) = self.broker.api("GET", "/listeners/").json()
        return next(row for row in node["listeners"] if row["protocol"] == protocol)

    def ended(self, protocol: str, reason: str) -> int:
        return dict(self.row(protocol)["shutdown_count"] or {}).get(reason, 0)

    def tls(self, port: int | None = None, **kw: bool) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", port or self.ssl), timeout=10)
        return self.certificates.context(**kw).wrap_socket(sock, server_hostname="localhost")


def settings(made: Certificates) -> tuple[dict[str, str], dict[str, int]]:
    """Variables for all listeners, and their ports by name."""
    names = ("ssl", "ws", "wss", "https")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    env = {f"EMQX_LISTENER__{name.upper()}__EXTERNAL": f"127.0.0.1:{ports[name]}" for name in names[:3]}
    env["EMQX_MANAGEMENT__LISTENER__HTTPS"] = f"127.0.0.1:{ports['https']}"
    for prefix in ("LISTENER__SSL__EXTERNAL", "LISTENER__WSS__EXTERNAL", "MANAGEMENT__LISTENER__HTTPS"):
        env[f"EMQX_{prefix}__CERTFILE"] = made.server
    for prefix in ("LISTENER__SSL__EXTERNAL", "LISTENER__WSS__EXTERNAL"):
        env[f"EMQX_{prefix}__CACERTFILE"] = made.ca
        env[f"EMQX_{prefix}__VERIFY"] = "verify_peer"
        env[f"EMQX_{prefix}__PEER_CERT_AS_USERNAME"] = "cn"
    return env, ports
