"""The history of the main rates."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.broker.telemetry.rates import Sample
from emqx_mgmt.manage import Cluster

Time = Annotated[int, Meta(ge=0, le=2**40)]


class Span(Struct):
    """Unix seconds, both included."""

    first: Time = 0
    last: Time = 2**40


class NodeRates(Struct):
    node: str
    rates: list[Sample]


def list_seconds(cluster: Cluster, params: Span) -> list[NodeRates]:
    return [NodeRates(node.name, node.rates_by_second(params.first, params.last)) for node in cluster.running()]


def list_node_seconds(cluster: Cluster, node: str, params: Span) -> list[Sample]:
    return cluster.named(node).rates_by_second(params.first, params.last)


def list_minutes(cluster: Cluster, params: Span) -> list[NodeRates]:
    return [NodeRates(node.name, node.rates_by_minute(params.first, params.last)) for node in cluster.running()]


def list_node_minutes(cluster: Cluster, node: str, params: Span) -> list[Sample]:
    return cluster.named(node).rates_by_minute(params.first, params.last)


ENDPOINTS = (
    Endpoint("list_rates_by_second", "GET", "/rates/seconds",
             "The main rates of the last hour, second by second", list_seconds, takes=Span, listed=False),
    Endpoint("list_node_rates_by_second", "GET", "/nodes/:node/rates/seconds",
             "The main rates of a node in the last hour, second by second", list_node_seconds, takes=Span,
             listed=False),
    Endpoint("list_rates_by_minute", "GET", "/rates/minutes",
             "The main rates of the last seven days, minute by minute", list_minutes, takes=Span, listed=False),
    Endpoint("list_node_rates_by_minute", "GET", "/nodes/:node/rates/minutes",
             "The main rates of a node in the last seven days, minute by minute", list_node_minutes, takes=Span,
             listed=False),
)
