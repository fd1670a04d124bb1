"""Listeners: the addresses the node serves, their sockets and what they count."""

from emqx_mgmt.listeners.descriptors import connection_budget, raise_descriptor_limit
from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.sockets import ListenError, close_listeners, declared, export, open_listeners

__all__ = [
    "ListenError",
    "Listener",
    "close_listeners",
    "connection_budget",
    "declared",
    "export",
    "open_listeners",
    "raise_descriptor_limit",
]
