"""GET /trace: events of the messages of one topic or one client, as they happen."""

from __future__ import annotations

from typing import Annotated

import flask
from msgspec import Meta, Struct

from emqx_mgmt.api import access
from emqx_mgmt.api.auth import stream_owner
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.render import EventStream
from emqx_mgmt.broker.telemetry.events import TooMany
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import RequestRefused
from router_ext.protocol.topic import valid_filter


class Wanted(Struct):
    """Either `client_id` or `topic`, a topic or topic filter. The trace ends after `seconds`, or after `max_bytes`.
    `payload_bytes` of each payload are shown, to operators and administrators."""

    client_id: str | None = None
    topic: str | None = None
    seconds: Annotated[int, Meta(ge=1, le=3600)] = 60
    max_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1 << 20
    payload_bytes: Annotated[int, Meta(ge=0, le=1 << 16)] = 0


def trace(cluster: Cluster, params: Wanted) -> EventStream:
    if (params.client_id is None) == (params.topic is None):
        raise BadParameter("client_id or topic", "exactly one of them must be given")
    if params.topic is not None and not valid_filter(params.topic):
        raise BadParameter("topic", "must be a valid topic or topic filter")
    least = access.OPERATOR if params.payload_bytes else access.VIEWER
    access.demand(flask.g.endpoint, least)
    try:
        running = cluster.local.trace(params.client_id, params.topic or "", stream_owner(), params.seconds,
                                      params.max_bytes, params.payload_bytes)
        return EventStream(running, access.lasting(least))
    except TooMany as error:
        raise RequestRefused(str(error)) from None


ENDPOINTS = (
    Endpoint("trace", "GET", "/trace", "Server-sent events: what becomes of the messages of a topic or a client",
             trace, takes=Wanted, listed=False, fails=True),
)
