"""Messages published later: `$delayed/<seconds>/<topic>` (behaviour, 22.12). The broker keeps what is pending."""

from __future__ import annotations

from emqx_mgmt.broker.delayed import clocks
from emqx_mgmt.broker.rounds import next_round
from emqx_mgmt.plugins import Plugin
from router_ext.message import Message
from router_ext.topic import valid_name

PREFIX = "$delayed/"
# Numbers from here on are no delays but points in time, unix seconds.
LONGEST_DELAY = 4294967
# Messages published between two turns of the loop.
CHUNK = 1000


class Malformed(ValueError):
    """Not `$delayed/<seconds>/<topic>`."""


class DelayedPublish(Plugin):
    """While it is not loaded, what is pending stays so."""

    name = "emqx_delayed_publish"
    description = "EMQ X Delayed Publish"
    decides = ()

    def load(self) -> None:
        self._pending = self.host.broker.delayed
        self.host.hook("message.publish", self.take, prefix=PREFIX)
        self.host.spawn(self.release)

    def take(self, message: Message) -> Message | None:
        """Keeps a message back. One that is malformed goes nowhere, and the log says so."""
        wall, monotonic = clocks()
        try:
            delay_ms, topic = parse(message.topic, wall)
        except Malformed as error:
            self.host.log.warning("%s published to %s, which goes nowhere: %s", message.client_id, message.topic, error)
            return None
        self._pending.add(Message.create(topic, message.payload, message.qos, message.retain, message.client_id,
                                         message.properties, message.expiry, monotonic), delay_ms)
        return None

    def release(self) -> None:
        """Publishes what is due, a chunk at a time."""
        while True:
            self._pending.changed.clear()
            due, now = self._pending.next_due, clocks()[1]
            if due is None or due > now:
                self._pending.changed.wait(None if due is None else (due - now) / 1000)
                continue
            for _ in range(CHUNK):
                due = self._pending.next_due
                if due is None or due > now:
                    break
                message = self._pending.take()
                # [MQTT-3.3.2-5] The interval may have passed while the message waited here.
                if message.expiry is None or now - message.arrived < message.expiry * 1000:
                    self.host.broker.route(message, None)
            next_round()


def parse(topic: str, wall: int) -> tuple[int, str]:
    """Milliseconds to wait and the topic to publish to. Raises Malformed."""
    number, slash, name = topic.removeprefix(PREFIX).partition("/")
    if not slash or not (number.isascii() and number.isdigit()) or len(number) > 12 or not valid_name(name):
        raise Malformed("expected $delayed/<seconds>/<topic>")
    seconds = int(number)
    if seconds < LONGEST_DELAY:
        return seconds * 1000, name
    delay_ms = seconds * 1000 - wall
    if delay_ms > LONGEST_DELAY * 1000:
        raise Malformed(f"the time is more than {LONGEST_DELAY} seconds ahead")
    return max(delay_ms, 0), name
