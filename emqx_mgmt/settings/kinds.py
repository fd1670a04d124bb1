"""The kinds of value a setting can have: each turns the text of the file into a typed value.

`parse` raises ValueError with the end of a sentence ("must be ..."); the loader puts the place and the key before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emqx_mgmt.settings.acl_file import read_acl_file, shipped_rules
from emqx_mgmt.settings.expression import linear

# Nine digits are decades of any unit from a second up. Longer numbers would not fit some fields for durations.
DURATION = re.compile(
    r"(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?"
)
DURATION_UNITS = (604800.0, 86400.0, 3600.0, 60.0, 1.0, 0.001)
# The counters and sizes of the routing core have 32 bits.
MOST = (1 << 31) - 1
MOST_BYTES = (1 << 32) - 1
TLS_ORDER = ("tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BYTE_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how its text is read and shown. `label` is the name of the type in `GET /configs`; `show` gives
    the text of a value there.

    `is_path`: `parse` gets the path that is meant, of a file or a directory. `shipped` gives the value in place of a
    default file that is not there. Forms use `choices`, all possible values, and `low` and `high`, in the `unit` of the
    values.
    """

    label: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    is_path: bool = False
    shipped: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a listener. `host` is empty for all addresses."""

    host: str
    port: int

    @property
    def listen_on(self) -> str:
        """The text that `GET /listeners/` shows: a bare port, or address and port."""
        if not self.host:
            return str(self.port)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """A count and a size in bytes, either of which triggers; 0 never does."""

    count: int
    size: int


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Whether addresses of a network may connect."""

    allow: bool
    network: Network | None  # None: all


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """Topics that `topic_filter` matches and `expression` fits become `destination`."""

    topic_filter: str
    expression: str
    destination: str


def integer(low: int = 0, high: int = MOST) -> Kind:
    """Integers from `low` to `high`, both included."""
    limits = f"an integer from {low} to {high}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,10}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"must be {limits}")
        return int(text)

    return Kind("integer", parse, low=low, high=high)


def number(low: float) -> Kind:
    """Decimal numbers of at least `low`."""
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) < low:
            raise ValueError(f"must be a number, {low} or more")
        return float(text)

    return Kind("float", parse, "{:.4f}".format, low=low)


def enum(*words: str) -> Kind:
    """One of the words."""
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return Kind("enum", parse, choices=words)


def parse_flag(text: str) -> bool:
    """Raises ValueError, as each `parse_…` does, with a text that follows the key's name."""
    if text in ("on", "true"):
        return True
    if text in ("off", "false"):
        return False
    raise ValueError("must be on or off, true or false")


def parse_duration(text: str) -> float:
    """Seconds; a bare number counts seconds."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    match = DURATION.fullmatch(text)
    if not match or not text:
        raise ValueError("must be a duration such as 15s, 5m, 2h, 1d or 200ms")
    return sum(int(part) * unit for part, unit in zip(match.groups(), DURATION_UNITS, strict=True) if part)


def duration(low: float) -> Kind:
    """A duration of `low` seconds or more."""

    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if seconds < low:
            raise ValueError(f"must be {low:g} s or more")
        return seconds

    return Kind("duration", parse, show_duration, low=low, unit="s")


def parse_expiry(text: str) -> float:
    """Seconds; a bare number counts milliseconds, as the retainer's conf file has it."""
    if re.fullmatch(r"\d{1,12}", text, re.ASCII):
        return int(text) / 1000
    return parse_duration(text)


def show_duration(seconds: float) -> str:
    """Seconds as a number, milliseconds where they are not whole."""
    return str(int(seconds)) if seconds == int(seconds) else f"{show_milliseconds(seconds)}ms"


def show_milliseconds(seconds: float) -> str:
    """As EMQ X shows a duration."""
    return str(round(seconds * 1000))


def show_flag(value: bool) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


def show_rate(rate: Rate | None) -> str:
    """Empty where there is no limit."""
    return "" if rate is None else f"{rate.count},{show_duration(rate.seconds)}"


def parse_bytesize(text: str) -> int:
    """Bytes, below 4 GB."""
    match = re.fullmatch(r"(\d{1,10})\s*([a-z]*)", text.lower(), re.ASCII)
    if not match or match[2] not in BYTE_UNITS or int(match[1]) * BYTE_UNITS[match[2]] > MOST_BYTES:
        raise ValueError("must be a size such as 1024, 64KB or 1MB, below 4GB")
    return int(match[1]) * BYTE_UNITS[match[2]]


def bytesize(low: int) -> Kind:
    """A size of `low` bytes or more."""

    def parse(text: str) -> int:
        size = parse_bytesize(text)
        if size < low:
            raise ValueError(f"must be {low} bytes or more")
        return size

    return Kind("bytesize", parse, low=low, high=MOST_BYTES, unit="bytes")


def parse_endpoint(text: str) -> Endpoint | None:
    """`1883`, `127.0.0.1:1883`, `[::1]:1883`; None for `0` and `off`."""
    if text in ("off", "0"):
        return None
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("must be a port from 1 to 65535, an address and port, or off")
    host = host.removeprefix("[").removesuffix("]")
    if host:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"has the address {host}, which is neither IPv4 nor IPv6") from None
    return Endpoint(host, int(port))


def parse_percent(text: str) -> float:
    """`80%`; the sign may be left out."""
    number = text.removesuffix("%")
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", number, re.ASCII) or float(number) > 100:
        raise ValueError("must be a percentage from 0% to 100%")
    return float(number)


def parse_rate(text: str) -> Rate | None:
    """`10,1m`: ten a minute. Empty: no limit."""
    if not text:
        return None
    count, comma, window = text.partition(",")
    if not comma or not re.fullmatch(r"\d{1,9}", count.strip(), re.ASCII) or int(count) == 0:
        raise ValueError("must be a count and a duration such as 10,1m")
    seconds = parse_duration(window.strip())
    if seconds == 0:
        raise ValueError("must be a count and a duration above 0, such as 10,1m")
    return Rate(int(count), seconds)


def parse_threshold(text: str) -> Threshold:
    """`1000|1MB`: a count and a size."""
    count, bar, size = text.partition("|")
    if not bar or not re.fullmatch(r"\d+", count.strip()):
        raise ValueError("must be a count and a size such as 1000|1MB")
    return Threshold(int(count), parse_bytesize(size.strip()))


def parse_priorities(text: str) -> dict[str, int]:
    """`topic/1=10,topic/2=8`: topics with a priority from 1 to 255; `none` for none."""
    table: dict[str, int] = {}
    for item in text.split(",") if text != "none" else ():
        topic, equals, priority = item.strip().rpartition("=")
        if not equals or not topic or not re.fullmatch(r"\d{1,3}", priority) or not 1 <= int(priority) <= 255:
            raise ValueError("must be none or topics with priorities from 1 to 255, such as a/b=10,c=8")
        table[topic] = int(priority)
    return table


def parse_mountpoint(text: str) -> str:
    """A topic prefix; placeholders in it are filled at each CONNECT."""
    if "+" in text or "#" in text:
        raise ValueError("must be a topic prefix without + and #")
    if text.startswith(("$SYS/", "$share/", "$queue/")):
        raise ValueError("must be a topic prefix that does not begin with $SYS/, $share/ or $queue/")
    return text


def parse_application(text: str) -> tuple[str, str] | None:
    """`appid:secret`; the text of the value is never repeated in the error."""
    if not text:
        return None
    app_id, colon, secret = text.partition(":")
    if not colon or not app_id or not secret:
        raise ValueError("must be an application id and a secret, as in appid:secret")
    return app_id, secret


def parse_node_name(text: str) -> str:
    """name@host."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+@[A-Za-z0-9._:-]+", text):
        raise ValueError("must be name@host")
    return text


def parse_zone_name(text: str) -> str:
    """A zone's name: the word between `zone.` and the key."""
    if not re.fullmatch(r"[a-z0-9_]+", text):
        raise ValueError("must be a zone name of lower-case letters, digits and _")
    return text


def parse_network(text: str) -> Network:
    """A network; a single address is a network of one."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8 or 2001:db8::/32") from None


def parse_networks(text: str) -> tuple[Network, ...]:
    """Divided by commas."""
    return tuple(parse_network(part) for part in text.split(",") if part.strip())


def parse_tls_versions(text: str) -> tuple[str, ...]:
    """Divided by commas."""
    versions = tuple(part.strip() for part in text.split(","))
    if not set(versions) <= set(TLS_ORDER):
        raise ValueError(f"must be one or more of {', '.join(TLS_ORDER)}")
    return versions


def parse_words(text: str) -> tuple[str, ...]:
    """Divided by commas or spaces."""
    return tuple(text.replace(",", " ").split())


def parse_access(text: str) -> AccessRule | None:
    """`allow 192.168.0.0/24`, `deny all`; empty for no rule."""
    if not text:
        return None
    verdict, _, network = text.partition(" ")
    network = network.strip()
    if verdict not in ("allow", "deny") or not network:
        raise ValueError("must be allow or deny and a network or all, such as allow 192.168.0.0/24")
    try:
        return AccessRule(verdict == "allow", None if network == "all" else ipaddress.ip_network(network, strict=False))
    except ValueError:
        raise ValueError(f"has the network {network}, which is neither IPv4 nor IPv6") from None


def parse_rewrite(text: str) -> RewriteRule | None:
    """`x/# ^x/y/(.+)$ z/y/$1`: filter, regular expression and destination; empty for no rule."""
    if not text:
        return None
    parts = text.split()
    if len(parts) != 3:
        raise ValueError("must be a topic filter, a regular expression and a destination, such as x/# ^x/(.+)$ y/$1")
    rule = RewriteRule(*parts)
    try:
        groups = linear(rule.expression).groups
    except ValueError as error:
        raise ValueError(f"has a regular expression that RE2 does not take: {error}") from None
    if any(int(number) > groups for number in re.findall(r"\$(\d+)", rule.destination)):
        raise ValueError(f"refers to more than the {groups} groups of its regular expression")
    return rule


def show_priorities(table: dict[str, int]) -> str:
    return ",".join(f"{topic}={priority}" for topic, priority in table.items()) or "none"


def show_access(rule: AccessRule | None) -> str:
    return "" if rule is None else f"{'allow' if rule.allow else 'deny'} {rule.network or 'all'}"


def show_rewrite(rule: RewriteRule | None) -> str:
    return "" if rule is None else f"{rule.topic_filter} {rule.expression} {rule.destination}"


def show_list(values: tuple[Any, ...]) -> str:
    """With commas between."""
    return ",".join(map(str, values))


FLAG = Kind("flag", parse_flag, show_flag, choices=("true", "false"))
DURATION_KIND = duration(0)
EXPIRY = Kind("integer, duration", parse_expiry, show_milliseconds, low=0, unit="ms")
BYTESIZE = bytesize(0)
STRING = Kind("string", str)
PATH = Kind("string", str, is_path=True)
ENDPOINT = Kind("ip", parse_endpoint, lambda endpoint: "off" if endpoint is None else endpoint.listen_on)
RATE = Kind("string", parse_rate, show_rate)
THRESHOLD = Kind("string", parse_threshold, lambda threshold: f"{threshold.count}|{threshold.size}")
PRIORITIES = Kind("string", parse_priorities, show_priorities)
MOUNTPOINT = Kind("string", parse_mountpoint)
APPLICATION = Kind("string", parse_application)
ACL_FILE = Kind("string", read_acl_file, lambda acl: acl.path, is_path=True, shipped=shipped_rules)
PERCENT = Kind("percent", parse_percent, "{:g}%".format, low=0, high=100, unit="%")
NODE_NAME = Kind("string", parse_node_name)
ZONE_NAME = Kind("string", parse_zone_name)
ACCESS = Kind("string", parse_access, show_access)
REWRITE = Kind("string", parse_rewrite, show_rewrite)
NETWORKS = Kind("string", parse_networks, show_list)
TLS_VERSIONS = Kind("string", parse_tls_versions, show_list)
WORDS = Kind("string", parse_words, show_list)
