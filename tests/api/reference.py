"""What the reference document shows of each answer: keys in their order, and types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INDEX = json.loads((Path(__file__).parent / "index.json").read_text())

UNDEFINED = "undefined"

BROKER = {
    "datetime": str,
    "node_status": str,
    "otp_release": str,
    "sysdescr": str,
    "uptime": str,
    "version": str,
}
LISTED_BROKER = {"datetime": str, "node": str} | BROKER

NODE = {
    "connections": int,
    "load1": str,
    "load15": str,
    "load5": str,
    "max_fds": int,
    "memory_total": int,
    "memory_used": int,
    "name": str,
    "node_status": str,
    "otp_release": str,
    "process_available": int,
    "process_used": int,
    "uptime": str,
    "version": str,
}
LISTED_NODE = {
    "connections": int,
    "load1": str,
    "load15": str,
    "load5": str,
    "max_fds": int,
    "memory_total": str,
    "memory_used": str,
    "name": str,
    "node": str,
    "node_status": str,
    "otp_release": str,
    "process_available": int,
    "process_used": int,
    "uptime": str,
    "version": str,
}

CONNECTION = {
    "clean_start": bool,
    "client_id": str,
    "connected_at": str,
    "ipaddress": str,
    "is_bridge": bool,
    "is_super": bool,
    "keepalive": int,
    "mountpoint": str,
    "node": str,
    "peercert": str,
    "port": int,
    "proto_name": str,
    "proto_ver": int,
    "username": str,
    "will_topic": str,
    "zone": str,
}

SESSION = {
    "awaiting_rel_len": int,
    "binding": str,
    "clean_start": bool,
    "client_id": str,
    "created_at": str,
    "deliver_msg": int,
    "enqueue_msg": int,
    "expiry_interval": int,
    "heap_size": int,
    "inflight_len": int,
    "mailbox_len": int,
    "max_awaiting_rel": int,
    "max_inflight": int,
    "max_mqueue": int,
    "max_subscriptions": int,
    "mqueue_dropped": int,
    "mqueue_len": int,
    "node": str,
    "reductions": int,
    "subscriptions_count": int,
    "username": str,
}

SUBSCRIPTION = {"client_id": str, "node": str, "qos": int, "topic": str}
ROUTE = {"node": str, "topic": str}
LISTENER = {
    "acceptors": int,
    "current_conns": int,
    "listen_on": str,
    "max_conns": int,
    "protocol": str,
    "shutdown_count": (list, dict),
}

PACKET_DIRECTIONS = ("puback", "pubrec", "pubrel", "pubcomp")
METRICS = {
    "bytes/received",
    "bytes/sent",
    "packets/received",
    "packets/sent",
    "packets/connect",
    "packets/connack",
    "packets/publish/received",
    "packets/publish/sent",
    *(f"packets/{packet}/{end}" for packet in PACKET_DIRECTIONS for end in ("received", "sent", "missed")),
    "packets/subscribe",
    "packets/suback",
    "packets/unsubscribe",
    "packets/unsuback",
    "packets/pingreq",
    "packets/pingresp",
    "packets/disconnect/received",
    "packets/disconnect/sent",
    "packets/auth",
    "messages/received",
    "messages/sent",
    *(f"messages/qos{qos}/{end}" for qos in (0, 1, 2) for end in ("received", "sent")),
    "messages/qos2/dropped",
    "messages/qos2/expired",
    "messages/retained",
    "messages/dropped",
    "messages/expired",
    "messages/forward",
}
STATS = {
    f"{name}/{end}"
    for name in (
        "connections",
        "sessions",
        "sessions/persistent",
        "topics",
        "subscribers",
        "subscriptions",
        "subscriptions/shared",
        "routes",
        "retained",
    )
    for end in ("count", "max")
}


def assert_shape(row: Any, shape: dict[str, Any]) -> None:
    """Exactly these keys in this order, each value of its type; a boolean is not an integer."""
    assert list(row) == list(shape)
    for key, kind in shape.items():
        assert isinstance(row[key], kind), key
        assert kind is not int or not isinstance(row[key], bool), key
