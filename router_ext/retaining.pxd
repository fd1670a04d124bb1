"""Retained messages on their way."""

from router_ext.delivery cimport Delivery
from router_ext.engine cimport Engine
from router_ext.session cimport Session

cdef int keep(Engine e, Delivery* d) except -1
cdef int send_backlog(Engine e, Session s) except -1
cdef int overtake(Engine e, Delivery* d, Session s) except -1
