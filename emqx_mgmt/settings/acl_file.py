"""The rules of `acl.conf` (behaviour, 11.3): `{allow|deny, all}.` and `{allow|deny, Who, Access, Topics}.`"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace

from emqx_mgmt.settings.regular_file import read_text
from emqx_mgmt.settings.terms import Atom, Reader, Term

DEFAULT = "etc/acl.conf"
# What holds where there is no file of the default name.
SHIPPED = """\
{allow, {user, "dashboard"}, subscribe, ["$SYS/#"]}.
{allow, {ipaddr, "127.0.0.1"}, pubsub, ["$SYS/#", "#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.
{allow, all}.
"""
ACL_PUBLISH, ACL_SUBSCRIBE = "publish", "subscribe"
ACCESS = {
    "publish": frozenset((ACL_PUBLISH,)),
    "subscribe": frozenset((ACL_SUBSCRIBE,)),
    "pubsub": frozenset((ACL_PUBLISH, ACL_SUBSCRIBE)),
}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Who:
    """`kind` is all, user, client, ipaddr, and, or. `name` None stands for every name."""

    kind: str
    name: str | None = None
    network: Network | None = None
    members: tuple[Who, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicRule:
    """A filter, or with `literal` a text to be equal to."""

    text: str
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """`topics` None stands for every topic."""

    allow: bool
    who: Who
    access: frozenset[str]
    topics: tuple[TopicRule, ...] | None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AclFile:
    """`is_shipped`: there is no such file, and the rules are those that come with the broker."""

    path: str
    rules: tuple[Rule, ...]
    is_shipped: bool = False


def read_acl_file(path: str) -> AclFile:
    """Raises ValueError with the end of a sentence."""
    try:
        return AclFile(path, parse_rules(read_text(path)))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ValueError("has terms that are nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def shipped_rules(path: str) -> AclFile:
    """The rules that are used where there is no file at `path`."""
    return AclFile(path, parse_rules(SHIPPED), is_shipped=True)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Raises ValueError for all that are wrong; behind a term that does not end nothing can be read."""
    rules: list[Rule] = []
    faults: list[str] = []
    try:
        for term, line in Reader(text).terms():
            try:
                rules.append(replace(_parsed(term), line=line))
            except ValueError as error:
                faults.append(f"line {line}: {error}")
    except ValueError as error:
        faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(rules)


def _parsed(term: Term) -> Rule:
    if not isinstance(term, tuple) or len(term) not in (2, 4) or term[0] not in ("allow", "deny"):
        raise ValueError("a rule is {allow|deny, all} or {allow|deny, Who, Access, Topics}")
    allow = term[0] == "allow"
    if len(term) == 2:
        if term[1] != "all":
            raise ValueError("a rule of two members ends in all")
        return Rule(allow, Who("all"), ACCESS["pubsub"], None)
    who, access, topics = term[1:]
    if not isinstance(access, Atom) or access not in ACCESS:
        raise ValueError("the access is subscribe, publish or pubsub")
    listed = topics if isinstance(topics, list) else [topics]
    return Rule(allow, _who(who), ACCESS[access], tuple(_topic(topic) for topic in listed))


def _who(term: Term) -> Who:
    if term == "all" and isinstance(term, Atom):
        return Who("all")
    if isinstance(term, tuple) and len(term) == 2 and isinstance(term[0], Atom):
        kind, what = str(term[0]), term[1]
        if kind in ("user", "client") and isinstance(what, str):
            everyone = isinstance(what, Atom) and what == "all"
            return Who(kind, None if everyone else str(what))
        if kind == "ipaddr" and isinstance(what, str):
            return Who(kind, network=ipaddress.ip_network(what, strict=False))
        if kind in ("and", "or") and isinstance(what, list):
            return Who(kind, members=tuple(_who(member) for member in what))
    raise ValueError("who is all, {user, Name}, {client, Id}, {ipaddr, Net}, {'and', [Who]} or {'or', [Who]}")


def _topic(term: Term) -> TopicRule:
    if isinstance(term, tuple) and len(term) == 2 and term[0] == "eq" and isinstance(term[1], str):
        return TopicRule(str(term[1]), literal=True)
    if isinstance(term, str):
        return TopicRule(str(term))
    raise ValueError('a topic is "filter" or {eq, "text"}')
