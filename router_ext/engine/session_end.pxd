"""The end of a session."""

from router_ext.engine.engine cimport Engine
from router_ext.session.session cimport Session

cdef int redispatch_shared(Engine e, Session s) except -1
