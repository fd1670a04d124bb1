"""Retained messages on their way."""

from libc.stdint cimport int64_t, uint8_t

from router_ext.delivery cimport Delivery
from router_ext.engine cimport Engine
from router_ext.retained cimport RetainedCursor
from router_ext.session cimport Session

cdef int keep(Engine e, Delivery* d) except -1
cdef RetainedCursor cursor_of(Engine e, const uint8_t* topic_filter, size_t n, int64_t* looked)
cdef int send_backlog(Engine e, Session s) except -1
cdef int overtake(Engine e, Delivery* d, Session s) except -1
