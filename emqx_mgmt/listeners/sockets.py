"""Opens the sockets, in the master, before a worker exists."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from emqx_mgmt.listeners.certificate import development_directory
from emqx_mgmt.listeners.descriptors import connection_budget
from emqx_mgmt.listeners.forwarded import Proxies
from emqx_mgmt.listeners.guard import Guard
from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.proxy import socket_source
from emqx_mgmt.listeners.tls import tls_options
from emqx_mgmt.settings import Settings
from emqx_mgmt.settings.table import SHIPPED
from router_ext.net.websocket import WebSocketLimits

# The protocols of MQTT listeners, with the names of those that the default settings have.
MQTT = {"tcp": SHIPPED, "ssl": SHIPPED[:1], "ws": SHIPPED[:1], "wss": SHIPPED[:1]}
HTTP = ("dashboard", "management")
ENCRYPTED = ("mqtt:ssl", "mqtt:wss", "https:dashboard", "https:management")
FRAMED = ("mqtt:ws", "mqtt:wss")


class ListenError(Exception):
    """A socket could not be opened. `code` is the exit code: 69 in use, 71 anything else."""

    def __init__(self, listener: Listener, error: OSError) -> None:
        in_use = error.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else (error.strerror or str(error))
        super().__init__(f"Cannot start {listener}: {reason}")
        self.code = os.EX_UNAVAILABLE if in_use else os.EX_OSERR


def declared(settings: Settings) -> list[Listener]:
    """The listeners that the settings ask for, in the order of `GET /listeners/`, their sockets not yet open."""
    mqtt = [
        listener(settings, f"mqtt:{protocol}", name, f"listener.{protocol}.{name}")
        for protocol, shipped in MQTT.items()
        for name in settings.words(f"listener.{protocol}", shipped)
    ]
    http = [
        listener(settings, f"{scheme}:{name}", name, f"{name}.listener.{scheme}")
        for scheme in ("http", "https")
        for name in HTTP
    ]
    started = [row for row in mqtt if row]
    started.sort(key=lambda row: (row.protocol, row.endpoint.host, row.endpoint.port))
    return [*started, *(row for row in http if row)]


def listener(settings: Settings, protocol: str, name: str, key: str) -> Listener | None:
    """The listener of the settings below `key`; None when it is off."""
    endpoint = settings[key]
    if endpoint is None:
        return None
    most = settings[f"{key}.{'max_connections' if protocol.startswith('mqtt:') else 'max_clients'}"]
    made = Listener(protocol, name, endpoint, settings[f"{key}.acceptors"], most, settings[f"{key}.backlog"])
    if protocol in ENCRYPTED:
        made.tls = tls_options(settings, key, development_directory(Path(settings["node.data_dir"])))
    if protocol in FRAMED:
        made.websocket = websocket(settings, key)
    if made.is_mqtt or made.is_https:
        made.max_conn_rate = settings[f"{key}.max_conn_rate"]
    if made.is_mqtt:
        made.zone = settings[f"{key}.zone"]
        made.guard = guard(settings, key, made)
        made.handshake_timeout = int(settings[f"{key}.handshake_timeout"] * 1000)
    else:
        made.guard = Guard(
            per_address=settings[f"{key}.max_clients_per_address"], relays=settings["management.proxy_trusted"]
        )
    return made


def guard(settings: Settings, key: str, made: Listener) -> Guard:
    """Who may connect to the listener `made`, by the settings below `key`."""
    numbers = sorted(settings.words(f"{key}.access", ()), key=lambda word: (len(word), word))
    rules = [settings[f"{key}.access.{number}"] for number in numbers]
    trusted = settings[f"{key}.proxy_trusted"]
    return Guard(
        rules=[rule for rule in rules if rule is not None],
        per_address=settings[f"{key}.max_connections_per_address"],
        trusted=trusted if settings[f"{key}.proxy_protocol"] else None,
        relays=trusted if made.websocket is not None and settings[f"{key}.proxy_address_header"] else (),
    )


def websocket(settings: Settings, key: str) -> WebSocketLimits:
    """Paths and limits of a WebSocket listener, by the settings below `key`."""
    return WebSocketLimits(
        settings[f"{key}.mqtt_path"],
        origins=settings[f"{key}.allowed_origins"],
        max_header=settings[f"{key}.max_header_size"],
        max_frame=settings[f"{key}.max_frame_size"],
        control_rate=settings[f"{key}.max_control_rate"],
        source_of=socket_source(Proxies(
            settings[f"{key}.proxy_trusted"], settings[f"{key}.proxy_address_header"],
            settings[f"{key}.proxy_port_header"],
        )),
    )


def open_listeners(listeners: list[Listener], inherited: dict[str, int]) -> None:
    """Opens every socket or none. MQTT listeners share one budget of connections. `inherited` has the descriptors of
    the previous master by identity; those that are not needed any more are closed."""
    budget = connection_budget(held_back=sum(row.max_conns for row in listeners if not row.is_mqtt))
    try:
        for row in listeners:
            if row.is_mqtt:
                row.budget = budget
            fd = inherited.pop(row.identity, None)
            row.sock = socket.socket(fileno=fd) if fd is not None else open_socket(row)
    except ListenError:
        close_listeners(listeners)
        raise
    for fd in inherited.values():
        os.close(fd)
    inherited.clear()


def open_socket(row: Listener) -> socket.socket:
    """The bound and listening socket. Raises OSError."""
    host = row.endpoint.host
    # A bare port listens on both families where there is IPv6.
    family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if not host else 1)
        sock.bind((host, row.endpoint.port))
        sock.listen(row.backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(row, error) from None
    return sock


def adopt_sockets(listeners: list[Listener], before: list[Listener]) -> None:
    """Gives listeners the open sockets of the same listeners before HUP, and the keys of their TLS tickets."""
    for row, old in zip(listeners, before, strict=True):
        row.sock, row.budget = old.sock, old.budget
        if row.tls is not None and old.tls is not None:
            row.tls.ticket_keys = old.tls.ticket_keys


def close_listeners(listeners: list[Listener]) -> None:
    """Closes the sockets of this process; connections stay."""
    for row in listeners:
        if row.sock is not None:
            row.sock.close()
            row.sock = None


def export(listeners: list[Listener]) -> dict[str, int]:
    """Descriptors by identity, made to survive an exec."""
    fds = {}
    for row in listeners:
        assert row.sock is not None
        row.sock.set_inheritable(True)
        fds[row.identity] = row.sock.fileno()
    return fds
