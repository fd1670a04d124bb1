"""Channels: bytes in, packets, decisions, bytes out. Read `parse` first; the rest follows from it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, EPIPE, ETIMEDOUT, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from router_ext.engine.acks cimport acknowledgement, deferred_of, put_after_commit, release_acks, release_committed
from router_ext.message.topic_alias cimport AliasTable
from router_ext.session.acl_cache cimport AclEntry, acl_clear, acl_find, acl_forget, acl_put
from router_ext.protocol.codec cimport decode_raw, encode_connack, encode_disconnect
from router_ext.net.epoll cimport EPOLLIN, EPOLLOUT, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, epoll_ctl, epoll_event
from router_ext.engine.publish cimport publish
from router_ext.durable.journal cimport Journal
from router_ext.net.metrics cimport (
    AUTH_SENT, BYTES_RECEIVED, CONNACK_AUTH_ERROR, CONNACK_ERROR, DISCONNECT_RECEIVED, DISCONNECT_SENT,
    PACKETS_AUTH, PACKETS_CONNACK, PACKETS_CONNECT, PACKETS_PINGREQ, PACKETS_PINGRESP, PACKETS_RECEIVED,
    PACKETS_SENT, PACKETS_SUBACK, PACKETS_SUBSCRIBE, PACKETS_UNSUBACK, PACKETS_UNSUBSCRIBE, PUBACK_RECEIVED,
    PUBACK_SENT, PUBCOMP_RECEIVED, PUBCOMP_SENT, PUBLISH_RECEIVED, PUBREC_RECEIVED, PUBREC_SENT, PUBREL_RECEIVED,
    PUBREL_SENT,
)
from router_ext.protocol.reasons cimport (
    RC_MALFORMED_PACKET, RC_PACKET_TOO_LARGE, RC_PAYLOAD_FORMAT_INVALID, RC_PROTOCOL_ERROR, RC_QOS_NOT_SUPPORTED,
    RC_QUOTA_EXCEEDED, RC_RECEIVE_MAXIMUM_EXCEEDED, RC_RETAIN_NOT_SUPPORTED, RC_TOPIC_ALIAS_INVALID,
    RC_TOPIC_NAME_INVALID,
)
from router_ext.engine.subscribe cimport handle
from router_ext.routing.subscription cimport OPT_NO_LOCAL, OPT_RETAIN_AS_PUBLISHED
from router_ext.net.transport cimport Prelude, Transport, set_errno
from router_ext.net.websocket cimport WebSocketTransport
from router_ext.protocol.wire cimport SUBSCRIBE, UNSUBSCRIBE, flags_valid, frame, shortest

from socket import AF_INET, AF_INET6, inet_ntop

from router_ext.protocol.codec import MalformedPacket, PacketError, UnsupportedVersion

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* buf, size_t n, int flags)
    enum: MSG_DONTWAIT

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)
    enum: FIONREAD

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* fds, unsigned long n, int timeout)
    enum: POLLRDHUP, POLLHUP, POLLERR

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef bytes V4_MAPPED = bytes(10) + b"\xff\xff"

cdef enum:
    INBUF = 262144          # Engine.inbuf
    LONG = 32768            # from so many bytes on the beginning of a packet stays in the inbox, and the rest goes behind it
    AHEAD = 32              # times what is there: the most that is taken for a packet before it has come
    TURN_BYTES = 4194304    # output of one channel's turn, where
    EACH = 512              # a packet counts for so many bytes at least, and
    FILTERED = 16384        # SUBSCRIBE and UNSUBSCRIBE for more
    ASKED = 32768           # and a question to the access control, which is in Python,
    ACCESS_PUBLISH = 2
    FAREWELL = 64           # bytes: a last word of TLS or WebSocket, close_notify or a close frame, is shorter

# The counter of each packet type, by the high half of its first byte, received and sent.
cdef int[16] RECEIVED = [
    -1, PACKETS_CONNECT, -1, PUBLISH_RECEIVED, PUBACK_RECEIVED, PUBREC_RECEIVED, PUBREL_RECEIVED, PUBCOMP_RECEIVED,
    PACKETS_SUBSCRIBE, -1, PACKETS_UNSUBSCRIBE, -1, PACKETS_PINGREQ, -1, DISCONNECT_RECEIVED, PACKETS_AUTH]
cdef int[16] SENT = [
    -1, -1, PACKETS_CONNACK, -1, PUBACK_SENT, PUBREC_SENT, PUBREL_SENT, PUBCOMP_SENT,
    -1, PACKETS_SUBACK, -1, PACKETS_UNSUBACK, -1, PACKETS_PINGRESP, DISCONNECT_SENT, AUTH_SENT]

cdef dict SOCKET_ERRORS = {ECONNRESET: "econnreset", EPIPE: "epipe", ETIMEDOUT: "etimedout"}


@cython.final
cdef class Channel(Connection):
    """`Channel(engine, zone, fd, address, listener, poller)` takes over the descriptor `fd` and watches it with the
    epoll instance `poller`; -1 for both when `feed` is all it reads. `transport` goes between them and the socket."""

    def __init__(self, Engine engine not None, Zone zone not None, int fd, bytes address, listener, int poller,
                 Transport transport=None):
        self.engine = engine
        self.egress = engine.egress
        self.zone = zone
        self.fd = fd
        self.address = self.accepted_from = address
        self.listener = listener
        self.poller = poller
        self.verdict = UNKNOWN
        self.version = 4
        self.heard = engine.now
        self.transport = transport
        self.silence_limit = zone.idle_timeout if transport is None else listener.handshake_timeout
        self.index = len(engine.channels)
        engine.channels.append(self)
        if poller >= 0:
            self.watch()

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)
        acl_clear(&self.acl_cache)
        free(self.inbox)

    # -- the socket -----------------------------------------------------------------------------------------------------

    cdef int watch(self) except -1:
        """Asks the poller for what this channel can use now."""
        cdef uint8_t wanted = (0 if self.holds & ~HOLD_BUDGET else 1) | (2 if self.blocked and not self.corked else 0)
        cdef epoll_event event
        cdef int op = EPOLL_CTL_MOD if self.watching & 128 else EPOLL_CTL_ADD
        if self.poller < 0 or self.fd < 0 or self.failed or wanted | 128 == self.watching:
            return 0
        memset(&event, 0, sizeof(event))
        event.events = (EPOLLIN if wanted & 1 else 0) | (EPOLLOUT if wanted & 2 else 0)
        event.data.ptr = <void*>self
        if epoll_ctl(self.poller, op, self.fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        self.watching = wanted | 128
        return 0

    cdef void unwatch(self) noexcept:
        """Closing does not do that while a process that was just forked has a copy of the descriptor."""
        if self.watching & 128:
            epoll_ctl(self.poller, EPOLL_CTL_DEL, self.fd, NULL)
            self.watching = 0

    cdef int wants_write(self, bint on) except -1:
        return self.watch()

    cdef int drained(self) except -1:
        self.engine.drained.append(self)
        return 0

    cdef int writable(self) except -1:
        if self.transport is not None and not self.transport.ready:
            self.readable()
        self.flush()
        return 0

    cdef int readable(self) except -1:
        """Reads once and parses what is there. Of a long packet the rest is read as well, as far as it has come: it is
        handed on while its bytes are in the cache."""
        cdef uint8_t* into
        cdef size_t room
        cdef ssize_t n
        while self.holds == 0 and self.state != CLOSED:
            into = self.engine.inbuf
            room = INBUF
            if self.inbox_len >= LONG:
                room = self.room_for_rest()
                into = self.inbox + self.inbox_head
                if room == 0:  # whole packets, a hold having been lifted
                    return self.consume(into)
            elif self.inbox_len:
                memcpy(into, self.inbox + self.inbox_head, self.inbox_len)
                room -= self.inbox_len
            if self.transport is None:
                n = recv(self.fd, into + self.inbox_len, room, MSG_DONTWAIT)
            else:
                n = self.receive(into + self.inbox_len, room)
            if n <= 0:
                return self.recv_failed(n)
            if self.state == OPEN:  # before that, a byte now and then buys no time
                self.heard = self.engine.now
            self.recv_oct += <size_t>n
            self.recv_cnt += 1
            self.engine.metrics.v[<int>BYTES_RECEIVED] += <size_t>n
            self.inbox_len += <size_t>n
            self.consume(into)
            if <size_t>n < room or self.inbox_len < LONG:
                break
        return 0

    cdef ssize_t receive(self, uint8_t* p, size_t room) except -2:
        """`recv` through the transport, with what its handshakes bring about."""
        cdef Transport layer = self.transport
        cdef bint shaken = layer.ready
        cdef ssize_t n = layer.receive(p, room, self.engine.now)
        cdef int error = errno
        if layer.ready and not shaken:
            self.handshake_done()
        if layer.stuck and not self.blocked:
            self.block(0)
        if layer.more:
            self.schedule()
        set_errno(error)
        return n

    cdef int handshake_done(self) except -1:
        """The transport is ready: the time to send CONNECT begins."""
        cdef Prelude prelude
        self.heard = self.engine.now
        self.silence_limit = self.zone.idle_timeout
        if isinstance(self.transport, Prelude):
            prelude = <Prelude>self.transport
            self.transport = prelude.following
            if prelude.address is not None:
                self.address = prelude.address
            self.relayed = True
            if self.transport is not None:
                self.silence_limit = self.listener.handshake_timeout
            self.schedule()
        elif isinstance(self.transport, WebSocketTransport):
            address, relayed = (<WebSocketTransport>self.transport).take_source(self.address)
            self.address = address
            self.relayed = self.relayed or relayed
        return 0

    cdef int recv_failed(self, ssize_t n) except -1:
        if n == 0:
            self.shut("closed")
        elif self.transport is not None and self.transport.failure is not None:
            self.shut(self.transport.failure)
        elif errno != EAGAIN and errno != EINTR:
            self.shut(SOCKET_ERRORS.get(errno, "socket_error"))
        elif self.failed:
            self.shut("econnreset")
        return 0

    cdef int hung_up(self) except -1:
        """The poller says so while nothing is read. It would say so again each turn: it is not asked any more."""
        if self.state != OPEN:
            return self.shut("econnreset")
        self.unwatch()
        self.failed = True
        return self.cut_off()

    cdef int cut_off(self) except -1:
        """The peer takes nothing more. What it sent before, a DISCONNECT perhaps, is handled as ever, once holds allow;
        the end of that ends the connection."""
        if self.state != OPEN or (self.transport is not None and self.transport.failure is not None):
            return self.shut("econnreset")
        self.discard_output()
        self.wake_waiters()
        return self.schedule()

    cdef int read_on(self) except -1:
        """Reads without waiting for the poller: there are bytes that it does not know of, or it tells nothing more."""
        self.readable()
        if self.failed and self.holds == 0 and self.state != CLOSED:
            self.schedule()
        return 0

    cdef size_t room_for_rest(self) except? 0:
        """How many bytes to read behind those in the inbox: no more than what its first packet lacks, so that nothing
        has to be moved about. 0: it lacks nothing."""
        cdef size_t whole = packet_size(self.inbox + self.inbox_head, self.inbox_len)
        if whole <= self.inbox_len:
            return 0
        if self.inbox_head + self.inbox_len == self.inbox_cap:
            self.move_inbox(block_for(whole, self.inbox_len))
        return min(whole, self.inbox_cap - self.inbox_head) - self.inbox_len

    cdef int move_inbox(self, size_t cap) except -1:
        """To a block of `cap` bytes."""
        cdef uint8_t* block = <uint8_t*>malloc(cap)
        if block == NULL:
            raise MemoryError
        if self.inbox_len:
            memcpy(block, self.inbox + self.inbox_head, self.inbox_len)
        free(self.inbox)
        self.inbox = block
        self.inbox_head = 0
        self.inbox_cap = <uint32_t>cap
        return 0

    def feed(self, const uint8_t[::1] data):
        """Bytes that came by another way than the socket."""
        cdef size_t n = <size_t>data.shape[0]
        if n == 0 or self.state == CLOSED:
            return
        self.heard = self.engine.now
        self.recv_oct += n
        self.recv_cnt += 1
        self.engine.metrics.v[<int>BYTES_RECEIVED] += n
        self.keep(&data[0], n)
        if not self.holds:
            self.consume(self.inbox + self.inbox_head)

    cdef int keep(self, const uint8_t* p, size_t n) except -1:
        """Appends bytes to the inbox."""
        if self.inbox_head + self.inbox_len + n > self.inbox_cap:
            self.move_inbox(self.inbox_len + n if self.inbox_len else block_for(packet_size(p, n), n))
        memcpy(self.inbox + self.inbox_head + self.inbox_len, p, n)
        self.inbox_len += n
        return 0

    cdef int consume(self, uint8_t* p) except -1:
        """Parses the `inbox_len` bytes at `p` (the engine's buffer, or the inbox itself) and keeps what is left."""
        cdef size_t n = self.inbox_len, used = 0
        cdef bint inside = p == self.inbox + self.inbox_head
        self.parsing = True
        try:
            self.parse(p, n, &used)
        except PacketError as error:
            self.refuse_packet(error)
        finally:
            self.parsing = False
        if self.state == CLOSED or used == n:
            free(self.inbox)
            self.inbox = NULL
            self.inbox_head = self.inbox_len = self.inbox_cap = 0
        elif inside:
            self.inbox_head += used
            self.inbox_len -= used
        else:
            self.inbox_len = self.inbox_head = 0
            self.keep(p + used, n - used)
        if self.holds and self.state != CLOSED:
            self.watch()
        return 0

    cdef int resume_reading(self) except -1:
        """The next turn after a hold was lifted."""
        self.queued = False
        self.holds &= ~HOLD_BUDGET
        if self.state == CLOSED:
            return 0
        if self.deferred is not None:
            release_acks(self)
        if self.session is not None and self.session.backlog is not None:
            self.engine.drain(self.session)
        if self.holds == 0:
            self.watch()
            if self.inbox_len:
                self.consume(self.inbox + self.inbox_head)
            if self.failed or (self.transport is not None and self.transport.more):
                self.read_on()
        return 0

    cdef int go_on_later(self) except -1:
        return self.schedule()

    cdef int schedule(self) except -1:
        if not self.queued:
            self.queued = True
            self.engine.ready.append(self)
            if self.engine.wake is not None and not self.engine.in_turn:
                self.engine.wake()
        return 0

    # -- parsing --------------------------------------------------------------------------------------------------------

    cdef Stop parse(self, uint8_t* p, size_t n, size_t* used) except? STOP_CLOSED:
        """Packet after packet until bytes run out, the channel is held, or it is closed."""
        cdef size_t pos = 0, header = 0, body = 0, taken
        cdef int whole
        while pos < n:
            used[0] = pos
            if self.state == CLOSED:
                return STOP_CLOSED
            if self.holds:
                return STOP_HELD
            if self.engine.spent > TURN_BYTES:
                self.holds |= HOLD_BUDGET
                self.schedule()
                return STOP_HELD
            if self.state == AWAIT_CONNECT and p[pos] != 0x10:  # [MQTT-3.1.0-1]
                self.shut("proto_not_connected")
                return STOP_CLOSED
            whole = frame(p + pos, n - pos, &header, &body)
            if whole < 0:
                self.violation(RC_MALFORMED_PACKET)
                return STOP_CLOSED
            if whole == 0:
                break
            if header + body > (self.zone.max_packet_size if self.state == OPEN else self.longest_unknown()):
                self.violation(RC_PACKET_TOO_LARGE)
                return STOP_CLOSED
            if header + body > n - pos:
                break
            self.engine.spent += EACH
            if p[pos] & 0xF0 == 0x30 and self.state == OPEN:
                taken = publish(self, p + pos, n - pos, header, body)
            else:
                taken = header + body if self.packet(p + pos, header, body) else 0
            if taken:
                self.counted = False
            pos += taken
        used[0] = pos
        return STOP_NEED_MORE

    cdef uint32_t longest_unknown(self) noexcept:
        """Bytes of a packet of a client that is not authenticated."""
        return min(self.zone.max_connect_size, self.zone.max_packet_size)

    cdef int count_received(self, uint8_t kind, uint32_t packets) except -1:
        """Counted once a whole packet is there, before any check (and not again when it was held)."""
        if self.counted:
            packets -= 1
        self.counted = True
        self.recv_pkt += packets
        self.engine.metrics.v[<int>PACKETS_RECEIVED] += packets
        if RECEIVED[kind] >= 0:
            self.engine.metrics.v[RECEIVED[kind]] += packets
        return 0

    cdef bint packet(self, uint8_t* p, size_t header, size_t body) except? True:
        """Any packet but PUBLISH on an open channel. False: it has to be seen again once the hold is lifted."""
        cdef uint8_t kind = p[0] >> 4
        self.count_received(kind, 1)
        if self.state == AWAIT_CONNECT:
            self.connect(p, header, body)
        elif not flags_valid(p[0], self.version) or (self.version == 5 and not shortest(header, body)):
            self.violation(RC_MALFORMED_PACKET)
        elif self.state == DECIDING:
            self.during_connect(kind, p, header, body)
        elif 4 <= kind <= 7:
            acknowledgement(self, kind, p + header, body)
        elif kind == 12:
            if body:
                self.violation(RC_MALFORMED_PACKET)
            else:
                self.put_packet(b"\xd0\x00")
        elif kind == SUBSCRIBE or kind == UNSUBSCRIBE:
            self.engine.spent += FILTERED
            if not handle(self, kind, p + header, body):
                decode_raw(p + header, body, p[0], self.version)  # which raises, and says what is wrong
                self.violation(RC_MALFORMED_PACKET)
        elif kind == 14 and body == 0:
            self.shut("normal")  # which deletes the will [MQTT-3.14.4-3]
        elif kind == 14:
            self.engine.policy.on_disconnect(self, decode_raw(p + header, body, p[0], self.version))
        elif kind == 15 and self.version == 5:
            self.engine.policy.on_auth(self, decode_raw(p + header, body, p[0], self.version))
        else:
            self.violation(RC_PROTOCOL_ERROR)
        return True

    cdef int connect(self, uint8_t* p, size_t header, size_t body) except -1:
        """The broker decides on it."""
        packet = decode_raw(p + header, body, p[0], self.version)
        if packet.proto_ver == 5 and not shortest(header, body):  # [MQTT-1.5.5-1]
            raise MalformedPacket(RC_MALFORMED_PACKET, "a remaining length longer than needed", 5)
        self.version = packet.proto_ver
        self.is_bridge = packet.is_bridge
        self.clean_start = packet.clean_start
        self.keepalive = packet.keepalive
        self.state = DECIDING
        self.holds |= HOLD_VERDICT
        self.engine.policy.on_connect(self, packet)
        return 0

    cdef int during_connect(self, uint8_t kind, uint8_t* p, size_t header, size_t body) except -1:
        """Read before CONNACK when the broker has sent AUTH: the answer to it, or DISCONNECT [MQTT-3.1.2-30]."""
        if kind == 15 and self.version == 5:
            self.holds |= HOLD_VERDICT
            self.engine.policy.on_auth(self, decode_raw(p + header, body, p[0], self.version))
        elif kind == 14:
            decode_raw(p + header, body, p[0], self.version)
            self.shut("closed")
        else:
            self.violation(RC_PROTOCOL_ERROR)
        return 0

    # -- errors of the peer ---------------------------------------------------------------------------------------------

    cdef int violation(self, uint8_t code) except -1:
        """[MQTT-4.13.1-1] The connection ends; MQTT 5 is told why, before CONNACK in one [MQTT-3.14.0-1]."""
        if self.state == DECIDING and self.version == 5:
            self.put_packet(encode_connack(False, code, self.explanation(code, 5), 5))
        self.close_with(code, REASONS.get(code, "parse_error"))
        return 0

    cdef int refuse_packet(self, error) except -1:
        """A packet that could not be decoded. Before CONNACK there is a CONNACK to say so with."""
        if self.state == AWAIT_CONNECT:
            if isinstance(error, UnsupportedVersion):
                self.put_packet(b"\x20\x02\x00\x01" if error.version < 5 else b"\x20\x03\x00\x84\x00")
                self.shut("unacceptable_protocol_version")
            else:
                if error.version == 5:
                    self.put_packet(encode_connack(False, error.reason_code, None, 5))
                elif error.reason_code == RC_TOPIC_NAME_INVALID:
                    self.put_packet(b"\x20\x02\x00\x03")  # a bad will topic, as EMQ X answers it
                self.shut("parse_error")
        else:
            self.violation(error.reason_code)
        return 0

    cdef bint held_back(self) noexcept:
        return (self.holds & HOLD_OUTPUT) != 0

    # -- acknowledgements to the client -------------------------------------------------------------------------------------

    cdef int after_commit(self, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1:
        return put_after_commit(self, first_byte, pid, batch)

    def send_after_commit(self, bytes packet not None):
        """`send`, once everything that was appended to the journal until now is on disk."""
        cdef Journal journal = self.engine.journal
        if self.state == CLOSED:
            return
        if journal is None or self.session is None or self.session.sid == 0:
            self.put_packet(packet)
            return
        deferred_of(self).packets.append(packet)
        put_after_commit(self, 0, 0, journal.mark())

    cdef int on_commit(self) except -1:
        """The store has news: something is on disk, or its disk is full, or has room again."""
        if self.state == CLOSED:
            return 0
        try:
            if self.holds & HOLD_STORE and self.engine.journal.takes_more():
                self.holds &= ~HOLD_STORE
                self.schedule()
            if self.corked:
                self.uncork()
            if self.deferred is not None:
                release_committed(self)
        except Exception as error:
            self.engine.policy.on_error(self, error)
        return 0

    cdef int uncork(self) except -1:
        """CONNACK goes out, and what came behind CONNECT is read: a DISCONNECT among it must not close before that."""
        if not self.engine.journal.is_committed(self.cork_batch):
            return self.engine.journal.wait(self)
        self.corked = self.blocked = False
        self.flush()
        self.holds &= ~HOLD_VERDICT
        self.schedule()
        return self.drained()

    def recheck(self):
        """Called when a queue that acknowledgements wait for has room."""
        self.schedule()

    cdef int count_sent(self, uint8_t first_byte) except -1:
        self.sent_others += 1
        self.engine.metrics.v[<int>PACKETS_SENT] += 1
        if SENT[first_byte >> 4] >= 0:
            self.engine.metrics.v[SENT[first_byte >> 4]] += 1
        return 0

    # -- access control -----------------------------------------------------------------------------------------------------

    cdef Verdict check_acl(self, uint8_t access, const uint8_t* topic, size_t n) except? DENY:
        """ALLOW, DENY, UNAVAILABLE, or PENDING with the channel held until `resume(verdict)`. About a topic that begins
        with `$` the broker is asked in any case: some are its own."""
        cdef uint8_t answer = self.verdict
        cdef AclEntry* entry
        if not (self.acl and self.engine.acl_hooked) and topic[0] != c"$":
            return ALLOW
        if answer != UNKNOWN:
            self.verdict = UNKNOWN
            return <Verdict>answer
        entry = acl_find(&self.acl_cache, access, topic, n, self.engine.now)
        if entry != NULL:
            return ALLOW if entry.allowed else DENY
        self.engine.spent += ASKED
        answer = self.engine.policy.check_acl(self, access, topic[:n])
        if answer == PENDING:
            self.holds |= HOLD_VERDICT
        elif answer != UNAVAILABLE:
            self.remember_acl(access, topic, n, answer == ALLOW)
        return <Verdict>answer

    cdef int remember_acl(self, uint8_t access, const uint8_t* topic, size_t n, bint allowed) except -1:
        if self.zone.enable_acl_cache and acl_put(&self.acl_cache, self.zone.acl_cache_max_size, access, topic, n,
                                                  allowed, self.engine.now + self.zone.acl_cache_ttl) < 0:
            raise MemoryError
        return 0

    def cached_verdict(self, int access, bytes topic not None):
        """The cached verdict, True or False, or None."""
        cdef AclEntry* entry = acl_find(&self.acl_cache, <uint8_t>access, topic, len(topic), self.engine.now)
        return None if entry == NULL else bool(entry.allowed)

    def cache_verdict(self, int access, bytes topic not None, bint allowed):
        self.remember_acl(<uint8_t>access, topic, len(topic), allowed)

    def clean_acl_cache(self, bytes topic=None):
        """Drops the cached verdicts of one topic, or all of them; returns how many."""
        cdef uint32_t gone = self.acl_cache.count
        if topic is not None:
            return acl_forget(&self.acl_cache, topic, len(topic))
        acl_clear(&self.acl_cache)
        return gone

    # -- what the broker decides ----------------------------------------------------------------------------------------------

    def hold(self):
        """Reads nothing more until `resume()`: a decision is pending."""
        self.holds |= HOLD_VERDICT
        self.watch()

    def resume(self, verdict=None, int access=ACCESS_PUBLISH, bytes topic=None):
        """The decision is there. For an ACL check: `verdict` ALLOW, DENY or UNAVAILABLE. The first two are remembered for
        `topic`."""
        if self.state == CLOSED:
            return
        if verdict is not None:
            self.verdict = verdict
            if self.verdict != UNAVAILABLE:
                self.remember_acl(<uint8_t>access, topic, len(topic), self.verdict == ALLOW)
        self.holds &= ~HOLD_VERDICT
        if not self.parsing:
            self.schedule()

    cdef uint8_t options_of(self, uint8_t options, bint shared) noexcept:
        """The options that a subscription of this client has, of those that it asks for. A bridge before MQTT 5 (protocol
        level 0x83 or 0x84) has no way to ask for Retain As Published and No Local, and means both. No Local is not for
        shared subscriptions [MQTT-3.8.3-4]."""
        if self.is_bridge and self.version != 5:
            options |= OPT_RETAIN_AS_PUBLISHED if shared else OPT_RETAIN_AS_PUBLISHED | OPT_NO_LOCAL
        return options

    def grant(self, bint is_super):
        """What an authentication found out. Verdicts from before it hold no longer."""
        self.is_super = is_super
        self.acl = self.zone.enable_acl and not is_super
        acl_clear(&self.acl_cache)

    def accept(self, Session session not None, bytes connack not None, *, double connected_at, int64_t silence_limit=0,
               uint16_t receive_max=0, uint16_t alias_max=0, uint16_t peer_alias_max=0, bytes mount=None,
               will_topic=None, bint is_super=False, bint stored=False):
        """CONNECT succeeded: sends CONNACK, binds the session, reads on.

        `silence_limit` in ms (1.5 × keepalive, 0: none); `receive_max` and `peer_alias_max` as the client gave them
        (0: not given); `alias_max` as the server does. `stored`: nothing goes out before everything in the journal is
        on disk."""
        cdef Journal journal = self.engine.journal
        cdef AliasTable aliases = AliasTable(peer_alias_max) if peer_alias_max else None
        cdef set traced = self.engine.watches.clients
        self.grant(is_super)
        self.connected_at = connected_at
        self.silence_limit = silence_limit
        self.alias_max = alias_max
        self.mount = mount
        self.will_topic = will_topic
        self.delivered_before = session.deliver_msg
        self.heard = self.engine.now
        # From here on the connection has the session, and its end leaves it.
        self.session = session
        session.bind(self, self.zone, self.version, self.max_packet, receive_max, aliases, mount,
                     len(traced) != 0 and session.client_id.encode() in traced, self.engine.now)
        self.state = OPEN
        self.engine.policy.connected()
        if stored and journal is not None and not journal.is_committed(journal.mark()):
            self.corked = self.blocked = True
            self.cork_batch = journal.mark()
            journal.wait(self)
        self.put_packet(connack)
        if self.corked:
            return
        self.holds &= ~HOLD_VERDICT
        if not self.parsing:
            self.schedule()

    def send(self, bytes packet not None):
        """One packet, encoded; it goes out with the turn, or at the next `flush_output()`."""
        if self.state != CLOSED:
            self.put_packet(packet)

    cdef int put_packet(self, bytes packet) except -1:
        """[MQTT-3.1.2-24] [MQTT-3.1.2-25] A packet longer than the client takes counts as sent."""
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(packet)
        cdef size_t n = <size_t>PyBytes_GET_SIZE(packet)
        if self.max_packet and n > self.max_packet:
            return 0
        self.count_sent(p[0])
        if p[0] == 0x20:
            self.count_connack(p[3] if p[1] < 0x80 else p[4])
        return self.put(p, n)

    cdef int count_connack(self, uint8_t code) except -1:
        if code:
            self.engine.metrics.v[<int>CONNACK_ERROR] += 1
        if code in (4, 5, 0x86, 0x87):  # bad credentials, not authorised
            self.engine.metrics.v[<int>CONNACK_AUTH_ERROR] += 1
        return 0

    def close(self, str reason not None, code=None):
        """Ends the connection; MQTT 5 is sent DISCONNECT with `code` first, if one is given."""
        if code is None:
            self.shut(reason)
        else:
            self.close_with(<uint8_t>code, reason)

    cdef int close_with(self, uint8_t code, str reason) except -1:
        if self.state == OPEN and self.version == 5:
            self.put_packet(encode_disconnect(code, self.explanation(code, 4)))
        return self.shut(reason)

    def explanation(self, int code, size_t size):
        """The properties of a refusal with `code` in a packet of `size` bytes without them: a reason string if the
        client asked for such [MQTT-3.1.2-29] and takes a packet so long [MQTT-3.14.2-3]."""
        cdef str text
        if not self.explain:
            return {}
        text = self.engine.policy.reason_text(code)
        return {"reason_string": text} if self.max_packet == 0 or size + 3 + len(text) <= self.max_packet else {}

    cdef int shut(self, str reason) except -1:
        """Closes the socket, after one try to write what is left, and tells the broker."""
        cdef Channel last
        if self.state == CLOSED:
            return 0
        self.state = CLOSED
        self.close_reason = reason
        self.engine.graveyard.append(self)
        if self.outbox.pending and not self.failed:
            self.flush()
        self.discard_output()
        self.egress.forget(self)
        if self.engine.found:
            self.engine.found.pop(self, None)
        if self.transport is not None:
            self.transport.close()
            self.transport = None
        if self.fd >= 0:
            self.unwatch()
            close(self.fd)
            self.fd = -1
        last = self.engine.channels.pop()
        if last is not self:
            self.engine.channels[self.index] = last
            last.index = self.index
        self.wake_waiters()
        if self.session is not None and self.session.conn is self:
            self.session.unbind()
            self.engine.drain(self.session)
        self.engine.policy.on_closed(self, reason)
        return 0

    cdef int wake_waiters(self) except -1:
        """Publishers that were paused because of this one's socket read on."""
        cdef Channel paused
        cdef list waiters = self.waiters
        self.waiters = None
        for paused in waiters or ():
            paused.holds &= ~HOLD_OUTPUT
            paused.schedule()
        return 0

    cdef int after_drain(self) except -1:
        """The outbox has room again: for the session's queue, and for those who wait."""
        if self.slow and not self.slow_told:
            self.slow_told = True
            self.engine.policy.on_slow(self)
        self.wake_waiters()
        if self.session is not None:
            self.engine.drain(self.session)
        return 0

    # -- what an operator sees --------------------------------------------------------------------------------------------------

    @property
    def peer(self):
        return peer_of(self.address)

    @property
    def client_id(self):
        return self.session.client_id if self.session is not None else None

    @property
    def username(self):
        return self.session.username if self.session is not None else None

    @property
    def proto_ver(self):
        return self.version

    @property
    def proto_name(self):
        return "MQIsdp" if self.version == 3 else "MQTT"

    @property
    def mountpoint(self):
        return None if self.mount is None else self.mount.decode()

    @property
    def send_msg(self):
        return self.session.deliver_msg - self.delivered_before if self.session is not None else 0

    @property
    def send_pkt(self):
        return self.sent_others + self.send_msg

    @property
    def acks_withheld(self):
        return self.deferred.acks.count if self.deferred is not None else 0

    @property
    def is_open(self):
        return self.state == OPEN

    @property
    def is_answered(self):
        """Its CONNACK is on its way: CONNECT came, was decided, and what had to be stored is."""
        return self.state == OPEN and not self.corked

    @property
    def is_corked(self):
        """CONNACK waits for the store, or did when the connection ended."""
        return bool(self.corked)

    @property
    def is_closed(self):
        return self.state == CLOSED

    @property
    def is_held(self):
        return self.holds != 0

    @property
    def is_gone(self):
        """The channel is closed, or its client has hung up, which a held channel does not read. A client that has sent
        more than CONNECT before it ended its half of the connection wants that to be seen to."""
        cdef pollfd peer
        cdef int unread = 0
        if self.state == CLOSED:
            return True
        peer = pollfd(self.fd, POLLRDHUP, 0)
        if self.inbox_len or self.fd < 0 or poll(&peer, 1, 0) <= 0 or ioctl(self.fd, FIONREAD, &unread) < 0:
            return False
        if self.transport is None and unread or self.transport is not None and (self.transport.more or unread >= FAREWELL):
            return False
        return self.state != OPEN or (peer.revents & (POLLHUP | POLLERR)) != 0

    def peer_certificate(self):
        """The client's certificate in DER, or None."""
        return self.transport.peer_certificate() if self.transport is not None else None

    @property
    def is_shaken(self):
        """The handshakes of TLS and WebSocket are over, if there are any."""
        return self.transport is None or bool(self.transport.ready)


cdef size_t packet_size(const uint8_t* p, size_t n) noexcept nogil:
    """Bytes of the packet that begins at `p`; 0 when `n` bytes do not tell."""
    cdef size_t header = 0, body = 0
    return header + body if frame(p, n, &header, &body) == 1 else 0


cdef size_t block_for(size_t whole, size_t n) noexcept nogil:
    """How much to take for a packet of `whole` bytes, `n` of which are there. Who only says that it will be long gets
    little; and what was never written to takes no memory."""
    return min(whole, AHEAD * n) if n >= LONG and whole > n else n


def peer_of(bytes raw not None):
    """(address text, port) of a socket address; IPv4 inside IPv6 is shown as IPv4."""
    cdef int port = (raw[2] << 8) | raw[3]
    if raw[0] == AF_INET:
        return inet_ntop(AF_INET, raw[4:8]), port
    if raw[8:20] == V4_MAPPED:
        return inet_ntop(AF_INET, raw[20:24]), port
    return inet_ntop(AF_INET6, raw[8:24]), port


# Why a connection ended, as `shutdown_count` names it.
cdef dict REASONS = {
    RC_MALFORMED_PACKET: "parse_error", RC_PROTOCOL_ERROR: "protocol_error", RC_TOPIC_NAME_INVALID: "topic_name_invalid",
    RC_RECEIVE_MAXIMUM_EXCEEDED: "receive_maximum_exceeded", RC_TOPIC_ALIAS_INVALID: "topic_alias_invalid",
    RC_PACKET_TOO_LARGE: "packet_too_large", RC_RETAIN_NOT_SUPPORTED: "retain_not_supported",
    RC_QUOTA_EXCEEDED: "quota_exceeded", RC_QOS_NOT_SUPPORTED: "qos_not_supported",
    RC_PAYLOAD_FORMAT_INVALID: "payload_format_invalid",
}
