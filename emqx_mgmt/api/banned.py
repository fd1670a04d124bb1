"""Bans by client id, user name and address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import ParameterError
from emqx_mgmt.api.paging import Chosen, Paged, filters_shown
from emqx_mgmt.api.parameters import converted
from emqx_mgmt.api.render import Created, Done
from emqx_mgmt.broker.auth.banned import IP_ADDRESS, KINDS, Ban, BanKey, address_text
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import MISSING_PARAMETER
from emqx_mgmt.manage.listing import Page, Paging, Test, in_turns, page_of

UNDEFINED = "undefined"


class NotOfThese(ParameterError):
    def __init__(self) -> None:
        super().__init__(f"value of 'as' must be one of: {list(KINDS)}")


class Incomplete(ParameterError):
    code = MISSING_PARAMETER

    def __init__(self, *mandatory: str) -> None:
        super().__init__(f"missing mandatory params: {list(mandatory)}")


class NotAnAddress(ParameterError):
    def __init__(self) -> None:
        super().__init__("value of 'who' must be an IPv4 or IPv6 address when 'as' is ip_address")


class Members(Struct):
    """Optional members of a new ban; unknown members are ignored."""

    who: Annotated[str, Meta(min_length=1)]
    reason: str | None = None
    by: str | None = None
    desc: str | None = None
    until: Annotated[int, Meta(ge=0, lt=1 << 53)] | Literal["undefined"] | None = None


class Kind(Struct, rename={"kind": "as"}):
    kind: Literal["client_id", "username", "ip_address"]


class BanRequest(Members, rename={"kind": "as"}, kw_only=True):
    """The parameters that `NewBan.of` converts."""

    kind: Literal["client_id", "username", "ip_address"]


@dataclass(frozen=True, slots=True)
class NewBan:
    ban: Ban
    echo: dict[str, Any]

    @classmethod
    def of(cls, given: dict[str, Any]) -> NewBan:
        if "who" not in given or "as" not in given:
            raise Incomplete("who", "as")
        kind = kind_of(given)
        members = converted(given, Members)
        until = members.until if isinstance(members.until, int) else None
        who = members.who
        if kind == IP_ADDRESS:
            try:
                who = address_text(who)
            except ValueError:
                raise NotAnAddress from None
        return cls(Ban(kind, who, members.reason, members.by, members.desc, until), given)


class Row(Struct, rename={"kind": "as"}):
    kind: str
    by: str
    desc: str
    reason: str
    until: int | str
    who: str


def kind_of(given: dict[str, Any]) -> str:
    """The parameter `as`. A field cannot have this name, since it is a keyword of Python."""
    if "as" not in given:
        raise Incomplete("as")
    if given["as"] not in KINDS:
        raise NotOfThese
    return str(given["as"])


def list_banned(cluster: Cluster, params: Paging) -> Page:
    return page_of(list(cluster.local.bans.table), params, _row)


def create_banned(cluster: Cluster, params: NewBan) -> Created:
    cluster.local.bans.put(params.ban)
    return Created(params.echo)


def delete_banned(cluster: Cluster, who: str, params: str) -> Done:
    if params == IP_ADDRESS:
        try:
            who = address_text(who)
        except ValueError:
            return Done()
    cluster.local.bans.remove(BanKey(params, who))
    return Done()


class Lifted(Struct, rename={"kind": "as"}):
    kind: str
    who: str
    code: int


def delete_many_banned(cluster: Cluster, params: tuple[Test, ...]) -> list[Lifted]:
    bans = cluster.local.bans
    keys = [BanKey(ban.kind, ban.who) for ban in in_turns(list(bans.table)) if all(test(_row(ban)) for test in params)]
    bans.remove_all(keys)
    return [Lifted(key.kind, key.who, 0) for key in keys]


def _row(ban: Ban) -> Row:
    return Row(
        ban.kind,
        _shown(ban.by),
        _shown(ban.desc),
        _shown(ban.reason),
        UNDEFINED if ban.until is None else ban.until,
        ban.who,
    )


def _shown(text: str | None) -> str:
    return UNDEFINED if text is None else text


ENDPOINTS = (
    Endpoint("delete_many_banned", "DELETE", "/banned/", "Delete the bans that filters choose", delete_many_banned,
             takes=Chosen(Row), conceals=filters_shown, listed=False),
    Endpoint("create_banned", "POST", "/banned/", "Create banned", create_banned, takes=NewBan.of,
             described=BanRequest),
    Endpoint("delete_banned", "DELETE", "/banned/:who", "Delete banned", delete_banned, takes=kind_of,
             described=Kind),
    Endpoint("list_banned", "GET", "/banned/", "List banned", list_banned, takes=Paged(Row)),
)
