"""The engine's side of the message store.

It restores sessions, reads their queues page by page, and takes what the store process answers. `Journal.loading`
holds a session while a page is on its way. Invariant: messages that only the store has come behind those that are
queued here.
"""

from libc.stdint cimport uint8_t, uint32_t

from router_ext.engine.engine cimport Engine
from router_ext.session.session cimport Session

cdef int read_store_replies(Engine e) except -1
cdef bint must_store(Engine e, const uint8_t* topic, size_t n, bint retain) except? True
cdef int put_subscription(Engine e, Session s, const uint8_t* topic, size_t n, uint8_t options, uint32_t subid,
                          bint owed) except -1
cdef int delete_subscription(Engine e, Session s, const uint8_t* topic, size_t n) except -1
cdef int page_in(Engine e, Session s) except -1
cdef int next_page(Engine e, Session s) except -1
cdef int end_in_store(Engine e, Session s) except -1
