"""Listeners: addresses, sockets, TLS, and counters."""

from emqx_mgmt.listeners.descriptors import ConnectionBudget, raise_descriptor_limit
from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.sockets import ListenError, adopt_sockets, close_listeners, declared, export, open_listeners

__all__ = [
    "ConnectionBudget",
    "ListenError",
    "Listener",
    "adopt_sockets",
    "close_listeners",
    "declared",
    "export",
    "open_listeners",
    "raise_descriptor_limit",
]
