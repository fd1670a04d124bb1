"""Yes or no in one byte, where `bint` takes four: for what there is one of for each connection.

C's own `bool`: whatever is not 0 becomes 1 when it is stored.
"""

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint flag "bool"
