"""The nodes of the cluster, and the choice of the node that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.manage.errors import Unknown
from emqx_mgmt.manage.local_node import LocalNode

if TYPE_CHECKING:
    from emqx_mgmt.node import Node


class Cluster:
    """The running nodes, as seen from the node that got the request."""

    def __init__(self, node: Node) -> None:
        self.local = LocalNode(node)

    def running(self) -> list[LocalNode]:
        """The nodes that run: this one, since a cluster has one node."""
        return [self.local]

    def named(self, name: str) -> LocalNode:
        """The running node of that name; raises Unknown."""
        if name != self.local.name:
            raise Unknown(name)
        return self.local

    def with_session(self, client_id: str) -> LocalNode:
        """The node that has this client's session; the one asked when none has."""
        return next((node for node in self.running() if node.clients.session(client_id)), self.local)
