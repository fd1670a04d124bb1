"""What the clients of one user name may use together: `max_connections_per_user`, `max_subscriptions_per_user` and
`publish_limit_per_user` of zones.

Subscriptions and messages are counted in the routing core (`User`); connections here.

A client without a user name belongs to nobody, and is not counted. A zone without the limit counts too: what its users
have counts where there is one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.refused import PacketRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.auth.client import Client
    from router_ext.engine.channel import Channel

# Before any plugin: no back-end is asked about a client that is refused in any case.
PRIORITY = 1 << 20


class UserQuota:
    """`limits` are connections of a user name, by zone; 0 for no limit."""

    def __init__(self, broker: Broker, limits: Mapping[str, int]) -> None:
        self._broker = broker
        self._limits = limits
        self._client_ids: defaultdict[str, set[str]] = defaultdict(set)  # by user name
        self._users: dict[str, str] = {}  # by client id: nothing is reported of a connection that is taken over

    def start(self) -> None:
        self._broker.session_manager.users = WeakValueDictionary()
        if not any(self._limits.values()):
            return
        hooks = self._broker.hooks
        hooks.add("client.authenticate", self.authenticate, PRIORITY)
        hooks.add("client.connected", self.connected)
        hooks.add("client.disconnected", self.disconnected)

    def authenticate(self, client: Client) -> PacketRefused | None:
        """A client id that is connected takes its own place."""
        username, limit = client.username, self._limits.get(client.zone, 0)
        if not username or not limit:
            return None
        others = self._client_ids.get(username, set()) - {client.client_id}
        if len(others) < limit:
            return None
        return PacketRefused(reasons.QUOTA_EXCEEDED, f"its user has {len(others)} connections, and "
                             f"max_connections_per_user is {limit}")

    def connected(self, client: Client, channel: Channel) -> None:
        """Several may have been let in at once, while they waited for a plugin, or by enhanced authentication, which
        `client.authenticate` is not asked about."""
        self._forget(client.client_id)
        if not client.username:
            return
        if self.authenticate(client) is not None:
            channel.close("quota_exceeded", reasons.QUOTA_EXCEEDED)
            return
        self._client_ids[client.username].add(client.client_id)
        self._users[client.client_id] = client.username

    def disconnected(self, client: Client, _reason: str) -> None:
        self._forget(client.client_id)

    def _forget(self, client_id: str) -> None:
        username = self._users.pop(client_id, None)
        if username is not None:
            self._client_ids[username].discard(client_id)
            if not self._client_ids[username]:
                del self._client_ids[username]
