"""Work whose length a client chooses, done piece by piece."""

from libc.stdint cimport int64_t

cdef class Chore:
    cdef bint go_on(self, int64_t* looks) except? True
    cdef int give_up(self, error) except -1

cdef class Chores:
    cdef object waiting         # a deque: who has had a piece goes to its end

    cdef int add(self, Chore chore) except -1
    cdef int work(self, int64_t looks) except -1
