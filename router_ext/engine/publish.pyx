"""PUBLISH from a client, to where it goes. Start at `publish`: QoS 0 goes on in `publish_run`, the rest in `publish_one`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from router_ext.engine.acks cimport acknowledge, defer_acks, release_id
from router_ext.message.topic_alias cimport ClientAliases
from router_ext.engine.channel cimport (
    ALLOW, DENY, HOLD_MATCH, HOLD_OUTPUT, HOLD_RATE, HOLD_STORE, PENDING, UNAVAILABLE, Channel, Verdict,
)
from router_ext.protocol.codec cimport Publish, parse_publish
from router_ext.net.connection cimport Connection
from router_ext.message.publish_frames cimport Delivery, delivery_msg, delivery_of
from router_ext.durable.journal cimport Journal
from router_ext.message.message cimport Message, msg_unref, wrap
from router_ext.net.metrics cimport (
    ACL_UNAVAILABLE, AWAITING_REL_EXCEEDED, DROPPED_ACL, MESSAGES_RECEIVED, PUBLISHERS_PAUSED, PUBLISH_ERROR,
    QOS0_RECEIVED, QOS2_DROPPED,
)
from router_ext.message.outbox cimport LARGE_PAYLOAD
from router_ext.engine.engine cimport Engine, Routing
from router_ext.engine.postponed cimport Postponed, postpone
from router_ext.protocol.properties cimport Property, forwardable, next_property
from router_ext.protocol.reasons cimport (
    RC_MALFORMED_PACKET, RC_NOT_AUTHORIZED, RC_NO_MATCHING_SUBSCRIBERS, RC_PACKET_ID_IN_USE,
    RC_PAYLOAD_FORMAT_INVALID, RC_PROTOCOL_ERROR, RC_QOS_NOT_SUPPORTED, RC_QUOTA_EXCEEDED,
    RC_RECEIVE_MAXIMUM_EXCEEDED, RC_RETAIN_NOT_SUPPORTED, RC_SUCCESS, RC_TOPIC_ALIAS_INVALID, RC_TOPIC_NAME_INVALID,
    RC_UNSPECIFIED_ERROR,
)
from router_ext.engine.retained_delivery cimport store_retained
from router_ext.routing.match_cache cimport Match
from router_ext.routing.router cimport User
from router_ext.session.session cimport Session
from router_ext.session.zone cimport Zone
from router_ext.engine.stored_sessions cimport must_store
from router_ext.protocol.topic cimport level_count, utf8_valid
from router_ext.protocol.wire cimport frame, shortest

cdef enum:
    RUN_BYTES = 8388608     # output of one run
    LONGEST_RUN = 61440     # grown by identifiers it is still one segment of the loopback interface, 65,483 bytes
    SHORTEST_RUN = 2048
    LONGEST_LEAD = 4096     # bytes before a large payload that are kept with it
    GROWTH = 7              # from MQTT 3 to 5 a packet gets a property length, up to 4 bytes; the other may get 3 longer
    LONGEST_IDENTIFIER = 5  # with the byte that says what it is
    PROP_PAYLOAD_FORMAT = 0x01
    ACCESS_PUBLISH = 2
    HOOKED = 32768          # bytes of output that take as long as the handlers of `message.publish`, in Python,
    HOOKED_BYTE = 256       # and each byte of a topic that an expression is held against
    EVERYTHING = 0x7FFFFFFF
    IN_GROUPS = 4096        # messages of one run to shared groups, each of which is handed out by itself

cdef Match NOBODY
memset(&NOBODY, 0, sizeof(NOBODY))

cdef size_t publish(Channel c, uint8_t* p, size_t n, size_t header, size_t body) except? 0:
    """One PUBLISH, or as many QoS 0 ones of the same topic as follow it directly. Returns the bytes used; 0 when
    the channel is held or closed before it could be taken."""
    cdef Publish packet
    cdef int code = parse_publish(p + header, body, p[0], c.version, &packet)
    if c.version == 5 and code == 0 and not shortest(header, body):
        code = RC_MALFORMED_PACKET
    if code == 0:
        code = check_publish(c, &packet)
    if code:
        c.count_received(3, 1)
        c.engine.metrics.v[<int>PUBLISH_ERROR] += 1
        c.violation(<uint8_t>code)
        return 0
    if (c.zone.publish_limit_count or c.zone.publish_limit_per_user_count) and over_rate(c):
        return 0
    if (packet.qos or packet.retain or c.mount is not None
            or c.engine.hooked(packet.topic, packet.topic_len)
            or (c.zone.check_payload_format and c.version == 5)):
        return header + body if publish_one(c, &packet) else 0
    return publish_run(c, p, n, header, header + body, &packet)


cdef int check_publish(Channel c, Publish* packet) except -1:
    """The checks that need the channel's state; resolves a topic alias. 0 or a reason code."""
    cdef bytes topic
    if packet.topic_alias:
        if packet.topic_alias > c.alias_max:
            return RC_TOPIC_ALIAS_INVALID  # [MQTT-3.3.2-9]
        if packet.topic_len:
            if c.aliases is None:
                c.aliases = ClientAliases()
            if not c.aliases.put(packet.topic_alias, packet.topic, packet.topic_len, c.zone.max_topic_alias_size):
                return RC_QUOTA_EXCEEDED
        else:
            topic = c.aliases.topic_of(packet.topic_alias) if c.aliases is not None else None
            if topic is None:
                return RC_PROTOCOL_ERROR
            packet.topic = <const uint8_t*>PyBytes_AS_STRING(topic)  # the table keeps it alive
            packet.topic_len = <uint16_t>PyBytes_GET_SIZE(topic)
    if packet.qos > c.zone.max_qos_allowed:
        return RC_QOS_NOT_SUPPORTED  # [MQTT-3.2.2-11]
    if packet.retain and not c.zone.retain_available:
        return RC_RETAIN_NOT_SUPPORTED  # [MQTT-3.2.2-14]
    if too_deep(c, packet) and not (packet.qos and c.version == 5):
        return RC_TOPIC_NAME_INVALID  # MQTT 5 is told in the acknowledgement, where there is one
    return 0


cdef inline bint too_deep(Channel c, Publish* packet) noexcept:
    """`max_topic_levels`"""
    cdef uint32_t limit = c.zone.max_topic_levels
    return limit != 0 and level_count(packet.topic, packet.topic_len) > limit


cdef bint over_rate(Channel c) except? True:
    """`publish_limit` and `publish_limit_per_user`: the socket is not read until the period is over."""
    if room_for_publish(c) > 0:
        return False
    c.holds |= HOLD_RATE
    return True


cdef uint32_t room_for_publish(Channel c) noexcept:
    """How many messages the client, and its user, may publish before their periods end."""
    cdef Zone zone = c.zone
    cdef User user = c.session.user
    cdef int64_t now = c.engine.now
    cdef uint32_t room = EVERYTHING
    if zone.publish_limit_count:
        if now - c.rate_start >= zone.publish_limit_period:
            c.rate_start = now
            c.rate_used = 0
        room = zone.publish_limit_count - min(c.rate_used, zone.publish_limit_count)
    if zone.publish_limit_per_user_count and user is not None:
        if now - user.published_since >= zone.publish_limit_per_user_period:
            user.published_since = now
            user.published = 0
        room = min(room, zone.publish_limit_per_user_count - min(user.published, zone.publish_limit_per_user_count))
    return room


cdef inline uint8_t* block_of(Channel c, Publish* packet) noexcept:
    """The inbox, if a large payload is all that is left of it: the message may keep that and need not copy it."""
    cdef const uint8_t* payload = packet.payload
    if packet.payload_len < LARGE_PAYLOAD or c.inbox == NULL or payload > c.inbox + LONGEST_LEAD:
        return NULL
    return c.inbox if payload + packet.payload_len == c.inbox + c.inbox_cap else NULL


cdef inline void end_delivery(Channel c, Delivery* d, uint8_t* props) noexcept:
    """Lets go of what it was made of, which may be the inbox."""
    free(props)
    if d.msg == NULL:
        return
    if d.block != NULL:
        c.inbox = NULL
        c.inbox_head = c.inbox_len = c.inbox_cap = 0
    msg_unref(d.msg)


cdef size_t publish_run(Channel c, uint8_t* p, size_t n, size_t header, size_t end, Publish* first) except? 0:
    """QoS 0: the longest run of packets that differ in their payloads only, handed on in one piece."""
    cdef Delivery d
    cdef Match* match
    cdef size_t limit, longest = end, added = GROWTH
    cdef uint32_t count = 1, most = 0xFFFFFFFF
    cdef uint8_t* props
    cdef Verdict verdict = c.check_acl(ACCESS_PUBLISH, first.topic, first.topic_len)
    if verdict == PENDING:
        c.count_received(3, 1)
        return 0
    match = recipients_of(c, first.topic, first.topic_len) if verdict == ALLOW else &NOBODY
    if match == NULL or (match.n_plain == 1 and blocked_ahead(c, match)):
        c.count_received(3, 1)
        return 0
    limit = RUN_BYTES * end // ((match.n_plain + match.n_groups + 1) * end + LONGEST_IDENTIFIER * match.n_ids)
    if match.n_groups:
        most = max(<uint32_t>1, <uint32_t>IN_GROUPS // match.n_groups)
    limit = max(<size_t>SHORTEST_RUN, min(<size_t>LONGEST_RUN, limit))
    if first.topic_alias:  # what goes out has the whole topic
        added += first.topic_len
        limit = limit * end // (end + first.topic_len)
    extend_run(c, p, min(n, limit), header, &end, &count, &longest, most, first)
    c.count_received(3, count)
    count_messages(c, 0, count)
    if verdict != ALLOW:
        c.engine.metrics.v[<int>DROPPED_ACL if verdict == DENY else <int>ACL_UNAVAILABLE] += count
        if verdict == DENY:
            denied(c, first)
        return end
    memset(&d, 0, sizeof(d))
    d.frames = p
    d.frames_len = end
    d.payload_at = <size_t>(first.payload - p) - header
    d.verbatim = first.forward_as_is
    d.even = longest * count == end
    d.longest = longest + added
    d.count = count
    d.version = c.version
    d.match = match
    props = describe(&d, first)
    d.block = block_of(c, first)
    try:
        route_from_client(c, &d)
    finally:
        end_delivery(c, &d, props)
    return end


cdef Match* recipients_of(Channel c, const uint8_t* topic, size_t n) except? NULL:
    """Who gets a message of this client; NULL, with the channel held, where that has to be searched first."""
    cdef Engine e = c.engine
    cdef Match* match = e.take_found(c, topic, n) if len(e.found) else NULL
    if match == NULL:
        match = e.recipients(topic, n)
        if match == NULL:
            postpone(e, c, topic[:n])
    return match


cdef int extend_run(Channel c, const uint8_t* p, size_t n, size_t header, size_t* end, uint32_t* count,
                    size_t* longest, uint32_t room, Publish* first) except -1:
    """Moves `end` behind the last whole packet within `n` bytes that has the topic and properties of the first; `room`
    packets at most."""
    cdef const uint8_t* name = p + header
    cdef size_t at = end[0], body = 0, named = <size_t>(first.payload - name)
    if c.zone.publish_limit_count or c.zone.publish_limit_per_user_count:
        room = min(room, room_for_publish(c))
    while at + 2 < n and count[0] < room and p[at] == 0x30:
        if p[at + 1] < 128:
            header = 2
            body = p[at + 1]
        elif frame(p + at, n - at, &header, &body) != 1:
            break
        if at + header + body > n or body < named or memcmp(p + at + header, name, named) != 0:
            break
        if header + body > c.zone.max_packet_size or (c.version == 5 and not shortest(header, body)):
            break
        at += header + body
        count[0] += 1
        if header + body > longest[0]:
            longest[0] = header + body
    end[0] = at
    return 0


cdef int route_from_client(Channel c, Delivery* d) except -1:
    """Routes for this client; returns how many it reached. Holds the channel when a reader's socket is full, and
    acknowledgements when a reader's queue is."""
    cdef Routing call
    cdef int reached
    d.now = c.engine.now
    d.sys = d.topic_len > 5 and memcmp(d.topic, b"$SYS/", 5) == 0
    set_publisher(c, d)
    reached = c.engine.route(&call, d, c.session)
    if call.parked != NULL:
        (<Postponed>call.parked).channel = c
        c.holds |= HOLD_MATCH
        return reached
    if call.pause_for != NULL:
        pause(c, <Connection>call.pause_for)
    if d.qos and call.full_session != NULL:
        defer_acks(c, <Session>call.full_session)
    return reached


cdef bint blocked_ahead(Channel c, Match* match) except? True:
    """The only subscriber's socket is full: many publishers to it must not each add to that before they pause."""
    cdef Connection conn = (<Session>match.plain.subscriber).conn
    return (conn is not None and conn.blocked and conn.outbox.pending > c.egress.pause_at and conn is not c
            and pause(c, conn))


cdef bint pause(Channel c, Connection full) except? True:
    """Reads nothing more until `full` has room; not while somebody waits for this one. False: it reads on."""
    cdef Channel other
    if full.slow or c.waiters:
        return False
    if full.waiters is None:
        full.waiters = []
    full.waiters.append(c)
    c.holds |= HOLD_OUTPUT
    c.engine.metrics.v[<int>PUBLISHERS_PAUSED] += 1
    if isinstance(full, Channel):
        other = <Channel>full
        if other.holds & HOLD_OUTPUT:  # it may read only once it has written: see `held_back`
            other.holds &= ~HOLD_OUTPUT
            other.schedule()
    return True


cdef int set_publisher(Channel c, Delivery* d) except -1:
    """The publisher's client id, as the session's text keeps it in UTF-8."""
    cdef Py_ssize_t n = 0
    d.client = <const uint8_t*>PyUnicode_AsUTF8AndSize(c.session.client_id, &n)
    if d.client == NULL:
        raise MemoryError
    d.client_len = <uint16_t>n
    return 0


cdef int count_messages(Channel c, uint8_t qos, uint32_t count) except -1:
    c.recv_msg += count
    c.rate_used += count
    if c.session.user is not None:
        c.session.user.published += count
    c.engine.metrics.v[<int>MESSAGES_RECEIVED] += count
    c.engine.metrics.v[<int>QOS0_RECEIVED + 2 * qos] += count
    return 0


cdef bint publish_one(Channel c, Publish* packet) except? True:
    """A PUBLISH that is acknowledged, retained, or changed on its way. False: held, to be seen again."""
    cdef Verdict verdict
    cdef bytes mounted
    cdef bint deep = too_deep(c, packet), hooked
    cdef Match* match = NULL
    cdef int reached
    cdef uint8_t code = RC_SUCCESS
    cdef Journal journal = c.engine.journal
    cdef uint64_t awaited = journal.awaited if journal is not None else 0, batch = 0
    c.count_received(3, 1)
    verdict = c.check_acl(ACCESS_PUBLISH, packet.topic, packet.topic_len)
    if verdict == PENDING:
        return False
    if journal is not None and verdict == ALLOW and not journal.takes_more() and not store_takes(c, packet, journal):
        return not c.holds & HOLD_STORE
    if c.mount is not None:
        if len(c.mount) + packet.topic_len > 0xFFFF:
            c.violation(RC_TOPIC_NAME_INVALID)
            return True
        mounted = c.mount + packet.topic[:packet.topic_len]
        packet.topic = <const uint8_t*>PyBytes_AS_STRING(mounted)
        packet.topic_len = <uint16_t>PyBytes_GET_SIZE(mounted)
    hooked = c.engine.hooked(packet.topic, packet.topic_len)
    if verdict == ALLOW and not hooked:
        match = recipients_of(c, packet.topic, packet.topic_len)
        if match == NULL:
            return False
    count_messages(c, packet.qos, 1)
    if packet.qos == 2 and repeated_qos2(c, packet):
        return True
    if packet.qos and c.version == 5 and over_quota(c):
        return True
    if packet.qos == 2:
        begin_qos2(c, packet)
    if verdict == DENY:
        c.engine.metrics.v[<int>DROPPED_ACL] += 1
        code = RC_NOT_AUTHORIZED
    elif verdict == UNAVAILABLE:
        c.engine.metrics.v[<int>ACL_UNAVAILABLE] += 1
        code = RC_UNSPECIFIED_ERROR
    elif deep:
        code = RC_TOPIC_NAME_INVALID
    elif c.zone.check_payload_format and not payload_as_said(packet):
        c.engine.metrics.v[<int>PUBLISH_ERROR] += 1
        code = RC_PAYLOAD_FORMAT_INVALID
    else:
        reached = publish_message(c, packet, match, hooked)
        code = <uint8_t>-reached if reached < 0 else RC_SUCCESS if reached else RC_NO_MATCHING_SUBSCRIBERS
    if packet.qos:
        if code >= 0x80 and packet.qos == 2 and c.version == 5:
            release_id(c, packet.packet_id)  # [MQTT-4.3.3-9] the exchange ends with PUBREC
        if journal is not None and journal.awaited != awaited:
            batch = journal.mark()
        acknowledge(c, 0x40 if packet.qos == 1 else 0x50, packet.packet_id, code, batch)
    elif code == RC_PAYLOAD_FORMAT_INVALID:
        c.violation(code)
    if verdict == DENY:
        denied(c, packet)
    return True


cdef bint over_quota(Channel c) except? True:
    """Counts a QoS 1 or 2 message whose exchange begins; True when it is one more than the Receive Maximum that
    CONNACK announced, and the connection ended [MQTT-3.3.4-9]."""
    if c.zone.max_awaiting_rel and c.unacked >= c.zone.max_awaiting_rel:
        c.engine.metrics.v[<int>QOS2_DROPPED] += 1
        c.violation(RC_RECEIVE_MAXIMUM_EXCEEDED)
        return True
    c.unacked += 1
    return False


cdef bint repeated_qos2(Channel c, Publish* packet) except? True:
    """[MQTT-4.3.3-10] A PUBLISH whose packet id is in use is answered and goes no further."""
    cdef Session s = c.session
    if not s.is_awaiting(packet.packet_id):
        return False
    acknowledge(c, 0x50, packet.packet_id,
                RC_PACKET_ID_IN_USE if c.version == 5 and not packet.dup else RC_SUCCESS,
                c.engine.journal.mark() if s.sid and c.engine.journal is not None else 0)
    return True


cdef int begin_qos2(Channel c, Publish* packet) except -1:
    """Remembers the packet id until PUBREL."""
    cdef Session s = c.session
    if c.version != 5 and c.zone.max_awaiting_rel and s.awaiting.count >= c.zone.max_awaiting_rel:
        c.engine.metrics.v[<int>AWAITING_REL_EXCEEDED] += 1  # MQTT 3 cannot be told: counted, not dropped
        if not c.warned:
            c.warned = True
            c.engine.policy.on_awaiting_rel(c)
    s.await_release(packet.packet_id, <uint32_t>(c.engine.now // 1000))
    if s.sid and c.engine.journal is not None:
        c.engine.journal.await_release(s.sid, packet.packet_id)
    return 0


cdef bint store_takes(Channel c, Publish* packet, Journal journal) except? True:
    """The store's disk is full or nearly so, or it is far behind. What would have to be stored is not read and not
    acknowledged until that is over; MQTT 5, which knows a refusal, is told 0x97 because of the disk."""
    cdef bint in_doubt = packet.qos == 2 and c.session.sid != 0
    if packet.qos == 0 and not (packet.retain and journal.behind()):
        return True
    if packet.qos == 2 and c.session.is_awaiting(packet.packet_id):
        return True
    if not in_doubt and not must_store(c.engine, packet.topic, packet.topic_len, packet.retain):
        return True
    if c.version == 5 and packet.qos and journal.short:
        acknowledge(c, 0x40 if packet.qos == 1 else 0x50, packet.packet_id, RC_QUOTA_EXCEEDED, 0)
    else:
        c.holds |= HOLD_STORE
        journal.pause(c)
    return False


cdef int publish_message(Channel c, Publish* packet, Match* match, bint hooked) except -1:
    """Through the hooks, into the retained store, to the subscribers; returns how many it reached. Below 0: it is refused,
    with the reason code of that size."""
    cdef Delivery d
    cdef uint8_t* props = NULL
    memset(&d, 0, sizeof(d))
    d.count = 1
    d.now = c.engine.now
    d.match = match
    props = describe(&d, packet)
    d.block = block_of(c, packet)
    try:
        if hooked:
            return publish_through_hooks(c, &d)
        if d.retain:
            set_publisher(c, &d)
            store_retained(c.engine, &d)
        return route_from_client(c, &d)
    finally:
        end_delivery(c, &d, props)


cdef int publish_through_hooks(Channel c, Delivery* d) except -1:
    """`message.publish` handlers may change the message, stop it, or refuse it with a reason code."""
    cdef Delivery changed
    cdef Message message
    cdef object answer
    set_publisher(c, d)
    c.engine.spent += HOOKED + <size_t>d.topic_len * HOOKED_BYTE
    if delivery_msg(d) == NULL:
        raise MemoryError
    answer = c.engine.policy.on_publish(c, wrap(d.msg))
    if answer is None:
        return 0
    if isinstance(answer, int):
        return -<int>answer
    message = answer
    delivery_of(&changed, message.msg, c.engine.now)
    if changed.retain:
        store_retained(c.engine, &changed)
    return route_from_client(c, &changed)


cdef int denied(Channel c, Publish* packet) except -1:
    """`acl_deny_action = disconnect` ends the connection after the answer."""
    c.engine.policy.on_denied(c, packet.topic[:packet.topic_len])
    if c.zone.acl_deny_disconnect:
        if packet.qos and c.version == 5:
            c.close_with(RC_NOT_AUTHORIZED, "acl_denied")
        else:
            c.shut("acl_denied")
    return 0


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
