"""The life of sessions: opened or resumed at CONNECT, taken over, left, expired; and their wills."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, UNAVAILABLE
from emqx_mgmt.broker.auth.client import NOWHERE, Client
from emqx_mgmt.broker.auth.verdicts import Question, guard
from emqx_mgmt.broker.loop.timers import Timer
from router_ext.engine.session_end import end_session
from router_ext.message.message import Message
from router_ext.protocol.codec import encode_properties
from router_ext.protocol.topic import valid_name
from router_ext.routing.router import User
from router_ext.session.session import Session

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.access import Access
    from emqx_mgmt.broker.auth.verdicts import Verdicts
    from emqx_mgmt.broker.durable import Durable
    from emqx_mgmt.broker.hooks import Hooks
    from router_ext.engine.channel import Channel
    from router_ext.engine.engine import Engine
    from router_ext.protocol.packets import Will

log = logging.getLogger(__name__)

NEVER = 0xFFFFFFFF
# Properties of a will that belong to the will itself and are not passed on as they stand.
OWN_PROPERTIES = ("will_delay_interval", "message_expiry_interval")
PUBLISH_PACKET = 3
# Ends of a session that its client did not ask for: its messages are counted as lost.
REMOVAL_REASONS = ("expired", "deleted")


@dataclass(slots=True)
class Left:
    """The timers of a session without a connection."""

    will: Timer | None = None
    expiry: Timer | None = None


class Sessions:
    """Opens, leaves and ends sessions; `engine.sessions` has them by client id."""

    def __init__(self, engine: Engine, hooks: Hooks, verdicts: Verdicts, access: Access, durable: Durable, *,
                 after: Callable[[float, Callable[[], None]], Timer],
                 route: Callable[[Message, Session], None]) -> None:
        self._engine = engine
        self._hooks = hooks
        self._verdicts = verdicts
        self._access = access
        self._durable = durable
        self._after = after
        self._route = route
        self._left: dict[Session, Left] = {}
        # By user name, where zones limit what the sessions of a user use together.
        self.users: WeakValueDictionary[str, User] | None = None
        self.online = 0  # clients that are connected
        self.persistent = 0  # sessions created or resumed with Clean Start 0

    # -- connecting ---------------------------------------------------------------------------------

    def open(self, channel: Channel, client_id: str, username: str | None, expiry: int) -> tuple[Session, bool]:
        """The session for a connection, and Session Present (MQTT 5.0, section 3.1.2.4). A connection that has the
        session is closed first [MQTT-3.1.4-3]."""
        session = self._engine.sessions.get(client_id)
        present = False
        if session is not None:
            self._take_over(session, channel.clean_start)
            present = not channel.clean_start and client_id in self._engine.sessions
            if not present and self._engine.sessions.get(client_id) is session:
                self.end(session, "discarded")
        if not present or session is None:
            session = Session(client_id, channel.zone, username=username, clean_start=channel.clean_start,
                              created_at=time.time())
            self._engine.sessions[client_id] = session
            self.persistent += not session.clean_start
        else:
            self._resume(session, username)
        if self.users is not None:
            self._join(self.users, session)
        session.expire_after(expiry)
        self._durable.opened(session)
        return session, present

    def _join(self, users: WeakValueDictionary[str, User], session: Session) -> None:
        user = None
        if session.username:
            user = users.get(session.username)
            if user is None:
                user = users[session.username] = User()
        session.belong_to(user)

    def _take_over(self, session: Session, clean_start: bool) -> None:
        if session.channel is not None:
            session.channel.close("discard" if clean_start else "conflict", reasons.SESSION_TAKEN_OVER)

    def _resume(self, session: Session, username: str | None) -> None:
        self.persistent += session.clean_start
        session.taken_over(username)
        left = self._left.pop(session, None)
        if left is not None:  # [MQTT-3.1.3-9] a will that waits is not sent when the client comes back
            cancel(left.will)
            cancel(left.expiry)

    def give_up(self, client_id: str, before: Session | None) -> None:
        """A CONNECT failed after `open` had begun. A session that it made is ended; the session `before` it is left
        again, without a will."""
        session = self._engine.sessions.get(client_id)
        if session is None or session.channel is not None or session in self._left:
            return
        session.set_will(None)
        if session is before:
            self.leave(session, send_will=False)
        else:
            self._durable.forget_will(session)
            self.end(session, "discarded")

    # -- disconnecting ------------------------------------------------------------------------------

    def leave(self, session: Session, send_will: bool) -> None:
        """The connection is gone: sends the will or sets its timer, ends the session or sets its timer."""
        will = session.take_will()
        if will is not None:
            self._durable.forget_will(session)
        if will is None and session.expiry_interval == 0:
            self.end(session, "closed")
            return
        delay = 0
        if will is not None and send_will:
            delay = min(will.properties.get("will_delay_interval", 0), session.expiry_interval)
            if not delay:
                self.publish_will(session, will)
        if session.expiry_interval == 0:
            self.end(session, "closed")
            return
        self._durable.left(session, will if delay else None, delay)
        session.page_out()
        self.wait(session, will if delay else None, delay, session.expiry_interval)

    def wait(self, session: Session, will: Will | None, delay: float, expiry: float) -> None:
        """Sets the timers of a session without a connection: seconds until its will is sent, and until it ends."""
        left = Left()
        if will is not None:
            left.will = self._after(delay, lambda: self._send_waiting_will(session, will))
        if session.expiry_interval != NEVER:
            left.expiry = self._after(expiry, lambda: self._expire(session, left, will))
        self._left[session] = left

    def _send_waiting_will(self, session: Session, will: Will) -> None:
        left = self._left.get(session)
        if left is not None:
            left.will = None
        self._durable.will_changed(session)
        self.publish_will(session, will)

    def _expire(self, session: Session, left: Left, will: Will | None) -> None:
        """[MQTT-3.1.2-8] The will is sent when the session ends, at the latest."""
        if left.will is not None and left.will.call is not None and will is not None:
            left.will.cancel()
            self.publish_will(session, will)
        self.end(session, "expired")

    def end(self, session: Session, reason: str) -> None:
        """Ends the session. A will that still waits is sent first."""
        left = self._left.pop(session, None)
        if left is not None:
            cancel(left.expiry)
            if left.will is not None and left.will.call is not None:
                call = left.will.call
                left.will.cancel()
                call()
        if reason in REMOVAL_REASONS:
            self._engine.metrics.count("dropped/session_ended", session.inflight_len + session.mqueue_len)
        self.drop(session)
        self._hooks.run("session.terminated", session, reason)

    def restored(self, session: Session) -> None:
        """Counts a session that the store had."""
        if self.users is not None:
            self._join(self.users, session)
        self.persistent += not session.clean_start

    def drop(self, session: Session) -> None:
        """Removes a session without calling handlers: it had ended before a restart."""
        end_session(self._engine, session)
        self.persistent -= not session.clean_start

    def publish_will(self, session: Session, will: Will) -> None:
        """[MQTT-3.1.2-8] Publishes the will in the client's name, through the hooks. Access is checked again, since
        rules may have changed since CONNECT."""
        zone = session.zone
        if not valid_name(will.topic):  # of a store of an earlier version, which took any length
            return
        client: Client = will.publisher or Client(session.client_id, session.username, NOWHERE, zone.name)
        mount = client.mountpoint(zone.mountpoint) or ""

        def decision() -> int:
            return self._access.verdict_of_names(client, will.topic.removeprefix(mount), zone, mount)

        def decided(verdict: int) -> None:
            if verdict == ALLOW:
                self._route_will(session, will, client)
            else:
                self._engine.metrics.count("dropped/acl_denied")
                log.warning("The will of client %.100r is not sent: the ACL does not let it publish to %.100r now.",
                            session.client_id, will.topic)

        if zone.enable_acl and self._hooks.may_block("client.check_acl"):
            self._verdicts.ask(Question(None, decision, UNAVAILABLE, decided))
        else:
            decided(guard(decision, UNAVAILABLE))

    def _route_will(self, session: Session, will: Will, client: Client) -> None:
        forwarded = {name: value for name, value in will.properties.items() if name not in OWN_PROPERTIES}
        message = Message.create(
            will.topic, will.payload, will.qos, will.retain, session.client_id,
            encode_properties(forwarded, PUBLISH_PACKET) if forwarded else b"",
            will.properties.get("message_expiry_interval"),
        )
        message.publisher = client
        self._route(message, session)


def cancel(timer: Timer | None) -> None:
    """Cancels a timer, if there is one."""
    if timer is not None:
        timer.cancel()
