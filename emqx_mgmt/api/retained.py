"""Retained messages: an addition to the v3 API."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter, MissingParameter
from emqx_mgmt.api.filters import MATCH
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.retained import RetainedMessage, RetainedRow
from router_ext.protocol.topic import valid_filter, valid_name


class Filter(Struct, rename={"match": MATCH}):
    match: str


class Deleted(Struct):
    deleted: int


def list_retained(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.retained.page(params)


def lookup_retained(cluster: Cluster, topic: str) -> list[RetainedMessage]:
    message = cluster.local.retained.message(topic)
    return [] if message is None else [message]


def delete_retained(cluster: Cluster, topic: str) -> Deleted:
    if not valid_name(topic):
        raise BadParameter("topic", f"must be a topic without wildcards; use {MATCH} to delete by filter")
    deleted = cluster.local.retained.delete(topic)
    if not deleted:
        raise RequestRefused("not_found")
    return Deleted(deleted)


def delete_retained_by_filter(cluster: Cluster, params: str) -> Deleted:
    return Deleted(cluster.local.retained.delete(params))


def topic_filter(given: dict[str, Any]) -> str:
    """Required, so that a forgotten parameter does not delete all messages."""
    if MATCH not in given:
        raise MissingParameter(MATCH)
    if not isinstance(given[MATCH], str) or not valid_filter(given[MATCH]):
        raise BadParameter(MATCH, "must be a valid topic or topic filter")
    return str(given[MATCH])


ENDPOINTS = (
    Endpoint(
        "list_retained",
        "GET",
        "/retained/",
        "A list of retained messages",
        list_retained,
        takes=Paged(RetainedRow),
        listed=False,
    ),
    Endpoint(
        "lookup_retained",
        "GET",
        "/retained/:topic",
        "The retained message of a topic",
        lookup_retained,
        listed=False,
    ),
    Endpoint(
        "delete_retained",
        "DELETE",
        "/retained/:topic",
        "Delete the retained message of a topic",
        delete_retained,
        listed=False,
    ),
    Endpoint(
        "delete_retained_by_filter",
        "DELETE",
        "/retained/",
        "Delete the retained messages that a filter matches",
        delete_retained_by_filter,
        takes=topic_filter,
        described=Filter,
        listed=False,
    ),
)
