"""PUBLISH from a client."""

from libc.stdint cimport uint8_t

from router_ext.engine.channel cimport Channel

cdef size_t publish(Channel c, uint8_t* p, size_t n, size_t header, size_t body) except? 0
