"""The tree of topics, a level at a time: an addition to the v3 API."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page
from emqx_mgmt.manage.local_node import LocalNode
from emqx_mgmt.manage.topic_tree import RETAINED, ROUTES, Branch


class Wanted(Struct, rename={"limit": "_limit"}):
    """The levels below `under` that follow `after`; without `under` the first levels. `of` says whose topics count,
    separated by commas: retained messages, subscriptions."""

    under: str | None = None
    of: str = f"{RETAINED},{ROUTES}"
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


def list_topic_tree(cluster: Cluster, params: Wanted) -> Page:
    return branches(cluster.local, params)


def list_node_topic_tree(cluster: Cluster, node: str, params: Wanted) -> Page:
    return branches(cluster.named(node), params)


def branches(node: LocalNode, wanted: Wanted) -> Page:
    of = frozenset(wanted.of.split(","))
    if not of <= {RETAINED, ROUTES}:
        raise BadParameter("of", f"must be {RETAINED}, {ROUTES}, or both with a comma between them")
    return node.topic_tree.branches(wanted.under, of, wanted.after, wanted.limit)


ENDPOINTS = (
    Endpoint("list_topic_tree", "GET", "/topic_tree/", "One level of the tree of topics", list_topic_tree, takes=Wanted,
             row=Branch, listed=False),
    Endpoint("list_node_topic_tree", "GET", "/nodes/:node/topic_tree/", "One level of the tree of topics on a node",
             list_node_topic_tree, takes=Wanted, row=Branch, listed=False),
)
