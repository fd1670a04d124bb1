"""GET /explain/: the recipients that a message to a topic would have, and the rules that would refuse it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.explain import Explanation
from router_ext.protocol.topic import valid_name


class Question(Struct):
    """`client_id` is the publisher; it matters only while it is connected. `limit` bounds the number of recipients
    shown."""

    topic: str
    client_id: str | None = None
    qos: Annotated[int, Meta(ge=0, le=2)] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


def explain_topic(cluster: Cluster, params: Question) -> Explanation:
    if not valid_name(params.topic):
        raise BadParameter("topic", "must be a valid topic name")
    return cluster.local.clients.explain(params.topic, params.client_id, params.qos, params.limit)


ENDPOINTS = (
    Endpoint(
        "explain_topic",
        "GET",
        "/explain/",
        "Whom a message would reach, and who would refuse it",
        explain_topic,
        takes=Question,
        listed=False,
    ),
)
