"""GET /events: events of the node, as server-sent events."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api import access
from emqx_mgmt.api.auth import stream_owner
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.render import EventStream
from emqx_mgmt.broker.telemetry.events import KINDS, TooMany
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import RequestRefused


class Wanted(Struct):
    """`types` are names of event types, separated by commas. With `client_id`, events of other clients are left out."""

    types: str = ",".join(KINDS)
    client_id: str | None = None


def listen(cluster: Cluster, params: Wanted) -> EventStream:
    kinds = frozenset(params.types.split(","))
    if not kinds <= set(KINDS):
        raise BadParameter("types", f"must be some of {', '.join(KINDS)}")
    try:
        return EventStream(cluster.local.subscribe_events(kinds, stream_owner(), params.client_id), access.lasting())
    except TooMany as error:
        raise RequestRefused(str(error)) from None


ENDPOINTS = (
    Endpoint("listen_to_events", "GET", "/events",
             "Server-sent events: connects, disconnects, subscriptions, alarms and rates",
             listen, takes=Wanted, listed=False, fails=True),
)
