"""Retained messages on their way."""

from libc.stdint cimport int64_t, uint8_t

from router_ext.message.publish_frames cimport Delivery
from router_ext.engine.engine cimport Engine, Routing
from router_ext.message.retained_store cimport RetainedCursor
from router_ext.session.session cimport Session

cdef int store_retained(Engine e, Delivery* d) except -1
cdef RetainedCursor cursor_of(Engine e, const uint8_t* topic_filter, size_t n, int64_t* looked)
cdef int send_backlog(Engine e, Session s) except -1
cdef int send_retained_first(Engine e, Routing* call, Delivery* d, Session s) except -1
