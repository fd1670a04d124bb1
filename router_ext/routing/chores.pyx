"""Chores: walks of filters or retained messages that are too long for the turn they came up in.

All of them together have a share of each turn, whoever they are for, and take it in pieces one after the other: thousands
of clients that make long walks necessary wait for one another, and nobody waits for them.
"""

from collections import deque

cdef enum:
    PIECE = 4096        # looks, some hundred microseconds


cdef class Chore:

    cdef bint go_on(self, int64_t* looks) except? True:
        """Does what `looks` allow, and takes what it cost from them; True while there is more."""
        raise NotImplementedError

    cdef int give_up(self, error) except -1:
        """`go_on` has raised; it is not called again."""
        raise NotImplementedError


cdef class Chores:

    def __init__(self):
        self.waiting = deque()

    def __len__(self):
        return len(self.waiting)

    cdef int add(self, Chore chore) except -1:
        self.waiting.append(chore)
        return 0

    cdef int work(self, int64_t looks) except -1:
        cdef Chore chore
        cdef int64_t piece, left
        cdef bint more
        while looks > 0 and self.waiting:
            chore = self.waiting.popleft()
            piece = left = min(looks, <int64_t>PIECE)
            try:
                more = chore.go_on(&left)
            except Exception as error:
                chore.give_up(error)
                more = False
            looks -= max(1, piece - left)
            if more:
                self.waiting.append(chore)
        return 0
