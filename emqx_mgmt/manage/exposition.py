"""The node's figures in the Prometheus text format, version 0.0.4.

Names are in base units, and counters end in `_total`. Labels have few values, so the text does not grow with clients or
topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.plugins.plugin import Figure

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "emqx_"
COUNTER, GAUGE = "counter", "gauge"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `samples` are its values by labels."""

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[Labels, float]]
    prefix: str = PREFIX

    def lines(self) -> Iterable[str]:
        """HELP, TYPE, and a line for each sample."""
        name = self.prefix + self.name
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {self.kind}"
        for labels, value in self.samples:
            inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
            yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def exposition(families: Iterable[Family]) -> bytes:
    """The text of `/metrics`, UTF-8."""
    return ("\n".join(line for family in families for line in family.lines()) + "\n").encode()


def gauge(name: str, text: str, value: float) -> Family:
    """A family with one sample without labels; `text` is its HELP."""
    return Family(name, GAUGE, text, (((), value),))


# name of the family, its text, and the metrics it is made of: by the value of its one label.
_Row = tuple[str, str, str, Mapping[str, str]]

_ACKS = ("puback", "pubrec", "pubrel", "pubcomp")
_RECEIVED = {
    "connect": "packets/connect",
    "publish": "packets/publish/received",
    **{ack: f"packets/{ack}/received" for ack in _ACKS},
    "subscribe": "packets/subscribe",
    "unsubscribe": "packets/unsubscribe",
    "pingreq": "packets/pingreq",
    "disconnect": "packets/disconnect/received",
    "auth": "packets/auth",
}
_SENT = {
    "connack": "packets/connack",
    "publish": "packets/publish/sent",
    **{ack: f"packets/{ack}/sent" for ack in _ACKS},
    "suback": "packets/suback",
    "unsuback": "packets/unsuback",
    "pingresp": "packets/pingresp",
    "disconnect": "packets/disconnect/sent",
}
_DROPPED = {
    "no_subscriber": "messages/dropped",
    "awaiting_rel_full": "messages/qos2/dropped",
    "expired_in_flight": "messages/expired",
}
_COUNTERS: tuple[_Row, ...] = (
    ("received_bytes_total", "Bytes read from clients.", "", {"": "bytes/received"}),
    ("sent_bytes_total", "Bytes of packets sent to clients.", "", {"": "bytes/sent"}),
    ("received_packets_total", "MQTT packets received.", "", {"": "packets/received"}),
    ("sent_packets_total", "MQTT packets sent.", "", {"": "packets/sent"}),
    ("received_packets_by_type_total", "MQTT packets received, by type.", "type", _RECEIVED),
    ("sent_packets_by_type_total", "MQTT packets sent, by type.", "type", _SENT),
    (
        "missed_packets_total",
        "Acknowledgements received for packets that were not in flight.",
        "type",
        {ack: f"packets/{ack}/missed" for ack in _ACKS},
    ),
    (
        "received_messages_total",
        "Messages received from clients, by QoS.",
        "qos",
        {str(qos): f"messages/qos{qos}/received" for qos in range(3)},
    ),
    (
        "sent_messages_total",
        "Messages sent to clients, by QoS.",
        "qos",
        {str(qos): f"messages/qos{qos}/sent" for qos in range(3)},
    ),
    ("forwarded_messages_total", "Messages forwarded to other nodes.", "", {"": "messages/forward"}),
    (
        "unreleased_messages_total",
        "QoS 2 packet ids given up because no PUBREL came in time.",
        "",
        {"": "messages/qos2/expired"},
    ),
)
_GAUGES = {
    "connections": "MQTT clients that are connected.",
    "sessions": "Sessions, of clients connected or not.",
    "sessions/persistent": "Sessions made or resumed with Clean Start 0.",
    "topics": "Topic filters with a subscription.",
    "subscribers": "Subscriptions that are not shared.",
    "subscriptions": "Subscriptions, shared ones included.",
    "subscriptions/shared": "Members of shared subscriptions.",
    "routes": "Routes: filters, and one more for each shared group.",
    "retained": "Retained messages.",
}
_WAITING = {
    "connections/blocked/count": ("blocked_connections", "Connections whose socket is full."),
    "connections/slow/count": ("slow_connections", "Connections that do not read: QoS 0 for them is dropped."),
    "publishers/paused/count": ("paused_publishers", "Publishers not read while a subscriber's socket is full."),
    "outboxes/bytes": ("outbox_bytes", "Bytes that wait for sockets."),
    "queued/count": ("queued_messages", "Messages queued for sessions, of clients connected or not."),
    "inflight/count": ("inflight_messages", "Messages sent to clients that have not acknowledged them."),
    "disk/free": ("data_disk_free_bytes", "Free bytes of the data directory's disk, for the broker's user."),
    "disk/used": ("data_disk_used_bytes", "Used bytes of the data directory's disk."),
    "delayed/count": ("delayed_messages", "Delayed messages that are kept until they are due."),
    "delayed/bytes": ("delayed_bytes", "Bytes of delayed messages, as delayed_publish.max_bytes counts them."),
}


def counters(metrics: Mapping[str, int], extended: Mapping[str, int]) -> list[Family]:
    """`extended` are the counters beyond the documented ones, among them the reasons of dropped messages."""
    families = [
        Family(name, COUNTER, text, [(_labels(label, value), metrics[metric]) for value, metric in row.items()])
        for name, text, label, row in _COUNTERS
    ]
    dropped = {reason: metrics[metric] for reason, metric in _DROPPED.items()}
    dropped |= {name.removeprefix("dropped/"): value for name, value in extended.items() if name.startswith("dropped/")}
    families.append(
        Family(
            "dropped_messages_total",
            COUNTER,
            "Messages that did not reach a subscriber, or had none, by reason.",
            [(_labels("reason", reason), value) for reason, value in dropped.items()],
        )
    )
    families += [
        Family(name.replace("/", "_") + "_total", COUNTER, f"The counter {name}.", [((), value)])
        for name, value in extended.items()
        if not name.startswith("dropped/")
    ]
    return families


def gauges(stats: Mapping[str, int]) -> list[Family]:
    """Each with its highest value since the start."""
    return [
        gauge(f"{name.replace('/', '_')}{suffix}", text + meaning, stats[f"{name}/{end}"])
        for name, text in _GAUGES.items()
        for suffix, end, meaning in (("", "count", ""), ("_highest", "max", " The most since the start."))
    ]


def waiting(figures: Mapping[str, int]) -> list[Family]:
    """Gauges of messages and bytes that wait, for sockets or for their time."""
    return [gauge(name, text, figures[figure]) for figure, (name, text) in _WAITING.items()]


def of_plugins(figures: Iterable[tuple[str, Figure]]) -> list[Family]:
    """The figures of plugins with the label `plugin`; figures of the same name are one family."""
    by_name: dict[str, list[tuple[str, Figure]]] = {}
    for plugin, figure in figures:
        by_name.setdefault(figure.name, []).append((plugin, figure))
    return [Family(name, COUNTER if ones[0][1].is_counter else GAUGE, ones[0][1].help,
                   [((("plugin", plugin), *figure.labels), figure.value) for plugin, figure in ones])
            for name, ones in by_name.items()]


def _labels(label: str, value: str) -> Labels:
    return ((label, value),) if label else ()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
