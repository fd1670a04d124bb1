"""Slow subscribers: an addition to the v3 API."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.slow_subscribers import SlowSubscriberRow


def list_slow_subscribers(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.slow_subscribers.page(params)


def forget_slow_subscribers(cluster: Cluster) -> Done:
    cluster.local.slow_subscribers.forget()
    return Done()


ENDPOINTS = (
    Endpoint("list_slow_subscribers", "GET", "/slow_subscribers/", "A list of slow subscribers, the slowest first",
             list_slow_subscribers, takes=Paged(SlowSubscriberRow), listed=False),
    Endpoint("forget_slow_subscribers", "DELETE", "/slow_subscribers/", "Begin the list of slow subscribers anew",
             forget_slow_subscribers, listed=False),
)
