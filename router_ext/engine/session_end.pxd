"""The end of a session.

It leaves the table and the list of sessions, and its messages go: those that came through a shared subscription and
are not acknowledged to other members of the group, all others nowhere. What only the store has is read for that
first; until then the session exists without a name.
"""

from router_ext.engine.engine cimport Engine
from router_ext.session.session cimport Session

cdef int redispatch_shared(Engine e, Session s) except -1
