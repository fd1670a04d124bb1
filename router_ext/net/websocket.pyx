"""WebSocket frames: see websocket.pxd. The HTTP request that comes first is read in `upgrade.py`."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy, memmove

from router_ext.message.outbox cimport Outbox, outbox_consume, outbox_peek
from router_ext.net.transport cimport set_errno

from router_ext.net.websocket_handshake import TOO_LARGE, respond

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10
    LARGEST_FRAME = 65532   # that is sent: with its header, four whole TLS records

# Close codes (RFC 6455, section 7.4.1)
cdef enum:
    CLOSED_NORMALLY = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    BAD_TEXT = 1007
    TOO_BIG = 1009
    POLICY = 1008

# Header and payload are put together here: one system call, and no record for the header alone.
cdef uint8_t[LARGEST_FRAME + HEAD] scratch


cdef class WebSocketLimits:
    """`origins` None or empty: any page may connect. `source_of(headers, peer)` returns the client's socket address and
    whether it is no program on this machine; without it both are taken from the connection."""

    def __init__(self, str path="/mqtt", *, origins=None, uint32_t max_header=8192, uint64_t max_frame=1 << 24,
                 uint32_t control_rate=100, source_of=None):
        self.path = path
        self.origins = frozenset(origins) if origins else None
        self.max_header = max_header
        self.max_frame = max_frame
        self.control_rate = control_rate
        self.source_of = source_of


cdef void unmask(uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* mask, uint8_t at) noexcept nogil:
    """`dst` is `src` or lies before it. Eight bytes a step."""
    cdef uint8_t[8] key
    cdef uint64_t wide, word
    cdef size_t i = 0
    cdef int k
    for k in range(8):
        key[k] = mask[(at + k) & 3]
    memcpy(&wide, key, 8)
    while i + 8 <= n:
        memcpy(&word, src + i, 8)
        word ^= wide
        memcpy(dst + i, &word, 8)
        i += 8
    while i < n:
        dst[i] = src[i] ^ key[i & 7]
        i += 1


cdef class WebSocketTransport(Transport):
    """`WebSocketTransport(below, limits)` over a plain or TLS transport. Nothing is compressed: no extension is offered."""

    def __init__(self, Transport below not None, WebSocketLimits limits not None):
        self.below = below
        self.fd = below.fd
        self.limits = limits
        self.request = bytearray()

    # -- reading ----------------------------------------------------------------------------------------------------

    cdef ssize_t receive(self, uint8_t* p, size_t n, int64_t now) except -2:
        cdef ssize_t got, plain
        if self.ended:
            return 0 if self.failure is None else self.fail(self.failure)
        while True:
            got = self.below.receive(p, n, now)
            self.more = self.below.more
            self.stuck = self.below.stuck
            if got <= 0:
                self.failure = self.below.failure
                return got
            plain = self.unframe(p, <size_t>got, now) if self.request is None else self.upgrade(p, <size_t>got, now)
            if plain:
                return plain
            if self.ended:
                return 0
            if not self.more:
                set_errno(EAGAIN)
                return -1

    cdef ssize_t upgrade(self, uint8_t* p, size_t n, int64_t now) except -2:
        """Collects the HTTP request and answers it; what came behind it is read as frames."""
        cdef size_t before = <size_t>len(self.request), rest
        cdef Py_ssize_t end
        self.request += p[:n]
        end = self.request.find(b"\r\n\r\n", max(0, <Py_ssize_t>before - 3))
        if end < 0 and <size_t>len(self.request) <= self.limits.max_header:
            return 0
        if end < 0 or <size_t>end > self.limits.max_header:
            self.answer = TOO_LARGE
            self.send_answer()
            return self.fail("ws_header_too_large")
        self.headers, self.answer = respond(bytes(self.request[:end]), self.limits.path, self.limits.origins)
        rest = <size_t>(len(self.request) - end - 4)
        self.request = None
        self.send_answer()
        if self.headers is None:
            return self.fail("ws_bad_request")
        self.ready = True
        memmove(p, p + n - rest, rest)
        return self.unframe(p, rest, now) if rest else 0

    cdef tuple take_source(self, bytes peer):
        """What `source_of` says of the request, which is forgotten."""
        headers, self.headers = self.headers, None
        return (peer, False) if self.limits.source_of is None else self.limits.source_of(headers, peer)

    cdef ssize_t unframe(self, uint8_t* p, size_t n, int64_t now) except -2:
        """Leaves the payloads of data frames at `p` and returns their length; -1 when the peer breaks the rules. What
        came before that, or before its CLOSE, is read first."""
        cdef size_t at = 0, out = 0, take
        cdef int missing
        while at < n:
            missing = self.header_size() - self.head_len
            if missing > 0:
                take = min(<size_t>missing, n - at)
                memcpy(self.head + self.head_len, p + at, take)
                self.head_len += <uint8_t>take
                at += take
                if self.head_len == self.header_size() and self.open_frame(now):
                    break
            if self.head_len < self.header_size():
                continue
            take = <size_t>min(self.left, <uint64_t>(n - at))
            if self.opcode < CLOSE:
                unmask(p + out, p + at, take, self.mask, self.mask_at)
                out += take
            else:
                unmask(self.control + self.control_len, p + at, take, self.mask, self.mask_at)
                self.control_len += <uint8_t>take
            self.mask_at = (self.mask_at + take) & 3
            self.left -= take
            at += take
            if self.left == 0:
                self.head_len = 0
                if self.opcode >= CLOSE and self.finish_control():
                    break
        if self.failure is not None and out == 0:
            return self.fail(self.failure)
        self.more |= self.ended
        return <ssize_t>out

    cdef int header_size(self) noexcept:
        """How long the header is, as far as its bytes tell; one without a mask is refused before its end."""
        cdef uint8_t n
        if self.head_len < 2 or not self.head[1] & 0x80:
            return 2
        n = self.head[1] & 127
        return 6 + (2 if n == 126 else 8 if n == 127 else 0)

    cdef int open_frame(self, int64_t now) except -1:
        """Checks a whole header; 1 when it ends the connection."""
        cdef uint8_t opcode = self.head[0] & 15
        cdef bint final = self.head[0] >> 7
        cdef int size = self.header_size(), i
        if self.head[0] & 0x70 or not self.head[1] & 0x80:
            return self.violation(PROTOCOL_ERROR, "ws_protocol_error")
        self.left = self.head[1] & 127
        if self.left >= 126:
            self.left = 0
            for i in range(2, size - 4):
                self.left = (self.left << 8) | self.head[i]
            if self.left < (126 if size == 8 else 65536) or self.left >> 63:  # the shortest form, and 63 bits at most
                return self.violation(PROTOCOL_ERROR, "ws_protocol_error")
        memcpy(self.mask, self.head + size - 4, 4)
        self.mask_at = 0
        self.control_len = 0
        if opcode >= CLOSE or self.left == 0:
            if now - self.second >= 1000:
                self.second = now
                self.controls = 0
            self.controls += 1
            if self.controls > self.limits.control_rate:
                return self.violation(POLICY, "ws_control_flood")
        if opcode >= CLOSE:
            if opcode > PONG or not final or self.left > CONTROL:
                return self.violation(PROTOCOL_ERROR, "ws_protocol_error")
        elif opcode == TEXT:
            return self.violation(UNSUPPORTED_DATA, "ws_text_frame")  # [MQTT-6.0.0-1]
        elif opcode > BINARY or (opcode == CONTINUATION) != self.fragmented:
            return self.violation(PROTOCOL_ERROR, "ws_protocol_error")
        elif self.left > self.limits.max_frame:
            return self.violation(TOO_BIG, "ws_frame_too_large")
        else:
            self.fragmented = not final
        self.opcode = opcode
        return 0

    cdef int finish_control(self) except -1:
        """Answers a whole control frame; 1 when it was the last of the connection."""
        if self.opcode == PING:
            self.reply(PONG, self.control[:self.control_len])
        elif self.opcode == CLOSE:
            self.farewell = farewell(self.control[:self.control_len])
            self.ended = True
            return 1
        return 0

    cdef int violation(self, int code, str reason) except -1:
        self.farewell = close_code(code)
        self.failure = reason
        self.ended = True
        return 1

    # -- writing ----------------------------------------------------------------------------------------------------

    cdef int drain(self, Outbox* o, size_t* sent) except -2:
        cdef const uint8_t* p = NULL
        cdef size_t n, head
        cdef ssize_t taken
        cdef int result
        while True:
            if self.out_left == 0 and self.answer is not None:
                result = self.send_answer()
                if result:
                    return result
            if o.pending == 0:
                return 0
            if not self.ready:
                return 1
            n = outbox_peek(o, &p)
            if self.out_left == 0:
                self.out_left = min(n, <size_t>LARGEST_FRAME)
                self.out_len = frame_head(self.out_head, BINARY, self.out_left)
                self.out_at = 0
            head = self.out_len - self.out_at
            n = min(n, self.out_left)
            memcpy(scratch, self.out_head + self.out_at, head)
            memcpy(scratch + head, p, n)
            taken = self.below.transmit(scratch, head + n)
            if taken < 0:
                if errno == EINTR:
                    continue
                return 1 if errno == EAGAIN else -1
            if <size_t>taken < head:
                self.out_at += <uint8_t>taken
                continue
            self.out_at = self.out_len
            taken -= <ssize_t>head
            outbox_consume(o, <size_t>taken)
            sent[0] += <size_t>taken
            self.out_left -= <size_t>taken

    cdef int reply(self, uint8_t opcode, bytes payload) except -1:
        """A control frame, as soon as no frame is half out. While one waits, a PONG more is not worth a word."""
        cdef uint8_t[HEAD] head
        cdef size_t n = frame_head(head, opcode, <size_t>len(payload))
        if self.answer is None:
            self.answer = head[:n] + payload
        elif opcode == CLOSE:
            self.answer += head[:n] + payload  # behind: what the layer below has begun must not change
        if self.out_left == 0:
            self.send_answer()
        return 0

    cdef int send_answer(self) except -2:
        """0 when it is out, 1 when the socket is full, -1 when it failed."""
        cdef ssize_t taken
        while self.answer:
            taken = self.below.transmit(self.answer, <size_t>len(self.answer))
            if taken < 0:
                if errno == EINTR:
                    continue
                self.stuck = errno == EAGAIN
                return 1 if errno == EAGAIN else -1
            self.answer = self.answer[taken:]
        self.answer = None
        self.stuck = False
        return 0

    cdef int close(self) except -1:
        """With CLOSE, after which nothing may come (RFC 6455, 5.5.1): not in the middle of a frame."""
        if self.ready and self.out_left == 0:
            self.reply(CLOSE, self.farewell if self.ended else close_code(CLOSED_NORMALLY))
        return self.below.close()

    def peer_certificate(self):
        return self.below.peer_certificate()


cdef inline bytes close_code(int code):
    return bytes((code >> 8, code & 255))


cdef bytes farewell(bytes said):
    """The payload of the CLOSE that answers one with the payload `said`: its code, or what is wrong with it (RFC 6455,
    sections 5.5.1 and 7.4)."""
    cdef int code = (said[0] << 8) | said[1] if len(said) > 1 else CLOSED_NORMALLY
    if len(said) == 1 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        code = PROTOCOL_ERROR
    else:
        try:
            said[2:].decode()
        except UnicodeDecodeError:
            code = BAD_TEXT
    return close_code(code) if said else b""


cdef uint8_t frame_head(uint8_t* head, uint8_t opcode, size_t n) noexcept nogil:
    """The header of a final frame of `n` < 65536 bytes, which a server does not mask; returns its length."""
    head[0] = 0x80 | opcode
    if n < 126:
        head[1] = <uint8_t>n
        return 2
    head[1] = 126
    head[2] = <uint8_t>(n >> 8)
    head[3] = <uint8_t>(n & 255)
    return 4
