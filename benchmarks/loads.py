"""The loads: what the generator is asked to do, as data. 64-byte payloads unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What a load measures, and so how its table looks."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    CONNECTS = "connects"
    MEMORY = "memory"
    FILTERS = "filters"


class Condition(Enum):
    """What the brokers have to bear with meanwhile."""

    PLAIN = ""
    RETAINED = "100,000 retained topics present"
    ACL = "one ACL file of 100 rules in force"
    SCRAPED = "Prometheus text fetched each second"


@dataclass(frozen=True, slots=True)
class Load:
    """`arguments` go to the generator. With a `probe`, that many messages (or what is `counted`) are tried first, and
    their rate says how many fill the time of a run. `beside` names the load that runs in turns with it, and to which
    it is compared: the same without the condition. A load of a curve is its point at `x`."""

    name: str
    title: str
    arguments: str
    kind: Kind = Kind.THROUGHPUT
    group: str = "main"
    probe: int = 0
    counted: str = "--messages"
    condition: Condition = Condition.PLAIN
    beside: str = ""
    curve: str = ""
    x: int = 0

    def command(self) -> list[str]:
        return self.arguments.split()

    @property
    def version(self) -> int:
        return 5 if "--version 5" in self.arguments else 4

    @property
    def port(self) -> str:
        """Of a broker: the name of the one that this load goes to."""
        if "--ws" in self.arguments:
            return "wss" if "--tls" in self.arguments else "ws"
        return "tls" if "--tls" in self.arguments else "tcp"


PAIRS = "flow --pubs {0} --subs {0}"
PAIRS_10 = "flow --pubs 10 --subs 10 --batch 16"
FAN_OUT = "flow --pubs 1 --shape all --batch 64"
PACED = "flow --pubs 10 --subs 10 --batch 100 --rate 20000 --messages 60000 --nodelay"
MQTT5 = "--version 5 --properties --alias --subids"
FILTERS = "filters --subs 100 --pubs 10 --batch 50 --limit 15 --messages 200000 --nodelay"
TRANSPORTS = {"tls": "--tls", "ws": "--ws", "wss": "--tls --ws"}

QOS_0 = (
    Load("one", "1→1 QoS 0, 64 a write", "flow --batch 64", probe=50_000),
    Load("pairs10", "10→10 QoS 0, 16 a write", PAIRS_10, probe=50_000),
    Load("pairs100", "100→100 QoS 0, one a write", PAIRS.format(100), probe=50_000),
    Load("fanout100", "fan-out 1→100 QoS 0, 64 a write", f"{FAN_OUT} --subs 100", probe=500),
    Load("fanout1000", "fan-out 1→1,000 QoS 0, 64 a write", f"{FAN_OUT} --subs 1000", probe=50),
    Load("fanin100", "fan-in 100→1 QoS 0, 16 a write", "flow --pubs 100 --shape all --batch 16", probe=50_000),
)
MAIN = (
    *QOS_0,
    Load("qos1", "10→10 QoS 1, window 32", f"{PAIRS.format(10)} --qos 1 --window 32 --batch 32", probe=20_000),
    Load("qos2", "10→10 QoS 2, window 32", f"{PAIRS.format(10)} --qos 2 --window 32 --batch 32", probe=10_000),
    Load("paced0", "20,000 msg/s QoS 0, bursts of 20 each millisecond", f"{PACED} --tick 1000", Kind.LATENCY),
    Load("paced1", "20,000 msg/s QoS 1, bursts of 20 each millisecond", f"{PACED} --tick 1000 --qos 1", Kind.LATENCY),
    Load("even0", "20,000 msg/s QoS 0, one each 50 µs", PACED, Kind.LATENCY),
    Load("connect", "connects: CONNECT, CONNACK, DISCONNECT, 64 at a time", "connect --sources 8", Kind.CONNECTS,
         probe=1000, counted="--connections"),
    Load("idle", "10,000 idle connections", "idle --connections 10000", Kind.MEMORY),
    Load("idle-sub", "10,000 idle connections, each with a topic", "idle --connections 10000 --subscribe", Kind.MEMORY),
)


def five(load: Load) -> Load:
    return replace(load, name=f"v5-{load.name}", title=f"{load.title}: MQTT 5 with properties, topic alias and "
                   "subscription identifiers", arguments=f"{load.arguments} {MQTT5}", group="mqtt5", beside=load.name)


def under(condition: Condition, load: Load) -> Load:
    name = condition.name.lower()
    return replace(load, name=f"{name}-{load.name}", title=f"{load.title}: {condition.value}", group="conditions",
                   condition=condition, beside=load.name)


def size_name(size: int) -> str:
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB" if size >> 10 else f"{size} B"


def payload(size: int, group: str, curve: str = "") -> Load:
    """16 a write as in the main table, less of large ones."""
    name, batch = size_name(size), max(1, min(16, (64 << 10) // size))
    return Load(f"{group}-{name.replace(' ', '')}", f"10→10 QoS 0, payloads of {name}",
                f"{PAIRS.format(10)} --batch {batch} --size {size}", group=group,
                probe=max(100, min(20_000, (64 << 20) // size)), curve=curve, x=size)


def single(name: str, flags: str) -> Load:
    return Load(f"{name}-single", f"a message each millisecond, {name}",
                f"flow --rate 1000 --messages 3000 --nodelay {flags}", Kind.LATENCY, group="transports")


def over(name: str, flags: str) -> tuple[Load, ...]:
    """What is asked of a transport: rates, the time of a single message, memory."""
    return (
        Load(f"{name}-one", f"1→1 QoS 0, 64 a write, {name}", f"flow --batch 64 {flags}", group="transports",
             probe=20_000),
        Load(f"{name}-pairs10", f"10→10 QoS 0, 16 a write, {name}", f"{PAIRS_10} {flags}", group="transports",
             probe=20_000),
        Load(f"{name}-fanout100", f"fan-out 1→100 QoS 0, 64 a write, {name}", f"{FAN_OUT} --subs 100 {flags}",
             group="transports", probe=500),
        single(name, flags),
        Load(f"{name}-idle", f"5,000 idle connections, {name}", f"idle --connections 5000 {flags}", Kind.MEMORY,
             group="transports"),
    )


CURVES = (
    *(Load(f"pairs-{n}", f"{n:,} pairs, one message a write", PAIRS.format(n), probe=20_000, group="scale",
           curve="connections", x=2 * n) for n in (1, 5, 20, 50, 200, 500)),
    *(Load(f"fanout-{n}", f"fan-out 1→{n:,}, 64 a write", f"{FAN_OUT} --subs {n}", probe=max(20, 50_000 // n),
           group="scale", curve="fan-out", x=n) for n in (1, 10, 100, 1000, 4000)),
    *(payload(size, "scale", "payload") for size in (16, 128, 1 << 10, 1 << 13, 1 << 16, 1 << 18, 1 << 20)),
    *(Load(f"idle-{n}", f"{n:,} idle connections", f"idle --connections {n}", Kind.MEMORY, group="scale",
           curve="memory", x=n) for n in (1000, 3000, 10_000)),
    *(Load(f"filters-{n}", f"{n:,} wildcard filters", f"{FILTERS} --filters {n}", Kind.FILTERS, group="scale",
           curve="filters", x=n) for n in (1000, 10_000, 100_000)),
)
LOADS = (
    *MAIN,
    Load("filters", "1,000,000 wildcard filters", f"{FILTERS} --filters 1000000", Kind.FILTERS, group="filters",
         curve="filters", x=1_000_000),
    *(five(load) for load in QOS_0),
    *(payload(size, "size") for size in (16, 1 << 10, 1 << 16, 1 << 20)),
    *(under(condition, load) for condition in Condition if condition.value
      for load in QOS_0 if load.name in ("one", "pairs10", "fanout100")),
    *CURVES,
    single("tcp", ""),
    *(load for name, flags in TRANSPORTS.items() for load in over(name, flags)),
)
BY_NAME = {load.name: load for load in LOADS}
GROUPS = tuple(dict.fromkeys(load.group for load in LOADS))
EVERYTHING = tuple(group for group in GROUPS if group != "transports")


def chosen(words: list[str]) -> list[Load]:
    """The loads with these names or of these groups, in table order. ValueError for a word that is neither."""
    known = BY_NAME.keys() | set(GROUPS)
    if unknown := [word for word in words if word not in known]:
        raise ValueError(f"no such load: {', '.join(unknown)} (known: {', '.join(sorted(known))})")
    return [load for load in LOADS if load.name in words or load.group in words]
