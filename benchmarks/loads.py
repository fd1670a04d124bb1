"""The loads: what the generator is asked to do, as data. 64-byte payloads unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a load measures, and so how its table looks."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    CONNECTS = "connects"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Load:
    """`arguments` go to the generator. With a `probe`, that many messages (or what is `counted`) are tried first, and
    their rate says how many fill the time of a run."""

    name: str
    title: str
    arguments: str
    kind: Kind = Kind.THROUGHPUT
    group: str = "main"
    probe: int = 0
    counted: str = "--messages"

    def command(self) -> list[str]:
        return self.arguments.split()


PAIRS_10 = "flow --pubs 10 --subs 10 --batch 16"
FAN_OUT = "flow --pubs 1 --shape all --batch 64"
PACED = "flow --pubs 10 --subs 10 --batch 100 --rate 20000 --messages 60000 --nodelay"
MQTT5 = "--version 5 --properties --alias --subids"


TRANSPORTS = {"tls": "--tls", "ws": "--ws", "wss": "--tls --ws"}


def over(name: str, flags: str) -> tuple[Load, ...]:
    """What is asked of a transport: rates, the time of a single message, memory."""
    return (
        Load(f"{name}-one", f"1→1 QoS 0, 64 a write, {name}", f"flow --batch 64 {flags}", group="transports",
             probe=20_000),
        Load(f"{name}-pairs10", f"10→10 QoS 0, 16 a write, {name}", f"{PAIRS_10} {flags}", group="transports",
             probe=20_000),
        Load(f"{name}-fanout100", f"fan-out 1→100 QoS 0, 64 a write, {name}", f"{FAN_OUT} --subs 100 {flags}",
             group="transports", probe=500),
        Load(f"{name}-single", f"a message each millisecond, {name}",
             f"flow --rate 1000 --messages 3000 --nodelay {flags}", Kind.LATENCY, group="transports"),
        Load(f"{name}-idle", f"5,000 idle connections, {name}", f"idle --connections 5000 {flags}", Kind.MEMORY,
             group="transports"),
    )


def payload(name: str, size: int, arguments: str, probe: int) -> Load:
    short = "size-" + name.replace(" ", "")
    return Load(short, f"10→10 QoS 0, payloads of {name}", f"{arguments} --size {size}", group="size", probe=probe)


LOADS = (
    Load("one", "1→1 QoS 0, 64 a write", "flow --batch 64", probe=50_000),
    Load("pairs10", "10→10 QoS 0, 16 a write", PAIRS_10, probe=50_000),
    Load("pairs100", "100→100 QoS 0, one a write", "flow --pubs 100 --subs 100", probe=50_000),
    Load("fanout100", "fan-out 1→100 QoS 0, 64 a write", f"{FAN_OUT} --subs 100", probe=500),
    Load("fanout1000", "fan-out 1→1,000 QoS 0, 64 a write", f"{FAN_OUT} --subs 1000", probe=50),
    Load("fanin100", "fan-in 100→1 QoS 0, 16 a write", "flow --pubs 100 --shape all --batch 16", probe=50_000),
    Load("qos1", "10→10 QoS 1, window 32", "flow --pubs 10 --subs 10 --qos 1 --window 32 --batch 32", probe=20_000),
    Load("qos2", "10→10 QoS 2, window 32", "flow --pubs 10 --subs 10 --qos 2 --window 32 --batch 32", probe=10_000),
    Load("paced0", "20,000 msg/s QoS 0, bursts of 20 each millisecond", f"{PACED} --tick 1000", Kind.LATENCY),
    Load("paced1", "20,000 msg/s QoS 1, bursts of 20 each millisecond", f"{PACED} --tick 1000 --qos 1", Kind.LATENCY),
    Load("even0", "20,000 msg/s QoS 0, one each 50 µs", PACED, Kind.LATENCY),
    Load(
        "connect",
        "connects: CONNECT, CONNACK, DISCONNECT, 64 at a time",
        "connect --sources 8",
        Kind.CONNECTS,
        probe=1000,
        counted="--connections",
    ),
    Load("idle", "10,000 idle connections", "idle --connections 10000", Kind.MEMORY),
    Load("idle-sub", "10,000 idle connections, each with a topic", "idle --connections 10000 --subscribe", Kind.MEMORY),
    Load("v5-one", "1→1 QoS 0, 64 a write, MQTT 5", f"flow --batch 64 {MQTT5}", group="mqtt5", probe=50_000),
    Load("v5-pairs10", "10→10 QoS 0, 16 a write, MQTT 5", f"{PAIRS_10} {MQTT5}", group="mqtt5", probe=50_000),
    Load("v5-fanout100", "fan-out 1→100 QoS 0, MQTT 5", f"{FAN_OUT} --subs 100 {MQTT5}", group="mqtt5", probe=500),
    *(load for name, flags in TRANSPORTS.items() for load in over(name, flags)),
    payload("16 B", 16, PAIRS_10, 50_000),
    payload("1 KiB", 1024, PAIRS_10, 20_000),
    payload("64 KiB", 65536, "flow --pubs 10 --subs 10", 2_000),
    payload("1 MiB", 1 << 20, "flow --pubs 10 --subs 10", 200),
)
GROUPS = tuple(dict.fromkeys(load.group for load in LOADS))


def chosen(words: list[str]) -> list[Load]:
    """The loads with these names or of these groups, in table order. ValueError for a word that is neither."""
    known = {load.name for load in LOADS} | set(GROUPS)
    if unknown := [word for word in words if word not in known]:
        raise ValueError(f"no such load: {', '.join(unknown)} (known: {', '.join(sorted(known))})")
    return [load for load in LOADS if load.name in words or load.group in words]
