"""WebSocket (RFC 6455), the server's side, as a layer: frames in, bytes out, and the other way.

It owns what is not whole yet, a header, a control frame or the HTTP request, and has the layer below it, if any; the
limits are its listener's. How bytes are divided into frames means nothing to MQTT [MQTT-6.0.0-2]. Invariant: a control
frame or the HTTP answer goes out between frames, never inside one.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from router_ext.net.transport cimport Transport

cdef enum:
    HEAD = 14               # the longest frame header
    CONTROL = 125           # the longest payload of a control frame

cdef class WebSocketLimits:
    cdef readonly str path
    cdef readonly frozenset origins         # allowed values of Origin; None: all
    cdef readonly uint32_t max_header       # bytes of the HTTP request
    cdef readonly uint64_t max_frame        # bytes of one frame
    cdef readonly uint32_t control_rate     # control and empty frames a second
    cdef object source_of                   # (headers, peer) -> the client's socket address, and whether it is remote

cdef class WebSocketTransport(Transport):
    cdef readonly Transport below
    cdef WebSocketLimits limits
    cdef bytearray request                  # the HTTP request so far; None once answered
    cdef dict headers                       # of the request that was accepted, until take_source
    cdef bint ended                         # the peer's CLOSE was seen, or it broke the rules:
    cdef bytes farewell                     # the payload of the CLOSE that answers
    # reading
    cdef uint8_t[HEAD] head                 # a header that is not whole yet
    cdef uint8_t head_len
    cdef uint64_t left                      # payload of the current frame not seen yet
    cdef uint8_t[4] mask
    cdef uint8_t mask_at
    cdef uint8_t opcode
    cdef bint fragmented                    # a message is open that continuation frames go on with
    cdef uint8_t[CONTROL] control           # payload of the current control frame
    cdef uint8_t control_len
    cdef int64_t second                     # ms, when counting of control frames began
    cdef uint32_t controls
    # writing
    cdef uint8_t[HEAD] out_head             # header bytes of the frame begun, from out_at to out_len
    cdef uint8_t out_at
    cdef uint8_t out_len
    cdef size_t out_left                    # payload of the frame begun that the socket has not taken
    cdef bytes answer                       # a control frame, or the HTTP answer, that has to go between frames

    cdef ssize_t upgrade(self, uint8_t* p, size_t n, int64_t now) except -2
    cdef tuple take_source(self, bytes peer)
    cdef ssize_t unframe(self, uint8_t* p, size_t n, int64_t now) except -2
    cdef int header_size(self) noexcept
    cdef int open_frame(self, int64_t now) except -1
    cdef int finish_control(self) except -1
    cdef int violation(self, int code, str reason) except -1
    cdef int reply(self, uint8_t opcode, bytes payload) except -1
    cdef int send_answer(self) except -2
