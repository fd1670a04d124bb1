"""The node and the WSGI application of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt import create_app
from emqx_mgmt.node import Node
from emqx_mgmt.server.master import current

if TYPE_CHECKING:
    from flask import Flask

_node: Node | None = None


def application() -> Flask:
    """Builds the node and the WSGI application; starts neither."""
    global _node
    _node = Node(current().settings)
    return create_app(_node)


def running_node() -> Node:
    """The node of this worker."""
    assert _node is not None, "the application has not been built"
    return _node
