"""What time brings about on every channel."""

from libc.stdint cimport int64_t, uint32_t

from router_ext.engine.channel cimport HOLD_BUDGET, HOLD_RATE, OPEN, Channel
from router_ext.engine.engine cimport Engine
from router_ext.engine.publish cimport over_rate
from router_ext.net.metrics cimport QOS2_EXPIRED
from router_ext.protocol.reasons cimport RC_QUOTA_EXCEEDED
from router_ext.session.session cimport Session


def tick(Engine engine not None, int64_t now):
    """Once in a while, at most a second apart: silence, retries, QoS 2 ids nobody released, spent rate limits.

    `now` in monotonic milliseconds. Returns the channels whose client was silent too long, for the broker to end."""
    cdef Channel c
    cdef list silent = [], excessive = []
    engine.now = engine.egress.now = now
    for c in engine.channels:
        if c.holds & ~HOLD_BUDGET:
            c.heard = now  # a client that is not read cannot be heard
            if c.holds & HOLD_RATE:
                c.holds &= ~HOLD_RATE
                if not over_rate(c):
                    c.schedule()
        elif c.silence_limit and now - c.heard > c.silence_limit:
            silent.append(c)
        if c.state == OPEN:
            if is_excessive(c):
                excessive.append(c)
            check_channel(engine, c, now)
    for c in excessive:
        c.close_with(RC_QUOTA_EXCEEDED, "force_shutdown")
    return silent


cdef bint is_excessive(Channel c) noexcept:
    """`force_shutdown_policy`: more waits for this client than its zone allows."""
    return ((c.zone.shutdown_bytes != 0 and c.outbox.pending > c.zone.shutdown_bytes)
            or (c.zone.shutdown_count != 0 and c.session.queued > c.zone.shutdown_count))


cdef int check_channel(Engine engine, Channel c, int64_t now) except -1:
    cdef Session s = c.session
    cdef uint32_t gone
    if s.window.busy and c.version != 5 and c.zone.retry_interval and not c.blocked:
        engine.retry(s, now - c.zone.retry_interval)  # MQTT 5 forbids it on a live connection [MQTT-4.4.0-1]
    if s.blocked_publishers is not None:
        engine.check_stalled_queue(s)
    if s.awaiting.count and c.zone.await_rel_timeout and c.zone.await_rel_timeout < now:
        gone = s.expire_awaiting(<uint32_t>((now - c.zone.await_rel_timeout) // 1000), engine.journal)
        engine.metrics.v[<int>QOS2_EXPIRED] += gone
    if c.deferred is not None and c.deferred.acks.count:
        c.schedule()  # a subscriber that they wait for may no longer keep up
    return 0
