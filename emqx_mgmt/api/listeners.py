"""Listeners: their addresses and numbers of connections. MQTT listeners can be stopped and started."""

from __future__ import annotations

from msgspec import Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import Listener


class NodeListeners(Struct):
    listeners: list[Listener]
    node: str


def list_listeners(cluster: Cluster) -> list[NodeListeners]:
    return [NodeListeners(node.listeners.all(extended()), node.name) for node in cluster.running()]


def list_node_listeners(cluster: Cluster, node: str) -> list[Listener]:
    return cluster.named(node).listeners.all(extended())


def start_listener(cluster: Cluster, identifier: str) -> Done:
    for node in cluster.running():
        node.listeners.start(identifier)
    return Done()


def stop_listener(cluster: Cluster, identifier: str) -> Done:
    for node in cluster.running():
        node.listeners.stop(identifier)
    return Done()


def restart_listener(cluster: Cluster, identifier: str) -> Done:
    for node in cluster.running():
        node.listeners.restart(identifier)
    return Done()


ENDPOINTS = (
    Endpoint("list_listeners", "GET", "/listeners/", "A list of listeners in the cluster", list_listeners),
    Endpoint(
        "list_node_listeners",
        "GET",
        "/nodes/:node/listeners",
        "A list of listeners on the node",
        list_node_listeners,
    ),
    Endpoint("start_listener", "PUT", "/listeners/:identifier/start",
             "Start a MQTT listener that was stopped, by its identifier, such as mqtt:tcp:external", start_listener,
             listed=False),
    Endpoint("stop_listener", "PUT", "/listeners/:identifier/stop",
             "Stop a MQTT listener until the next start or reload of the broker, and disconnect its clients",
             stop_listener, listed=False),
    Endpoint("restart_listener", "PUT", "/listeners/:identifier/restart",
             "Disconnect the clients of a MQTT listener and accept connections again", restart_listener,
             listed=False),
)
