"""Retained messages on their way.

A session's `backlog` has a cursor for each subscription that still gets some; the cursor belongs to it. They go out
after SUBACK, as the client's window and socket take them, within what the turn may look at; the rest is a chore.
Invariant: what is published to a topic meanwhile goes out behind its retained message [MQTT-4.6.0-5].
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from router_ext.message.publish_frames cimport Delivery
from router_ext.engine.engine cimport Engine, Routing
from router_ext.message.retained_store cimport RetainedCursor
from router_ext.session.session cimport Session

cdef int store_retained(Engine e, Delivery* d) except -1
cdef RetainedCursor cursor_of(Engine e, const uint8_t* topic_filter, size_t n, int64_t* looked)
cpdef queue_retained(Session session, RetainedCursor cursor, int opts, uint32_t subid)
cpdef bint has_pending_retained(Session session, bytes topic_filter=*) except? True
cdef int forget_pending_retained(Session session, bytes topic_filter) except -1
cdef int send_backlog(Engine e, Session s) except -1
cdef int send_retained_first(Engine e, Routing* call, Delivery* d, Session s) except -1
