"""Messages that wait for their recipients to be found.

A Postponed is a chore of the engine, which owns it until it has found them. With `msg` NULL the packet is still in
the inbox of `channel`, which is held, and sees it again. Else the message waits here, with one reference.
"""

from router_ext.engine.channel cimport Channel
from router_ext.engine.engine cimport Engine
from router_ext.message.message cimport Msg
from router_ext.routing.search cimport Search
from router_ext.session.session cimport Session

cdef class Postponed(Search):
    cdef Engine engine
    cdef Channel channel        # is held until then; or None
    cdef Msg* msg               # NULL: still a packet at the head of the channel's inbox
    cdef Session publisher

    cdef int release(self) except -1

cdef int postpone(Engine e, Channel c, bytes topic) except -1
