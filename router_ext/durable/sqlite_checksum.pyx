"""The checksum of SQLite's log (https://www.sqlite.org/fileformat2.html#checksum_algorithm)."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy


def checksum(const uint8_t[::1] data not None, uint32_t first, uint32_t second, bint swapped):
    """The two sums after `data`, whole pairs of 32-bit words of the machine's byte order or `swapped`."""
    cdef size_t at, n = <size_t>data.shape[0] & ~<size_t>7
    cdef uint32_t[2] pair
    for at in range(0, n, 8):
        memcpy(pair, &data[at], 8)
        if swapped:
            pair[0] = reversed_bytes(pair[0])
            pair[1] = reversed_bytes(pair[1])
        first += pair[0] + second
        second += pair[1] + first
    return first, second


cdef inline uint32_t reversed_bytes(uint32_t word) noexcept nogil:
    return word >> 24 | (word >> 8 & 0xFF00) | (word << 8 & 0xFF0000) | word << 24
