"""Delayed messages (`$delayed/<seconds>/<topic>`): an addition to the v3 API."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.delayed import DelayedMessage, DelayedRow
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.manage.listing import Page, Paging


def list_delayed(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.delayed.page(params)


def lookup_delayed(cluster: Cluster, id: str) -> list[DelayedMessage]:
    message = cluster.local.delayed.message(id)
    return [] if message is None else [message]


def delete_delayed(cluster: Cluster, id: str) -> Done:
    if not cluster.local.delayed.delete(id):
        raise RequestRefused("not_found")
    return Done()


ENDPOINTS = (
    Endpoint(
        "list_delayed",
        "GET",
        "/delayed/",
        "A list of delayed messages",
        list_delayed,
        takes=Paged(DelayedRow),
        listed=False,
    ),
    Endpoint(
        "lookup_delayed",
        "GET",
        "/delayed/:id",
        "A delayed message",
        lookup_delayed,
        listed=False,
    ),
    Endpoint(
        "delete_delayed",
        "DELETE",
        "/delayed/:id",
        "Delete a delayed message: it is not published",
        delete_delayed,
        listed=False,
    ),
)
