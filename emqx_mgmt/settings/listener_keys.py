"""The settings of listeners: one set for all MQTT ones, one for TLS, one for WebSocket, one for HTTP."""

from __future__ import annotations

from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.kinds import (
    ACCESS,
    BYTESIZE,
    DURATION_KIND,
    ENDPOINT,
    FLAG,
    NETWORKS,
    PATH,
    STRING,
    TLS_VERSIONS,
    WORDS,
    ZONE_NAME,
    Kind,
    enum,
    integer,
)

# Without a word of its own: the certificate made at the first start.
DEVELOPMENT = ""


def mqtt_keys(protocol: str, doc: str, *, endpoint: dict[str, str], acceptors: str, connections: str, rate: str,
              internal: dict[str, str] | None = None) -> list[Key]:
    """`internal` has the defaults of the listener of that name where they differ."""
    prefix, internal = f"listener.{protocol}.$name", internal or {}

    def key(name: str, kind: Kind, default: str, doc: str) -> Key:
        named = {"internal": internal[name]} if name in internal else {}
        return Key(f"{prefix}.{name}", kind, default, doc, named=named)

    return [
        Key(prefix, ENDPOINT, "off", doc, named=endpoint),
        key("acceptors", integer(1), acceptors, "Shown by the listeners resource."),
        key("max_connections", integer(1), connections, "The most connections at a time."),
        key("max_connections_per_address", integer(), "0", "The most of one client address; 0 for no limit."),
        key("max_conn_rate", integer(), rate, "Connections accepted in a second, the others wait; 0 for all."),
        key("handshake_timeout", DURATION_KIND, "15s",
            "How long TLS and WebSocket handshakes, and a proxy's header, may take together."),
        key("access.$n", ACCESS, "",
            "allow or deny, and a network or all; the first rule that fits decides, and without one it is allow."),
        key("proxy_protocol", FLAG, "off", "A proxy connects, and says for whom (PROXY protocol 1 or 2)."),
        key("proxy_trusted", NETWORKS, "127.0.0.0/8,::1/128",
            "The proxies that are believed; with proxy_protocol all others are refused."),
        key("zone", ZONE_NAME, "external", "The zone of its connections."),
        key("backlog", integer(1), "1024", "Connections the kernel holds until they are accepted."),
    ]


def tls_keys(prefix: str) -> list[Key]:
    """The keys that every TLS listener has."""
    return [
        Key(f"{prefix}.certfile", PATH, DEVELOPMENT,
            "The certificate chain in PEM; empty for the one made at the first start. A changed file is read again."),
        Key(f"{prefix}.keyfile", PATH, DEVELOPMENT, "The private key in PEM; empty: it is in certfile."),
        Key(f"{prefix}.key_password", STRING, "", "The password of the private key.", secret=True),
        Key(f"{prefix}.cacertfile", PATH, "", "Who may sign client certificates, in PEM."),
        Key(f"{prefix}.verify", enum("verify_none", "verify_peer"), "verify_none",
            "Whether a client is asked for a certificate."),
        Key(f"{prefix}.fail_if_no_peer_cert", FLAG, "false", "Whether a client must have one."),
        Key(f"{prefix}.tls_versions", TLS_VERSIONS, "tlsv1.2,tlsv1.3", "The protocol versions spoken."),
        Key(f"{prefix}.ciphers", STRING, "",
            "Ciphers up to TLS 1.2, as OpenSSL writes them; empty for those with forward secrecy and without SHA-1."),
    ]


def mqtt_tls_keys(protocol: str) -> list[Key]:
    """The keys of MQTT over TLS, with or without WebSocket."""
    prefix = f"listener.{protocol}.$name"
    return [
        *tls_keys(prefix),
        Key(f"{prefix}.ciphersuites", STRING, "", "TLS 1.3 cipher suites with colons between; empty for the defaults."),
        Key(f"{prefix}.crlfile", PATH, "", "Certificates of clients that were taken back, in PEM."),
        Key(f"{prefix}.honor_cipher_order", FLAG, "on", "Whether the broker's order of ciphers decides."),
        Key(f"{prefix}.reuse_sessions", FLAG, "on", "Whether clients get tickets that shorten their next handshake."),
        Key(f"{prefix}.psk_file", PATH, "",
            "Pre-shared keys: identity:key, the key in hexadecimal, one a line. A changed file is read again."),
        Key(f"{prefix}.peer_cert_as_username", enum("off", "cn", "dn", "crt"), "off",
            "The user name is the certificate's common name, its whole subject, or the certificate in PEM."),
    ]


def websocket_keys(protocol: str) -> list[Key]:
    """The keys of MQTT over WebSocket."""
    prefix = f"listener.{protocol}.$name"
    return [
        Key(f"{prefix}.mqtt_path", STRING, "/mqtt", "The path of the HTTP request."),
        Key(f"{prefix}.allowed_origins", WORDS, "", "Pages whose scripts may connect, by Origin; empty for all."),
        Key(f"{prefix}.proxy_address_header", STRING, "",
            "The header of HTTP in which those of proxy_trusted name the client's address; empty: none does."),
        Key(f"{prefix}.proxy_port_header", STRING, "", "The header in which they name its port; empty: none does."),
        Key(f"{prefix}.max_header_size", BYTESIZE, "8KB", "The largest HTTP request accepted."),
        Key(f"{prefix}.max_frame_size", BYTESIZE, "16MB", "The largest frame accepted."),
        Key(f"{prefix}.max_control_rate", integer(1), "100", "The most ping, pong and empty frames in a second."),
    ]


def http_keys(listener: str, doc: str, *, endpoint: str, acceptors: str) -> list[Key]:
    """The keys of a listener of the API."""
    return [
        Key(listener, ENDPOINT, endpoint, f"{doc}: port, address and port, or off."),
        Key(f"{listener}.acceptors", integer(1), acceptors, "Shown by the listeners resource."),
        Key(f"{listener}.max_clients", integer(1), "512", "The most connections at a time."),
        Key(f"{listener}.max_clients_per_address", integer(), "0", "The most of one client address; 0 for no limit."),
        Key(f"{listener}.backlog", integer(1), "512", "Connections the kernel holds until accepted."),
    ]


def https_keys(listener: str, *, acceptors: str) -> list[Key]:
    """The keys of a listener of the API over TLS."""
    return [
        *http_keys(listener, "The same over TLS", endpoint="off", acceptors=acceptors),
        Key(f"{listener}.max_conn_rate", integer(), "200",
            "Connections accepted in a second, the others wait; 0 for all."),
        *tls_keys(listener),
    ]


MQTT_LISTENERS = [
    *mqtt_keys("tcp", "An MQTT listener: port, address and port, or off.",
               endpoint={"external": "1883", "internal": "127.0.0.1:11883"}, acceptors="8",
               connections="1024000", rate="0",
               internal={"acceptors": "4", "max_connections": "10240000", "zone": "internal"}),
    *mqtt_keys("ssl", "MQTT over TLS: port, address and port, or off.",
               endpoint={"external": "8883"}, acceptors="16", connections="102400", rate="1000"),
    *mqtt_tls_keys("ssl"),
    *mqtt_keys("ws", "MQTT over WebSocket: port, address and port, or off.",
               endpoint={"external": "8083"}, acceptors="4", connections="102400", rate="0"),
    *websocket_keys("ws"),
    *mqtt_keys("wss", "MQTT over WebSocket over TLS: port, address and port, or off.",
               endpoint={"external": "8084"}, acceptors="4", connections="16", rate="1000"),
    *mqtt_tls_keys("wss"),
    *websocket_keys("wss"),
]
HTTP_LISTENERS = [
    *http_keys("management.listener.http", "The REST API for applications", endpoint="8080", acceptors="2"),
    *https_keys("management.listener.https", acceptors="2"),
    *http_keys("dashboard.listener.http", "The dashboard", endpoint="18083", acceptors="4"),
    *https_keys("dashboard.listener.https", acceptors="4"),
]
