"""Messages published later: `$delayed/<seconds>/<topic>` (behaviour, 22.12). The broker keeps the pending messages."""

from __future__ import annotations

from gevent.pool import Pool

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, DENY, UNAVAILABLE
from emqx_mgmt.broker.delayed import Limits, Pending, clocks
from emqx_mgmt.broker.hooks import Renames
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.broker.refused import PacketRefused
from emqx_mgmt.plugins import Key, Plugin
from emqx_mgmt.settings.kinds import BYTESIZE, integer
from router_ext.message.message import Message
from router_ext.protocol.topic import valid_name

PREFIX = "$delayed/"
# Numbers from here on are not delays but times in unix seconds.
LONGEST_DELAY = 4294967
# Messages published in one turn of the loop.
MESSAGES_PER_TURN = 1000
# Decisions asked for at the same time, where a handler may wait.
ASKED = 100
# Milliseconds until access is checked again after a check that could not decide.
ASK_AGAIN_MS = 10_000


class Malformed(ValueError):
    """Not `$delayed/<seconds>/<topic>`."""


class DelayedPublish(Plugin):
    """While the plugin is not loaded, pending messages stay pending."""

    name = "emqx_delayed_publish"
    description = "EMQ X Delayed Publish"
    decides = ()
    settings = (
        Key("delayed_publish.max_messages", integer(), "100000",
            "The most delayed messages that are kept; more are refused (MQTT 5: 0x97). 0 for no limit."),
        Key("delayed_publish.max_bytes", BYTESIZE, "256MB", "The most bytes of them; 0 for no limit."),
        Key("delayed_publish.max_client_messages", integer(), "10000",
            "The most delayed messages of one client id that are kept; 0 for no limit."),
        Key("delayed_publish.max_client_bytes", BYTESIZE, "32MB",
            "The most bytes of the delayed messages of one client id; 0 for no limit."),
    )

    def load(self) -> None:
        self._pending = self.host.broker.delayed
        settings = self.host.settings
        self._pending.limits = Limits(
            settings["delayed_publish.max_messages"], settings["delayed_publish.max_bytes"],
            settings["delayed_publish.max_client_messages"], settings["delayed_publish.max_client_bytes"])
        self.host.hook("message.publish", self.take, prefix=PREFIX, renames=Renames(name_later, keeps=True))
        self.host.spawn(self.release)

    def take(self, message: Message) -> PacketRefused | None:
        """Keeps a delayed message. A malformed one, and one beyond the limits, is refused."""
        wall, monotonic = clocks()
        try:
            delay_ms, topic = parse(message.topic, wall)
        except Malformed as error:
            self.host.log.warning("Client %.100r published to %.100r, which goes nowhere: %s",
                                  message.client_id, message.topic, error)
            return PacketRefused(reasons.TOPIC_NAME_INVALID, str(error))
        kept = Message.create(topic, message.payload, message.qos, message.retain, message.client_id,
                              message.properties, message.expiry, monotonic)
        kept.publisher = message.publisher
        try:
            self._pending.add(kept, delay_ms)
        except PacketRefused as refused:
            return refused
        return None

    def release(self) -> None:
        """Publishes the messages that are due, in chunks."""
        self._pending.rewind()
        while True:
            self._pending.changed.clear()
            due, now = self._pending.next_due, clocks()[1]
            if due is None or due > now:
                self._pending.changed.wait(None if due is None else (due - now) / 1000)
                continue
            self.publish_due(self._pending.take(now, MESSAGES_PER_TURN), now)
            yield_to_loop()

    def publish_due(self, taken: list[tuple[bytes, Pending]], now: int) -> None:
        """Publishes, in order, the messages that their clients may still publish: access rules may have changed
        meanwhile."""
        broker, denied = self.host.broker, 0
        for (place, pending), verdict in zip(taken, self.verdicts([one for _, one in taken]), strict=True):
            if verdict == UNAVAILABLE:
                self._pending.put_off(place, now + ASK_AGAIN_MS)
                continue
            if not self._pending.end(place):
                continue  # deleted while access was checked
            message = pending.message
            if verdict == DENY:
                denied += 1
            # [MQTT-3.3.2-5] The interval may have passed while the message waited here.
            elif message.expiry is None or now - message.arrived < message.expiry * 1000:
                message.publisher = pending.client
                broker.route_quietly(message)
        if denied:
            broker.engine.metrics.count("dropped/acl_denied", denied)
            self.host.log.warning("%d delayed messages are dropped: the ACL refuses them now", denied)

    def verdicts(self, pending: list[Pending]) -> list[int]:
        """The verdict about each message, in order."""
        if self.host.broker.hooks.may_block("client.check_acl"):
            return list(Pool(ASKED).map(self.verdict, pending))
        return [self.verdict(one) for one in pending]

    def verdict(self, pending: Pending) -> int:
        client = pending.client
        return ALLOW if client is None else self.host.broker.access.verdict_later(client, pending.message.topic)


def name_later(topic: str) -> str:
    """The topic that a message will be published to. A malformed topic, which is refused, is returned unchanged."""
    try:
        return parse(topic, clocks()[0])[1]
    except Malformed:
        return topic


def parse(topic: str, wall: int) -> tuple[int, str]:
    """Milliseconds to wait and the topic to publish to. Raises Malformed."""
    number, slash, name = topic.removeprefix(PREFIX).partition("/")
    if not slash or not (number.isascii() and number.isdigit()) or len(number) > 12 or not valid_name(name):
        raise Malformed("expected $delayed/<seconds>/<topic>")
    if name.startswith(PREFIX):
        raise Malformed("a message is delayed once")
    seconds = int(number)
    if seconds < LONGEST_DELAY:
        return seconds * 1000, name
    delay_ms = seconds * 1000 - wall
    if delay_ms > LONGEST_DELAY * 1000:
        raise Malformed(f"the time is more than {LONGEST_DELAY} seconds ahead")
    return max(delay_ms, 0), name
