"""Metrics of chosen topics: an addition to the v3 API."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page, Paging
from emqx_mgmt.manage.topic_metrics import TopicMetricsRow
from router_ext.protocol.topic import valid_filter


class NewTopic(Struct):
    """A topic, or a topic filter."""

    topic: str


def list_topic_metrics(cluster: Cluster, params: Paging) -> Page:
    return cluster.local.topic_metrics.page(params)


def lookup_topic_metrics(cluster: Cluster, topic: str) -> list[TopicMetricsRow]:
    row = cluster.local.topic_metrics.find(topic)
    return [] if row is None else [row]


def add_topic_metrics(cluster: Cluster, params: NewTopic) -> Done:
    if not valid_filter(params.topic):
        raise BadParameter("topic", "must be a valid topic or topic filter")
    cluster.local.topic_metrics.add(params.topic)
    return Done()


def reset_topic_metrics(cluster: Cluster, topic: str) -> Done:
    cluster.local.topic_metrics.reset(topic)
    return Done()


def remove_topic_metrics(cluster: Cluster, topic: str) -> Done:
    cluster.local.topic_metrics.remove(topic)
    return Done()


ENDPOINTS = (
    Endpoint("list_topic_metrics", "GET", "/topic_metrics/", "A list of the topics that have metrics",
             list_topic_metrics, takes=Paged(TopicMetricsRow), listed=False),
    Endpoint("lookup_topic_metrics", "GET", "/topic_metrics/:topic", "Metrics of a topic", lookup_topic_metrics,
             listed=False),
    Endpoint("add_topic_metrics", "POST", "/topic_metrics/", "Begin metrics of a topic or topic filter",
             add_topic_metrics, takes=NewTopic, listed=False),
    Endpoint("reset_topic_metrics", "PUT", "/topic_metrics/:topic/reset", "Begin metrics of a topic anew",
             reset_topic_metrics, listed=False),
    Endpoint("remove_topic_metrics", "DELETE", "/topic_metrics/:topic", "End metrics of a topic",
             remove_topic_metrics, listed=False),
)
