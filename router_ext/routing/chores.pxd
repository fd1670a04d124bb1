"""Work whose length a client chooses, done piece by piece.

A chore is owned by the queue while it goes on. In each turn the chores have a number of looks together, first come,
first served; one that is not done goes to the end of the queue. What `go_on` raises ends it through `give_up`.
"""

from libc.stdint cimport int64_t

cdef class Chore:
    cdef bint go_on(self, int64_t* looks) except? True
    cdef int give_up(self, error) except -1

cdef class Chores:
    cdef object waiting         # a deque: who has had a piece goes to its end

    cdef int add(self, Chore chore) except -1
    cdef int work(self, int64_t looks) except -1
