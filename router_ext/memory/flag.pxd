"""Yes or no in one byte, where `bint` takes four: for what there is one of for each connection."""

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint flag "bool"
