"""A PUBLISH whose topic takes too many looks for this turn.

Its channel is held and sees the packet again once the recipients are known, as with a verdict of the ACL: nothing has been
done with it yet. What comes from elsewhere, or was changed by a handler, waits as a message; where that handler's channel
is known, it is held as well, so that the order stays and no client fills the memory.
"""

from libc.stdint cimport int64_t

from router_ext.engine.channel cimport CLOSED, HOLD_MATCH
from router_ext.engine.engine cimport Routing
from router_ext.message.publish_frames cimport Delivery, delivery_of
from router_ext.message.message cimport msg_unref


cdef class Postponed(Search):

    def __dealloc__(self):
        if self.msg != NULL:
            msg_unref(self.msg)

    cdef bint go_on(self, int64_t* looks) except? True:
        if self.msg == NULL and self.channel.state == CLOSED:
            return False
        return Search.go_on(self, looks)

    cdef int found(self) except -1:
        cdef Delivery d
        cdef Routing call
        if self.msg != NULL:
            delivery_of(&d, self.msg, self.engine.now)
            d.match = self.result()
            self.engine.route(&call, &d, self.publisher)
        elif self.channel.state != CLOSED:
            self.engine.found[self.channel] = self
        return self.release()

    cdef int give_up(self, error) except -1:
        if self.channel is None:
            raise error
        self.release()
        self.engine.policy.on_error(self.channel, error)
        return 0

    cdef int release(self) except -1:
        if self.channel is None or self.channel.state == CLOSED:
            return 0
        self.channel.holds &= ~HOLD_MATCH
        return self.channel.schedule()


cdef int postpone(Engine e, Channel c, bytes topic) except -1:
    """The channel is held until the recipients of its next message are known: see `Engine.take_found`."""
    cdef Postponed search = Postponed(e.router, topic)
    search.engine = e
    search.channel = c
    c.holds |= HOLD_MATCH
    return e.chores.add(search)
