"""Channels: bytes in, packets, decisions, bytes out. Read `parse` first; the rest follows from it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, EPIPE, ETIMEDOUT, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from router_ext.acl_cache cimport AclEntry, acl_clear, acl_find, acl_forget, acl_put
from router_ext.codec cimport (
    Publish, ack_reason_valid, decode_raw, encode, encode_connack, encode_disconnect, parse_ack, parse_publish,
)
from router_ext.delivery cimport Delivery, delivery_msg, delivery_of
from router_ext.epoll cimport EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, epoll_ctl, epoll_event
from router_ext.journal cimport Journal
from router_ext.message cimport Message, msg_unref, wrap
from router_ext.metrics cimport (
    AWAITING_REL_EXCEEDED, BYTES_RECEIVED, DISCONNECT_RECEIVED, DISCONNECT_SENT, DROPPED_ACL, MESSAGES_RECEIVED, PACKETS_AUTH,
    PACKETS_CONNACK, PACKETS_CONNECT, PACKETS_PINGREQ, PACKETS_PINGRESP, PACKETS_RECEIVED, PACKETS_SENT,
    PACKETS_SUBACK, PACKETS_SUBSCRIBE, PACKETS_UNSUBACK, PACKETS_UNSUBSCRIBE, PUBACK_MISSED, PUBACK_RECEIVED,
    PUBACK_SENT, PUBCOMP_MISSED, PUBCOMP_RECEIVED, PUBCOMP_SENT, PUBLISH_RECEIVED, PUBLISHERS_PAUSED, PUBREC_MISSED,
    PUBREC_RECEIVED, PUBREC_SENT, PUBREL_MISSED, PUBREL_RECEIVED, PUBREL_SENT, QOS0_RECEIVED, QOS2_DROPPED,
    QOS2_EXPIRED,
)
from router_ext.packets cimport Ack
from router_ext.properties cimport Property, forwardable, next_property
from router_ext.router cimport Match
from router_ext.session cimport WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC, WAIT_STORE, Slot
from router_ext.topic cimport utf8_valid
from router_ext.transport cimport Prelude, Transport, set_errno
from router_ext.wire cimport flags_valid, frame, shortest

from socket import AF_INET, AF_INET6, inet_ntop

from router_ext.codec import PacketError, UnsupportedVersion

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* buf, size_t n, int flags)
    enum: MSG_DONTWAIT

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef bytes V4_MAPPED = bytes(10) + b"\xff\xff"

cdef enum:
    INBUF = 262144          # Engine.inbuf
    TURN_BYTES = 4194304    # output of one channel's turn
    RUN_BYTES = 8388608     # output of one run
    LONGEST_RUN = 65536
    SHORTEST_RUN = 2048
    MOST_DEFERRED = 65535   # no client has more packet identifiers than that
    PROP_PAYLOAD_FORMAT = 0x01
    ACCESS_SUBSCRIBE = 1
    ACCESS_PUBLISH = 2

# Reason codes (MQTT 5.0, section 2.4)
cdef enum:
    RC_SUCCESS = 0x00
    RC_NO_MATCHING_SUBSCRIBERS = 0x10
    RC_MALFORMED_PACKET = 0x81
    RC_PROTOCOL_ERROR = 0x82
    RC_NOT_AUTHORIZED = 0x87
    RC_TOPIC_NAME_INVALID = 0x90
    RC_PACKET_ID_IN_USE = 0x91
    RC_PACKET_ID_NOT_FOUND = 0x92
    RC_RECEIVE_MAXIMUM_EXCEEDED = 0x93
    RC_TOPIC_ALIAS_INVALID = 0x94
    RC_PACKET_TOO_LARGE = 0x95
    RC_QUOTA_EXCEEDED = 0x97
    RC_PAYLOAD_FORMAT_INVALID = 0x99
    RC_RETAIN_NOT_SUPPORTED = 0x9A
    RC_QOS_NOT_SUPPORTED = 0x9B

# The counter of each packet type, by the high half of its first byte, received and sent.
cdef int[16] RECEIVED = [
    -1, PACKETS_CONNECT, -1, PUBLISH_RECEIVED, PUBACK_RECEIVED, PUBREC_RECEIVED, PUBREL_RECEIVED, PUBCOMP_RECEIVED,
    PACKETS_SUBSCRIBE, -1, PACKETS_UNSUBSCRIBE, -1, PACKETS_PINGREQ, -1, DISCONNECT_RECEIVED, PACKETS_AUTH]
cdef int[16] SENT = [
    -1, -1, PACKETS_CONNACK, -1, PUBACK_SENT, PUBREC_SENT, PUBREL_SENT, PUBCOMP_SENT,
    -1, PACKETS_SUBACK, -1, PACKETS_UNSUBACK, -1, PACKETS_PINGRESP, DISCONNECT_SENT, -1]

cdef dict SOCKET_ERRORS = {ECONNRESET: "econnreset", EPIPE: "epipe", ETIMEDOUT: "etimedout"}


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
        free(self.deferred.items)
        free(self.uncommitted.items)

    # -- the socket -----------------------------------------------------------------------------------------------------

    cdef int watch(self) except -1:
        """Asks the poller for what this channel can use now."""
        cdef uint8_t wanted = (0 if self.holds & ~HOLD_BUDGET else 1) | (2 if self.blocked and not self.corked else 0)
        cdef epoll_event event
        cdef int op = EPOLL_CTL_MOD if self.watching & 128 else EPOLL_CTL_ADD
        if self.poller < 0 or self.fd < 0 or wanted | 128 == self.watching:
            return 0
        memset(&event, 0, sizeof(event))
        event.events = (EPOLLIN if wanted & 1 else 0) | (EPOLLOUT if wanted & 2 else 0)
        event.data.ptr = <void*>self
        if epoll_ctl(self.poller, op, self.fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        self.watching = wanted | 128
        return 0

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
        """Reads once and parses what is there."""
        cdef uint8_t* into = self.engine.inbuf
        cdef size_t room = INBUF
        cdef ssize_t n
        if self.holds or self.state == CLOSED:
            return 0
        if self.inbox_len > INBUF // 2:
            room = self.grow_inbox()
            into = self.inbox
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
        return self.consume(into)

    cdef ssize_t receive(self, uint8_t* p, size_t room) except -2:
        """`recv` through the transport, with what its handshakes bring about."""
        cdef Transport layer = self.transport
        cdef bint shaken = layer.ready
        cdef ssize_t n = layer.receive(p, room, self.engine.now)
        cdef int error = errno
        if layer.ready and not shaken:
            self.shaken()
        if layer.stuck and not self.blocked:
            self.block(0)
        if layer.more:
            self.later()
        set_errno(error)
        return n

    cdef int shaken(self) except -1:
        """The transport is ready: the time to send CONNECT begins."""
        cdef Prelude prelude
        self.heard = self.engine.now
        self.silence_limit = self.zone.idle_timeout
        if isinstance(self.transport, Prelude):
            prelude = <Prelude>self.transport
            self.transport = prelude.following
            if prelude.address is not None:
                self.address = prelude.address
            if self.transport is not None:
                self.silence_limit = self.listener.handshake_timeout
            self.later()
        return 0

    cdef int recv_failed(self, ssize_t n) except -1:
        if n == 0:
            self.shut("closed")
        elif self.transport is not None and self.transport.failure is not None:
            self.shut(self.transport.failure)
        elif errno != EAGAIN and errno != EINTR:
            self.shut(SOCKET_ERRORS.get(errno, "socket_error"))
        return 0

    cdef size_t grow_inbox(self) except 0:
        """Room behind the bytes in the inbox, which then begin at its start."""
        cdef size_t cap = self.inbox_cap
        cdef uint8_t* grown
        if self.inbox_head:
            memmove(self.inbox, self.inbox + self.inbox_head, self.inbox_len)
            self.inbox_head = 0
        if cap - self.inbox_len < INBUF // 4:
            cap = 2 * self.inbox_len
            grown = <uint8_t*>realloc(self.inbox, cap)
            if grown == NULL:
                raise MemoryError
            self.inbox = grown
            self.inbox_cap = cap
        return self.inbox_cap - self.inbox_len

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
        cdef uint8_t* grown
        if self.inbox_head + self.inbox_len + n > self.inbox_cap:
            grown = <uint8_t*>malloc(self.inbox_len + n)
            if grown == NULL:
                raise MemoryError
            memcpy(grown, self.inbox + self.inbox_head, self.inbox_len)
            free(self.inbox)
            self.inbox = grown
            self.inbox_head = 0
            self.inbox_cap = self.inbox_len + n
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

    cdef int go_on(self) except -1:
        """The next turn after a hold was lifted."""
        self.queued = False
        self.holds &= ~HOLD_BUDGET
        if self.state == CLOSED:
            return 0
        if self.deferred.count:
            self.release_acks()
        if self.session is not None and self.session.backlog is not None:
            self.engine.drain(self.session)
        if self.holds == 0:
            self.watch()
            if self.inbox_len:
                self.consume(self.inbox + self.inbox_head)
            if self.transport is not None and self.transport.more:
                self.readable()
        return 0

    cdef int go_on_later(self) except -1:
        return self.later()

    cdef int later(self) except -1:
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
                self.later()
                return STOP_HELD
            whole = frame(p + pos, n - pos, &header, &body)
            if whole < 0:
                self.violation(RC_MALFORMED_PACKET)
                return STOP_CLOSED
            if whole == 0:
                break
            if header + body > self.zone.max_packet_size:
                self.violation(RC_PACKET_TOO_LARGE)
                return STOP_CLOSED
            if header + body > n - pos:
                if self.state == AWAIT_CONNECT and p[pos] != 0x10:
                    self.shut("proto_not_connected")
                    return STOP_CLOSED
                break
            if p[pos] & 0xF0 == 0x30 and self.state == OPEN:
                taken = self.publish(p + pos, n - pos, header, body)
            else:
                taken = header + body if self.packet(p + pos, header, body) else 0
            if taken:
                self.counted = False
            pos += taken
        used[0] = pos
        return STOP_NEED_MORE

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
            self.acknowledgement(kind, p + header, body)
        elif kind == 12:
            if body:
                self.violation(RC_MALFORMED_PACKET)
            else:
                self.put_packet(b"\xd0\x00")
        elif kind == 8:
            self.engine.policy.on_subscribe(self, decode_raw(p + header, body, p[0], self.version))
        elif kind == 10:
            self.engine.policy.on_unsubscribe(self, decode_raw(p + header, body, p[0], self.version))
        elif kind == 14:
            self.engine.policy.on_disconnect(self, decode_raw(p + header, body, p[0], self.version))
        elif kind == 15 and self.version == 5:
            self.engine.policy.on_auth(self, decode_raw(p + header, body, p[0], self.version))
        else:
            self.violation(RC_PROTOCOL_ERROR)
        return True

    cdef int connect(self, uint8_t* p, size_t header, size_t body) except -1:
        """[MQTT-3.1.0-1] The first packet is CONNECT; the broker decides on it."""
        if p[0] >> 4 != 1:
            self.shut("proto_not_connected")
            return 0
        packet = decode_raw(p + header, body, p[0], self.version)
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

    # -- PUBLISH from the client ------------------------------------------------------------------------------------------

    cdef size_t publish(self, uint8_t* p, size_t n, size_t header, size_t body) except? 0:
        """One PUBLISH, or as many QoS 0 ones of the same topic as follow it directly. Returns the bytes used; 0 when
        the channel is held or closed before it could be taken."""
        cdef Publish packet
        cdef int code = parse_publish(p + header, body, p[0], self.version, &packet)
        if self.version == 5 and code == 0 and not shortest(header, body):
            code = RC_MALFORMED_PACKET
        if code == 0:
            code = self.check_publish(&packet)
        if code:
            self.count_received(3, 1)
            self.violation(<uint8_t>code)
            return 0
        if self.zone.publish_limit_count and self.over_rate():
            return 0
        if (packet.qos or packet.retain or self.mount is not None
                or self.engine.hooked(packet.topic, packet.topic_len)
                or (self.zone.check_payload_format and self.version == 5)):
            return header + body if self.publish_one(&packet) else 0
        return self.publish_run(p, n, header, header + body, &packet)

    cdef int check_publish(self, Publish* packet) except -1:
        """The checks that need the channel's state; resolves a topic alias. 0 or a reason code."""
        cdef bytes topic
        if packet.topic_alias:
            if packet.topic_alias > self.alias_max:
                return RC_TOPIC_ALIAS_INVALID  # [MQTT-3.3.2-9]
            if packet.topic_len:
                if self.aliases is None:
                    self.aliases = {}
                self.aliases[packet.topic_alias] = packet.topic[:packet.topic_len]
            else:
                topic = self.aliases.get(packet.topic_alias) if self.aliases is not None else None
                if topic is None:
                    return RC_PROTOCOL_ERROR
                packet.topic = <const uint8_t*>PyBytes_AS_STRING(topic)  # the table keeps it alive
                packet.topic_len = <uint16_t>PyBytes_GET_SIZE(topic)
        if packet.qos > self.zone.max_qos_allowed:
            return RC_QOS_NOT_SUPPORTED  # [MQTT-3.2.2-11]
        if packet.retain and not self.zone.retain_available:
            return RC_RETAIN_NOT_SUPPORTED  # [MQTT-3.2.2-14]
        return 0

    cdef bint over_rate(self) except? True:
        """`publish_limit`: the socket is not read until the period is over."""
        cdef int64_t now = self.engine.now
        if now - self.rate_start >= self.zone.publish_limit_period:
            self.rate_start = now
            self.rate_used = 0
        if self.rate_used < self.zone.publish_limit_count:
            return False
        self.holds |= HOLD_RATE
        return True

    cdef size_t publish_run(self, uint8_t* p, size_t n, size_t header, size_t end, Publish* first) except? 0:
        """QoS 0: the longest run of packets that differ in their payloads only, handed on in one piece."""
        cdef Delivery d
        cdef Match* match
        cdef size_t limit, longest = end
        cdef uint32_t count = 1
        cdef uint8_t* props
        cdef Verdict verdict = self.check_acl(ACCESS_PUBLISH, first.topic, first.topic_len)
        if verdict == PENDING:
            self.count_received(3, 1)
            return 0
        match = self.engine.router.match(first.topic, first.topic_len)
        if match.n_plain == 1 and self.blocked_ahead(match):
            self.count_received(3, 1)
            return 0
        limit = RUN_BYTES // (match.n_plain + match.n_groups + 1)
        limit = max(<size_t>SHORTEST_RUN, min(<size_t>LONGEST_RUN, limit))
        self.extend_run(p, min(n, limit), header, &end, &count, &longest, first)
        self.count_received(3, count)
        self.count_messages(0, count)
        if verdict == DENY:
            self.engine.metrics.v[<int>DROPPED_ACL] += count
            self.denied(first)
            return end
        memset(&d, 0, sizeof(d))
        d.frames = p
        d.frames_len = end
        d.payload_at = <size_t>(first.payload - p) - header
        d.verbatim = first.forward_as_is
        d.longest = longest
        d.count = count
        d.version = self.version
        props = describe(&d, first)
        try:
            self.hand_on(&d)
        finally:
            if d.msg != NULL:
                msg_unref(d.msg)
            free(props)
        return end

    cdef int extend_run(self, const uint8_t* p, size_t n, size_t header, size_t* end, uint32_t* count,
                        size_t* longest, Publish* first) except -1:
        """Moves `end` behind the last whole packet within `n` bytes that has the topic and properties of the first."""
        cdef const uint8_t* name = p + header
        cdef size_t at = end[0], body = 0, named = <size_t>(first.payload - name)
        cdef uint32_t room = 0xFFFFFFFF
        if self.zone.publish_limit_count:
            room = self.zone.publish_limit_count - self.rate_used
        while at + 2 < n and count[0] < room and p[at] == 0x30:
            if p[at + 1] < 128:
                header = 2
                body = p[at + 1]
            elif frame(p + at, n - at, &header, &body) != 1:
                break
            if at + header + body > n or body < named or memcmp(p + at + header, name, named) != 0:
                break
            if self.version == 5 and not shortest(header, body):
                break
            at += header + body
            count[0] += 1
            if header + body > longest[0]:
                longest[0] = header + body
        end[0] = at
        return 0

    cdef int hand_on(self, Delivery* d) except -1:
        """Routes for this client; returns how many it reached. Holds the channel when a reader's socket is full."""
        cdef int reached
        d.now = self.engine.now
        d.sys = d.topic_len > 5 and memcmp(d.topic, b"$SYS/", 5) == 0
        self.sign(d)
        reached = self.engine.route(d, self.session)
        if self.engine.pause_for is not None:
            self.pause(self.engine.pause_for)
        return reached

    cdef bint blocked_ahead(self, Match* match) except? True:
        """The only subscriber's socket is full: many publishers to it must not each add to that before they pause."""
        cdef Connection conn = (<Session>match.plain.subscriber).conn
        return (conn is not None and conn.blocked and conn.outbox.pending > self.egress.pause_at and conn is not self
                and self.pause(conn))

    cdef bint pause(self, Connection full) except? True:
        """Reads nothing more until `full` has room; not while somebody waits for this one. False: it reads on."""
        cdef Channel other
        if full.slow or self.waiters:
            return False
        if full.waiters is None:
            full.waiters = []
        full.waiters.append(self)
        self.holds |= HOLD_OUTPUT
        self.engine.metrics.v[<int>PUBLISHERS_PAUSED] += 1
        if isinstance(full, Channel):
            other = <Channel>full
            if other.holds & HOLD_OUTPUT:  # it may read only once it has written: see `held_back`
                other.holds &= ~HOLD_OUTPUT
                other.later()
        return True

    cdef bint held_back(self) noexcept:
        return (self.holds & HOLD_OUTPUT) != 0

    cdef int sign(self, Delivery* d) except -1:
        """The publisher's client id, as the session's text keeps it in UTF-8."""
        cdef Py_ssize_t n = 0
        d.client = <const uint8_t*>PyUnicode_AsUTF8AndSize(self.session.client_id, &n)
        if d.client == NULL:
            raise MemoryError
        d.client_len = <uint16_t>n
        return 0

    cdef int count_messages(self, uint8_t qos, uint32_t count) except -1:
        self.recv_msg += count
        self.rate_used += count
        self.engine.metrics.v[<int>MESSAGES_RECEIVED] += count
        self.engine.metrics.v[<int>QOS0_RECEIVED + 2 * qos] += count
        return 0

    cdef bint publish_one(self, Publish* packet) except? True:
        """A PUBLISH that is acknowledged, retained, or changed on its way. False: held, to be seen again."""
        cdef Verdict verdict
        cdef bytes mounted
        cdef uint8_t code = RC_SUCCESS
        cdef Journal journal = self.engine.journal
        cdef uint64_t awaited = journal.awaited if journal is not None else 0, batch = 0
        self.count_received(3, 1)
        verdict = self.check_acl(ACCESS_PUBLISH, packet.topic, packet.topic_len)
        if verdict == PENDING:
            return False
        if journal is not None and journal.full and verdict != DENY and packet.qos and not self.store_takes(packet):
            return self.version == 5
        if self.mount is not None:
            if len(self.mount) + packet.topic_len > 0xFFFF:
                self.violation(RC_TOPIC_NAME_INVALID)
                return True
            mounted = self.mount + packet.topic[:packet.topic_len]
            packet.topic = <const uint8_t*>PyBytes_AS_STRING(mounted)
            packet.topic_len = <uint16_t>PyBytes_GET_SIZE(mounted)
        self.count_messages(packet.qos, 1)
        if packet.qos and self.version == 5 and self.over_quota():
            return True
        if packet.qos == 2 and not self.begin_qos2(packet):
            return True
        if verdict == DENY:
            self.engine.metrics.v[<int>DROPPED_ACL] += 1
            code = RC_NOT_AUTHORIZED
        elif self.zone.check_payload_format and not payload_as_said(packet):
            code = RC_PAYLOAD_FORMAT_INVALID
        else:
            code = RC_SUCCESS if self.forward(packet) else RC_NO_MATCHING_SUBSCRIBERS
        if packet.qos:
            if code >= 0x80 and packet.qos == 2 and self.version == 5:
                self.release_id(packet.packet_id)  # [MQTT-4.3.3-9] the exchange ends with PUBREC
            if journal is not None and journal.awaited != awaited:
                batch = journal.batch
            self.acknowledge(0x40 if packet.qos == 1 else 0x50, packet.packet_id, code, batch)
        elif code == RC_PAYLOAD_FORMAT_INVALID:
            self.violation(code)
        if verdict == DENY:
            self.denied(packet)
        return True

    cdef bint over_quota(self) except? True:
        """Counts a QoS 1 or 2 message whose exchange begins; True when it is one more than the Receive Maximum that
        CONNACK announced, and the connection ended [MQTT-3.3.4-9]."""
        if self.zone.max_awaiting_rel and self.unacked >= self.zone.max_awaiting_rel:
            self.engine.metrics.v[<int>QOS2_DROPPED] += 1
            self.violation(RC_RECEIVE_MAXIMUM_EXCEEDED)
            return True
        self.unacked += 1
        return False

    cdef bint begin_qos2(self, Publish* packet) except? True:
        """[MQTT-4.3.3-10] Remembers the packet id. False when this PUBLISH goes no further."""
        cdef Session s = self.session
        if s.is_awaiting(packet.packet_id):
            self.acknowledge(0x50, packet.packet_id,
                             RC_PACKET_ID_IN_USE if self.version == 5 and not packet.dup else RC_SUCCESS,
                             self.engine.journal.mark() if s.sid and self.engine.journal is not None else 0)
            return False
        if self.version != 5 and self.zone.max_awaiting_rel and s.awaiting.count >= self.zone.max_awaiting_rel:
            self.engine.metrics.v[<int>AWAITING_REL_EXCEEDED] += 1  # MQTT 3 cannot be told: counted, not dropped
            if not self.warned:
                self.warned = True
                self.engine.policy.on_awaiting_rel(self)
        s.await_release(packet.packet_id, <uint32_t>(self.engine.now // 1000))
        if s.sid and self.engine.journal is not None:
            self.engine.journal.await_release(s.sid, packet.packet_id)
        return True

    cdef bint release_id(self, uint16_t pid) except? True:
        """False when no QoS 2 message waits under it."""
        if not self.session.release(pid):
            return False
        if self.session.sid and self.engine.journal is not None:
            self.engine.journal.released(self.session.sid, pid)
        return True

    cdef bint store_takes(self, Publish* packet) except? True:
        """The store's disk is full: what would have to be stored is refused with 0x97, or before MQTT 5, which knows
        no refusal, not read and not acknowledged until there is room."""
        cdef bint in_doubt = packet.qos == 2 and self.session.sid != 0
        if packet.qos == 2 and self.session.is_awaiting(packet.packet_id):
            return True
        if not in_doubt and not self.engine.must_store(packet.topic, packet.topic_len, packet.retain):
            return True
        if self.version == 5:
            self.acknowledge(0x40 if packet.qos == 1 else 0x50, packet.packet_id, RC_QUOTA_EXCEEDED, 0)
        else:
            self.holds |= HOLD_STORE
            self.engine.journal.pause(self)
        return False

    cdef int forward(self, Publish* packet) except -1:
        """Through the hooks, into the retained store, to the subscribers; returns how many it reached."""
        cdef Delivery d
        cdef uint8_t* props = NULL
        memset(&d, 0, sizeof(d))
        d.count = 1
        d.now = self.engine.now
        props = describe(&d, packet)
        try:
            if self.engine.hooked(d.topic, d.topic_len):
                return self.forward_hooked(&d)
            if d.retain:
                self.engine.retain(&d)
            return self.hand_on(&d)
        finally:
            if d.msg != NULL:
                msg_unref(d.msg)
            free(props)

    cdef int forward_hooked(self, Delivery* d) except -1:
        """`message.publish` handlers may change the message or stop it."""
        cdef Delivery changed
        cdef Message message
        self.sign(d)
        if delivery_msg(d) == NULL:
            raise MemoryError
        message = self.engine.policy.on_publish(self, wrap(d.msg))
        if message is None:
            return 0
        delivery_of(&changed, message.msg, self.engine.now)
        if changed.retain:
            self.engine.retain(&changed)
        return self.hand_on(&changed)

    cdef int denied(self, Publish* packet) except -1:
        """`acl_deny_action = disconnect` ends the connection after the answer."""
        self.engine.policy.on_denied(self, packet.topic[:packet.topic_len])
        if self.zone.acl_deny_disconnect:
            if packet.qos and self.version == 5:
                self.close_with(RC_NOT_AUTHORIZED, "acl_denied")
            else:
                self.shut("acl_denied")
        return 0

    # -- acknowledgements to the client -------------------------------------------------------------------------------------

    cdef int acknowledge(self, uint8_t first_byte, uint16_t pid, uint8_t code, uint64_t batch) except -1:
        """PUBACK, PUBREC or PUBCOMP, in arrival order [MQTT-4.6.0-2] [MQTT-4.6.0-3]; withheld while a subscriber that
        the message went to has a full queue, and until `batch` is on disk."""
        if self.engine.gate is not None and self.engine.gate is not self.session:
            if self.gates is None:
                self.gates = []
            if self.engine.gate not in self.gates:
                self.gates.append(self.engine.gate)
                self.wait_for(self.engine.gate)
            self.engine.gate = None
        if batch and self.engine.journal.is_committed(batch):
            batch = 0
        if batch:
            self.engine.journal.wait(self)
        if batch or self.deferred.count or self.gates:
            if self.deferred.count == MOST_DEFERRED:
                return self.violation(RC_RECEIVE_MAXIMUM_EXCEEDED)
            return ring_put(&self.deferred, Deferred(batch, pid, first_byte, code))
        return self.put_ack(first_byte, pid, code)

    cdef int wait_for(self, Session gate) except -1:
        if gate.gated_publishers is None:
            gate.gated_publishers = []
            gate.gated_since = self.engine.now
        if self not in gate.gated_publishers:
            gate.gated_publishers.append(self)
        return 0

    cdef int release_acks(self) except -1:
        """Sends what was withheld once every queue it waits for has room, up to the first that is not on disk."""
        cdef Session gate
        cdef Deferred ack
        for gate in self.gates or ():
            if self.engine.gated(gate):
                return self.wait_for(gate)
        self.gates = None
        while self.deferred.count:
            ack = self.deferred.items[self.deferred.head]
            if ack.batch and not self.engine.journal.is_committed(ack.batch):
                return self.engine.journal.wait(self)
            ring_drop(&self.deferred)
            self.put_ack(ack.first_byte, ack.pid, ack.reason)
        return 0

    cdef int after_commit(self, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1:
        ring_put(&self.uncommitted, Deferred(batch, pid, first_byte, 0))
        return self.release_uncommitted()

    def send_after_commit(self, bytes packet not None):
        """`send`, once everything that was appended to the journal until now is on disk."""
        cdef Journal journal = self.engine.journal
        if self.state == CLOSED:
            return
        if journal is None or self.session is None or self.session.sid == 0:
            self.put_packet(packet)
            return
        if self.uncommitted_packets is None:
            self.uncommitted_packets = []
        self.uncommitted_packets.append(packet)
        self.after_commit(0, 0, journal.mark())

    cdef int release_uncommitted(self) except -1:
        cdef Session s = self.session
        cdef Deferred item
        cdef Slot* slot
        while self.uncommitted.count:
            item = self.uncommitted.items[self.uncommitted.head]
            if not self.engine.journal.is_committed(item.batch):
                return self.engine.journal.wait(self)
            ring_drop(&self.uncommitted)
            if item.first_byte == 0:
                self.put_packet(self.uncommitted_packets.pop(0))
            elif item.first_byte == 0x62:
                self.put_ack(0x62, item.pid, RC_SUCCESS)
            elif s.conn is self:
                slot = s.window_find(item.pid)
                if slot != NULL and slot.state == WAIT_STORE:
                    slot.state = WAIT_PUBREC
                    slot.sent = self.engine.now
                    self.engine.send_msg(s, slot.msg, slot.qos, slot.retain, 0, slot.subid, item.pid)
        return 0

    cdef int on_commit(self) except -1:
        """The store has news: something is on disk, or its disk is full, or has room again."""
        if self.state == CLOSED:
            return 0
        try:
            if self.engine.journal.full:
                self.refuse_deferred()
            elif self.holds & HOLD_STORE:
                self.holds &= ~HOLD_STORE
                self.later()
            if self.corked:
                self.uncork()
            self.release_uncommitted()
            if self.deferred.count:
                self.release_acks()
        except Exception as error:
            self.engine.policy.on_error(self, error)
        return 0

    cdef int refuse_deferred(self) except -1:
        """MQTT 5 publishers need not wait for a disk that is full: they are told."""
        cdef uint32_t i
        cdef Deferred* ack
        if self.version != 5:
            return 0
        for i in range(self.deferred.count):
            ack = self.deferred.items + ((self.deferred.head + i) & (self.deferred.cap - 1))
            if ack.batch and ack.first_byte != 0x70 and not self.engine.journal.is_committed(ack.batch):
                ack.batch = 0
                ack.reason = RC_QUOTA_EXCEEDED
                if ack.first_byte == 0x50:
                    self.release_id(ack.pid)
        return 0

    cdef int uncork(self) except -1:
        if not self.engine.journal.is_committed(self.cork_batch):
            return self.engine.journal.wait(self)
        self.corked = self.blocked = False
        self.flush()
        return self.drained()

    def recheck(self):
        """Called when a queue that acknowledgements wait for has room."""
        self.later()

    cdef int put_ack(self, uint8_t first_byte, uint16_t pid, uint8_t code) except -1:
        cdef uint8_t packet[5]
        cdef size_t n = 4
        if code >= 0x80 and self.explain:
            return self.put_packet(encode(Ack(first_byte >> 4, pid, code, self.explanation(code, 6)), self.version))
        packet[0] = first_byte
        packet[1] = 2
        packet[2] = <uint8_t>(pid >> 8)
        packet[3] = <uint8_t>(pid & 0xFF)
        if self.unacked and (first_byte != 0x50 or code >= 0x80) and first_byte != 0x62:
            self.unacked -= 1
        if code and self.version == 5:
            packet[1] = 3
            packet[4] = code
            n = 5
        self.count_sent(first_byte)
        return self.put(packet, n)

    cdef int count_sent(self, uint8_t first_byte) except -1:
        self.sent_others += 1
        self.engine.metrics.v[<int>PACKETS_SENT] += 1
        if SENT[first_byte >> 4] >= 0:
            self.engine.metrics.v[SENT[first_byte >> 4]] += 1
        return 0

    # -- acknowledgements from the client -----------------------------------------------------------------------------------

    cdef int acknowledgement(self, uint8_t kind, const uint8_t* body, size_t n) except -1:
        """PUBACK, PUBREC, PUBREL, PUBCOMP."""
        cdef uint16_t pid = 0
        cdef uint8_t reason = 0
        cdef int code = parse_ack(body, n, self.version, &pid, &reason)
        if code == 0 and reason and not ack_reason_valid(kind, reason):
            code = RC_PROTOCOL_ERROR  # [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        if code:
            return self.violation(<uint8_t>code)
        if kind == 4:
            return self.on_puback(pid)
        if kind == 5:
            return self.on_pubrec(pid, reason)
        if kind == 6:
            return self.on_pubrel(pid)
        return self.on_pubcomp(pid)

    cdef int on_puback(self, uint16_t pid) except -1:
        cdef Slot* slot = self.session.window_find(pid)
        if slot == NULL or slot.state != WAIT_PUBACK:
            self.engine.metrics.v[<int>PUBACK_MISSED] += 1
            return 0
        self.acked(slot)
        return self.done(slot)

    cdef int on_pubrec(self, uint16_t pid, uint8_t reason) except -1:
        cdef Slot* slot = self.session.window_find(pid)
        if slot == NULL or slot.state == WAIT_PUBACK or slot.state == WAIT_STORE:
            self.engine.metrics.v[<int>PUBREC_MISSED] += 1
            return self.put_ack(0x62, pid, RC_PACKET_ID_NOT_FOUND)
        if reason >= 0x80:
            return self.done(slot)  # [MQTT-4.3.3-4] the message was refused: no PUBREL
        if slot.state == WAIT_PUBREC:
            self.acked(slot)
            if slot.entry and self.session.sid and self.engine.journal is not None:
                self.engine.journal.received(self.session.sid, slot.entry, slot.msg)
            msg_unref(slot.msg)
            slot.msg = NULL
            slot.state = WAIT_PUBCOMP
        self.session.window.unsent -= slot.sent < 0
        slot.sent = self.engine.now
        if slot.entry and self.session.sid and self.engine.journal is not None:
            return self.after_commit(0x62, pid, self.engine.journal.mark())
        return self.put_ack(0x62, pid, RC_SUCCESS)

    cdef int on_pubrel(self, uint16_t pid) except -1:
        if self.release_id(pid):
            if self.session.sid and self.engine.journal is not None:
                return self.acknowledge(0x70, pid, RC_SUCCESS, self.engine.journal.batch)
            return self.put_ack(0x70, pid, RC_SUCCESS)
        self.engine.metrics.v[<int>PUBREL_MISSED] += 1
        return self.put_ack(0x70, pid, RC_PACKET_ID_NOT_FOUND)

    cdef int on_pubcomp(self, uint16_t pid) except -1:
        cdef Slot* slot = self.session.window_find(pid)
        if slot == NULL or slot.state != WAIT_PUBCOMP:
            self.engine.metrics.v[<int>PUBCOMP_MISSED] += 1
            return 0
        return self.done(slot)

    cdef int acked(self, Slot* slot) except -1:
        if self.engine.acked_hooked:
            self.engine.policy.on_acked(self.session, wrap(slot.msg))
        return 0

    cdef int done(self, Slot* slot) except -1:
        cdef Session s = self.session
        if slot.entry:
            self.engine.forget_place(s, slot.entry, slot.msg)
        s.window_done(slot)
        s.progress = self.engine.now
        if (s.queued or s.stored or s.window.unsent or s.gated_publishers is not None
                or s.backlog is not None):
            self.engine.drain(s)
        return 0

    # -- access control -----------------------------------------------------------------------------------------------------

    cdef Verdict check_acl(self, uint8_t access, const uint8_t* topic, size_t n) except? DENY:
        """ALLOW, DENY, or PENDING with the channel held until `resume(verdict)`."""
        cdef uint8_t answer = self.verdict
        cdef AclEntry* entry
        if not self.acl or not self.engine.acl_hooked:
            return ALLOW
        if answer != UNKNOWN:
            self.verdict = UNKNOWN
            return <Verdict>answer
        entry = acl_find(&self.acl_cache, access, topic, n, self.engine.now)
        if entry != NULL:
            return ALLOW if entry.allowed else DENY
        answer = self.engine.policy.check_acl(self, access, topic[:n])
        if answer == PENDING:
            self.holds |= HOLD_VERDICT
        else:
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
        """The decision is there. For an ACL check: `verdict` True or False, remembered for `topic` if it is given."""
        if self.state == CLOSED:
            return
        if verdict is not None:
            self.verdict = ALLOW if verdict else DENY
            if topic is not None:
                self.remember_acl(<uint8_t>access, topic, len(topic), verdict)
        self.holds &= ~HOLD_VERDICT
        if not self.parsing:
            self.later()

    def accept(self, Session session not None, bytes connack not None, *, double connected_at, int64_t silence_limit=0,
               uint32_t receive_max=0, uint32_t max_packet=0, uint16_t alias_max=0, uint16_t peer_alias_max=0,
               bytes mount=None, will_topic=None, bint is_super=False, bint stored=False):
        """CONNECT succeeded: sends CONNACK, binds the session, reads on.

        `silence_limit` in ms (1.5 × keepalive, 0: none); `receive_max`, `max_packet` and `peer_alias_max` as the client
        gave them (0: not given); `alias_max` as the server does. `stored`: nothing goes out before everything in the
        journal is on disk."""
        cdef Zone zone = self.zone
        cdef Journal journal = self.engine.journal
        self.session = session
        self.connected_at = connected_at
        self.silence_limit = silence_limit
        self.alias_max = alias_max
        self.mount = mount
        self.will_topic = will_topic
        self.is_super = is_super
        self.acl = zone.enable_acl and not is_super
        session.version = self.version
        session.zone = zone
        session.peer_max_packet = max_packet
        session.peer_alias_max = peer_alias_max
        session.aliases = None
        session.mount = mount
        session.direct = max_packet == 0 and mount is None
        session.progress = self.engine.now
        session.max_inflight = zone.max_inflight
        if receive_max and (session.max_inflight == 0 or receive_max < session.max_inflight):
            session.max_inflight = receive_max
        session.conn = self
        session.stalled = False
        self.delivered_before = session.deliver_msg
        self.state = OPEN
        self.heard = self.engine.now
        if stored and journal is not None and not journal.is_committed(journal.mark()):
            self.corked = self.blocked = True
            self.cork_batch = journal.mark()
            journal.wait(self)
        self.put_packet(connack)
        self.holds &= ~HOLD_VERDICT
        if not self.parsing:
            self.later()

    def send(self, bytes packet not None):
        """One packet, encoded; it goes out with the turn, or at the next `flush_output()`."""
        if self.state != CLOSED:
            self.put_packet(packet)

    cdef int put_packet(self, bytes packet) except -1:
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(packet)
        self.count_sent(p[0])
        return self.put(p, <size_t>PyBytes_GET_SIZE(packet))

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
        cdef uint32_t limit = self.session.peer_max_packet if self.session is not None else 0
        if not self.explain:
            return {}
        text = self.engine.policy.reason_text(code)
        return {"reason_string": text} if limit == 0 or size + 3 + len(text) <= limit else {}

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
        if self.transport is not None:
            self.transport.close()
            self.transport = None
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1
        last = self.engine.channels.pop()
        if last is not self:
            self.engine.channels[self.index] = last
            last.index = self.index
        self.wake_waiters()
        if self.session is not None and self.session.conn is self:
            self.session.conn = None
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
            paused.later()
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
        """(address text, port); IPv4 inside IPv6 is shown as IPv4."""
        cdef bytes raw = self.address
        cdef int port = (raw[2] << 8) | raw[3]
        if raw[0] == AF_INET:
            return inet_ntop(AF_INET, raw[4:8]), port
        if raw[8:20] == V4_MAPPED:
            return inet_ntop(AF_INET, raw[20:24]), port
        return inet_ntop(AF_INET6, raw[8:24]), port

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
        return self.deferred.count

    @property
    def is_open(self):
        return self.state == OPEN

    @property
    def is_closed(self):
        return self.state == CLOSED

    @property
    def is_held(self):
        return self.holds != 0

    def peer_certificate(self):
        """The client's certificate in DER, or None."""
        return self.transport.peer_certificate() if self.transport is not None else None

    @property
    def is_shaken(self):
        """The handshakes of TLS and WebSocket are over, if there are any."""
        return self.transport is None or bool(self.transport.ready)


# Why a connection ended, as `shutdown_count` names it.
cdef uint8_t* describe(Delivery* d, Publish* packet) except? NULL:
    """Fills `d` from a PUBLISH. Returns what the caller has to free: the properties, where some had to be left out."""
    cdef uint8_t* props = NULL
    d.topic = packet.topic
    d.topic_len = packet.topic_len
    d.props = packet.props
    d.props_len = packet.props_len
    d.payload = packet.payload
    d.payload_len = packet.payload_len
    d.qos = packet.qos
    d.retain = packet.retain
    d.has_expiry = packet.has_expiry
    d.expiry = packet.expiry
    if packet.props_len and not packet.forward_as_is:
        props = <uint8_t*>malloc(packet.props_len)
        if props == NULL:
            raise MemoryError
        d.props_len = <uint32_t>forwardable(packet.props, packet.props_len, props)
        d.props = props
    return props


cdef dict REASONS = {
    RC_MALFORMED_PACKET: "parse_error", RC_PROTOCOL_ERROR: "protocol_error", RC_TOPIC_NAME_INVALID: "topic_name_invalid",
    RC_RECEIVE_MAXIMUM_EXCEEDED: "receive_maximum_exceeded", RC_TOPIC_ALIAS_INVALID: "topic_alias_invalid",
    RC_PACKET_TOO_LARGE: "packet_too_large", RC_RETAIN_NOT_SUPPORTED: "retain_not_supported",
    RC_QOS_NOT_SUPPORTED: "qos_not_supported", RC_PAYLOAD_FORMAT_INVALID: "payload_format_invalid",
}


cdef bint payload_as_said(Publish* packet) noexcept:
    """[MQTT-3.3.2-4] A payload whose Payload Format Indicator is 1 has to be UTF-8."""
    cdef Property property
    cdef size_t at = 0
    cdef int used
    while at < packet.props_len:
        used = next_property(packet.props + at, packet.props_len - at, &property)
        if used <= 0:
            break
        if property.id == PROP_PAYLOAD_FORMAT:
            return property.number == 0 or utf8_valid(packet.payload, packet.payload_len)
        at += <size_t>used
    return True


cdef int ring_put(Ring* r, Deferred item) except -1:
    cdef uint32_t cap, i
    cdef Deferred* grown
    if r.count == r.cap:
        cap = r.cap * 2 if r.cap else 16
        grown = <Deferred*>malloc(cap * sizeof(Deferred))
        if grown == NULL:
            raise MemoryError
        for i in range(r.count):
            grown[i] = r.items[(r.head + i) & (r.cap - 1)]
        free(r.items)
        r.items = grown
        r.cap = cap
        r.head = 0
    r.items[(r.head + r.count) & (r.cap - 1)] = item
    r.count += 1
    return 0


cdef inline void ring_drop(Ring* r) noexcept:
    r.head = (r.head + 1) & (r.cap - 1)
    r.count -= 1


def tick(Engine engine not None, int64_t now):
    """Once in a while, at most a second apart: silence, retries, QoS 2 ids nobody released, spent rate limits.

    `now` in monotonic milliseconds. Returns the channels whose client was silent too long, for the broker to end."""
    cdef Channel c
    cdef list silent = [], excessive = []
    engine.now = engine.egress.now = now
    for c in engine.channels:
        if c.holds & ~HOLD_BUDGET:
            c.heard = now  # a client that is not read cannot be heard
            if c.holds & HOLD_RATE and now - c.rate_start >= c.zone.publish_limit_period:
                c.holds &= ~HOLD_RATE
                c.later()
        elif c.silence_limit and now - c.heard > c.silence_limit:
            silent.append(c)
        if c.state == OPEN:
            if is_excessive(c):
                excessive.append(c)
            maintain(engine, c, now)
    for c in excessive:
        c.close_with(RC_QUOTA_EXCEEDED, "force_shutdown")
    return silent


cdef bint is_excessive(Channel c) noexcept:
    """`force_shutdown_policy`: more waits for this client than its zone allows."""
    return ((c.zone.shutdown_bytes != 0 and c.outbox.pending > c.zone.shutdown_bytes)
            or (c.zone.shutdown_count != 0 and c.session.queued > c.zone.shutdown_count))


cdef int maintain(Engine engine, Channel c, int64_t now) except -1:
    cdef Session s = c.session
    cdef uint32_t gone
    if s.window.busy and c.version != 5 and c.zone.retry_interval and not c.blocked:
        engine.retry(s, now - c.zone.retry_interval)  # MQTT 5 forbids it on a live connection [MQTT-4.4.0-1]
    if s.gated_publishers is not None:
        engine.look_at_gate(s)
    if s.awaiting.count and c.zone.await_rel_timeout and c.zone.await_rel_timeout < now:
        gone = s.expire_awaiting(<uint32_t>((now - c.zone.await_rel_timeout) // 1000), engine.journal)
        engine.metrics.v[<int>QOS2_EXPIRED] += gone
    if c.deferred.count:
        c.later()  # a subscriber that they wait for may no longer keep up
    return 0
