"""Opens the sockets, in the master process, before anything else is started."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from emqx_mgmt.listeners.certificate import development_directory
from emqx_mgmt.listeners.descriptors import connection_budget
from emqx_mgmt.listeners.guard import Guard
from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.tls import tls_options
from emqx_mgmt.settings import Settings
from emqx_mgmt.settings.table import SHIPPED
from router_ext.websocket import WebSocketLimits

# The protocols of MQTT listeners, with the names of those that the default settings have.
MQTT = {"tcp": SHIPPED, "ssl": SHIPPED[:1], "ws": SHIPPED[:1], "wss": SHIPPED[:1]}
HTTP = ("dashboard", "management")


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
        mqtt_listener(settings, protocol, name)
        for protocol, shipped in MQTT.items()
        for name in settings.words(f"listener.{protocol}", shipped)
    ]
    http = [http_listener(settings, name, scheme) for scheme in ("http", "https") for name in HTTP]
    started = [listener for listener in mqtt if listener]
    started.sort(key=lambda listener: (listener.protocol, listener.endpoint.host, listener.endpoint.port))
    return [*started, *(listener for listener in http if listener)]


def mqtt_listener(settings: Settings, protocol: str, name: str) -> Listener | None:
    key = f"listener.{protocol}.{name}"
    endpoint = settings[key]
    if endpoint is None:
        return None
    return Listener(
        f"mqtt:{protocol}", name, endpoint,
        acceptors=settings[f"{key}.acceptors"],
        max_conns=settings[f"{key}.max_connections"],
        backlog=settings[f"{key}.backlog"],
        zone=settings[f"{key}.zone"],
        guard=guard(settings, key),
        max_conn_rate=settings[f"{key}.max_conn_rate"],
        handshake_timeout=int(settings[f"{key}.handshake_timeout"] * 1000),
        tls=tls_options(settings, key, certificates(settings)) if protocol in ("ssl", "wss") else None,
        websocket=websocket(settings, key) if protocol in ("ws", "wss") else None,
    )


def guard(settings: Settings, key: str) -> Guard:
    numbers = sorted(settings.words(f"{key}.access", ()), key=lambda word: (len(word), word))
    rules = [settings[f"{key}.access.{number}"] for number in numbers]
    return Guard(
        rules=[rule for rule in rules if rule is not None],
        per_address=settings[f"{key}.max_connections_per_address"],
        trusted=settings[f"{key}.proxy_trusted"] if settings[f"{key}.proxy_protocol"] else None,
    )


def websocket(settings: Settings, key: str) -> WebSocketLimits:
    return WebSocketLimits(
        settings[f"{key}.mqtt_path"],
        origins=settings[f"{key}.allowed_origins"],
        max_header=settings[f"{key}.max_header_size"],
        max_frame=settings[f"{key}.max_frame_size"],
        control_rate=settings[f"{key}.max_control_rate"],
    )


def certificates(settings: Settings) -> Path:
    return development_directory(Path(settings["node.data_dir"]))


def http_listener(settings: Settings, name: str, scheme: str) -> Listener | None:
    key = f"{name}.listener.{scheme}"
    endpoint = settings[key]
    if endpoint is None:
        return None
    return Listener(
        f"{scheme}:{name}", name, endpoint,
        acceptors=settings[f"{key}.acceptors"],
        max_conns=settings[f"{key}.max_clients"],
        backlog=settings[f"{key}.backlog"],
        tls=tls_options(settings, key, certificates(settings)) if scheme == "https" else None,
    )


def open_listeners(listeners: list[Listener], inherited: dict[str, int]) -> None:
    """Opens every socket or none: the first that fails closes those before it. They share one budget of connections.

    `inherited` has descriptors that the previous master handed over, by identity; those not wanted any more are closed.
    """
    budget = connection_budget(held_back=sum(row.max_conns for row in listeners if not row.is_mqtt))
    try:
        for listener in listeners:
            listener.budget = budget
            fd = inherited.pop(listener.identity, None)
            listener.sock = socket.socket(fileno=fd) if fd is not None else open_socket(listener)
    except ListenError:
        close_listeners(listeners)
        raise
    for fd in inherited.values():
        os.close(fd)
    inherited.clear()


def open_socket(listener: Listener) -> socket.socket:
    host = listener.endpoint.host
    # A bare port listens on both families where there is IPv6.
    family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if not host else 1)
        sock.bind((host, listener.endpoint.port))
        sock.listen(listener.backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(listener, error) from None
    return sock


def adopt_sockets(listeners: list[Listener], before: list[Listener]) -> None:
    """Gives listeners that were declared again the open sockets of the same ones from before."""
    for listener, old in zip(listeners, before, strict=True):
        listener.sock, listener.budget = old.sock, old.budget


def close_listeners(listeners: list[Listener]) -> None:
    for listener in listeners:
        if listener.sock is not None:
            listener.sock.close()
            listener.sock = None


def export(listeners: list[Listener]) -> dict[str, int]:
    """Descriptors by identity, made to survive an exec."""
    fds = {}
    for listener in listeners:
        assert listener.sock is not None
        listener.sock.set_inheritable(True)
        fds[listener.identity] = listener.sock.fileno()
    return fds
