"""SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0, sections 3.8 to 3.11). See subscribe.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from router_ext.session.acl_cache cimport AclEntry, acl_find
from router_ext.engine.channel cimport CLOSED
from router_ext.protocol.codec cimport encode_suback, encode_unsuback
from router_ext.engine.engine cimport Engine
from router_ext.net.metrics cimport ACL_UNAVAILABLE, SUBSCRIBE_AUTH_ERROR, SUBSCRIBE_ERROR, UNSUBSCRIBE_ERROR
from router_ext.protocol.properties cimport check_properties, properties_dict
from router_ext.protocol.reasons cimport (
    RC_NOT_AUTHORIZED, RC_NO_SUBSCRIPTION_EXISTED, RC_QUOTA_EXCEEDED, RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    RC_SUCCESS, RC_TOPIC_FILTER_INVALID, RC_UNSPECIFIED_ERROR, RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
)
from router_ext.message.retained_store cimport RetainedCursor
from router_ext.engine.retained_delivery cimport (
    cursor_of, forget_pending_retained, has_pending_retained, queue_retained,
)
from router_ext.routing.router cimport Router
from router_ext.session.session cimport Session
from router_ext.engine.stored_sessions cimport delete_subscription, put_subscription
from router_ext.routing.subscription cimport OPT_NO_LOCAL, OPT_QOS, OPT_RETAIN_HANDLING
from router_ext.protocol.topic cimport filter_valid, level_count, matches, share_parts, utf8_valid
from router_ext.protocol.wire cimport MQTT_3_1, MQTT_5, SUBSCRIBE, get_u16, get_varint, varint_size
from router_ext.session.zone cimport Zone

cdef enum:
    AT_ONCE = 1000          # filters, about a millisecond; a packet may have a hundred thousand
    FILTER_COSTS = 2048     # bytes of output that take as long as a filter
    LOOKS_A_FILTER = 8      # nodes of retained topics visited that count as much as a filter
    HANDLER_COSTS = 4       # filters, for a call of `session.subscribed` or `session.unsubscribed`
    LONGEST = 0xFFFF        # bytes of a filter with its shared group (section 1.5.4)
    ACCESS_SUBSCRIBE = 1


cdef bint handle(Channel c, uint8_t kind, const uint8_t* body, size_t n) except? True:
    """False when the packet is not as it should be, and nothing was done."""
    cdef bint subscribing = kind == SUBSCRIBE
    cdef Request r
    cdef uint32_t count, subid = 0
    cdef size_t at = filters_at(body, n, kind, c.version, &subid)
    count = count_filters(body + at, body + n, subscribing, c.version) if at else 0
    if count == 0:
        return False
    if subscribing:
        r = SubscribeRequest.__new__(SubscribeRequest)
        (<SubscribeRequest>r).subid = subid
    else:
        r = UnsubscribeRequest.__new__(UnsubscribeRequest)
    r.channel = c
    r.packet_id = get_u16(body)
    r.version = c.version
    r.with_options = subscribing
    r.at = body + at
    r.end = body + n
    r.count = count
    r.codes = <uint8_t*>malloc(count)
    if r.codes == NULL:
        raise MemoryError
    if r.ask():
        r.start()
    return True


# -- the packet ---------------------------------------------------------------------------------------------------------

cdef size_t filters_at(const uint8_t* body, size_t n, uint8_t kind, uint8_t version, uint32_t* subid) except? 0:
    """Where the first filter is; 0 when what lies before it is not as it should be."""
    cdef uint32_t length
    cdef int used
    if n < 2 or get_u16(body) == 0:
        return 0
    if version != MQTT_5:
        return 2
    used = get_varint(body + 2, n - 2, &length)
    if (used <= 0 or <size_t>used != varint_size(length) or n - 2 < <size_t>used + length
            or check_properties(body + 2 + used, length, kind)):
        return 0
    if length:
        subid[0] = properties_dict(body + 2 + used, length, False).get("subscription_identifier", 0)
    return 2 + used + length


cdef uint32_t count_filters(const uint8_t* at, const uint8_t* end, bint options, uint8_t version) noexcept nogil:
    """How many filters there are; 0 when there are none, or one is not as it should be."""
    cdef FilterEntry asked
    cdef size_t size
    cdef uint32_t count = 0
    while at < end:
        if end - at < 2:
            return 0
        size = 2 + <size_t>get_u16(at) + options
        if <size_t>(end - at) < size:
            return 0
        read_filter(at, options, version, &asked)
        if not is_sound(&asked, version):
            return 0
        at += size
        count += 1
    return count


cdef inline size_t read_filter(const uint8_t* at, bint options, uint8_t version, FilterEntry* asked) noexcept nogil:
    """Reads a filter that is there; how many bytes it takes."""
    cdef uint16_t n = get_u16(at)
    read_name(at + 2, n, asked)
    asked.options = at[2 + n] if options else 0
    if version == MQTT_3_1:
        asked.options &= OPT_QOS  # the other bits have no meaning there
    return 2 + <size_t>n + options


cdef inline void read_name(const uint8_t* text, uint16_t n, FilterEntry* asked) noexcept nogil:
    """`$share/$queue/…` is another name of `$queue/…`."""
    asked.text = text
    asked.n = n
    if not share_parts(text, n, &asked.share):
        asked.share.inner_len = 0
    elif asked.share.group == text + 7 and asked.share.group_len == 6 and memcmp(text + 7, b"$queue", 6) == 0:
        asked.text += 7
        asked.n -= 7


cdef bint is_sound(const FilterEntry* asked, uint8_t version) noexcept nogil:
    """What `codec.take_filter` and `take_options` ask for, who say what is wrong."""
    cdef uint8_t options = asked.options
    if not filter_valid(asked.share.inner, asked.share.inner_len):
        return False
    if asked.share.group != NULL and (options & OPT_NO_LOCAL or not utf8_valid(asked.text, asked.n)):
        return False
    if options & (0xC0 if version == MQTT_5 else 0xFC):
        return False
    return options & OPT_QOS != OPT_QOS and options & OPT_RETAIN_HANDLING != OPT_RETAIN_HANDLING


cdef bint entry_of(bytes topic, FilterEntry* entry) noexcept:
    """Reads a filter that came in no packet, and which outlives the entry; False when it is not valid."""
    if len(topic) > LONGEST:
        return False
    read_name(topic, <uint16_t>len(topic), entry)
    entry.options = 0
    return is_sound(entry, MQTT_5)


cdef bytes below(bytes mount, const FilterEntry* asked):
    """The filter below a mountpoint; its shared group stays in front. None where that is no valid filter, or longer than
    MQTT can say."""
    cdef const Share* share = &asked.share
    cdef bytes inner = mount + share.inner[:share.inner_len]
    cdef bytes name = asked.text[:share.inner - asked.text] + inner
    return name if len(name) <= LONGEST and filter_valid(inner, len(inner)) else None


def mounted(Channel c not None, str topic not None):
    """The filter below the connection's mountpoint, its shared group in front; None where that is no valid filter."""
    cdef bytes name = topic.encode(errors="surrogatepass")
    cdef FilterEntry entry
    if not entry_of(name, &entry):
        return None
    if c.mount is not None:
        name = below(c.mount, &entry)
    return None if name is None else name.decode()


# -- the table ----------------------------------------------------------------------------------------------------------

def subscribe(Engine e not None, Session s not None, bytes topic not None, uint8_t options, uint32_t subid=0):
    """Subscribes a session without a packet of its client, or replaces the subscription. `topic` has the mountpoint, and
    may name a shared group; ValueError where it is no valid filter. Retained messages wait for
    `send_pending_retained`."""
    cdef FilterEntry entry
    if not entry_of(topic, &entry):
        raise ValueError(f"not a topic filter: {topic!r}")
    add(e, s, &entry, options, subid)


def unsubscribe(Engine e not None, Session s not None, bytes topic not None) -> bool:
    """The opposite of `subscribe`; False when there was no such subscription."""
    cdef FilterEntry entry
    return entry_of(topic, &entry) and remove(e, s, &entry)


cdef int64_t add(Engine e, Session s, const FilterEntry* asked, uint8_t options, uint32_t subid) except -1:
    """Makes the subscription, or replaces it [MQTT-3.8.4-3]. Returns how many filters take as long as what this took
    beyond the table."""
    cdef const Share* share = &asked.share
    cdef int64_t looked = 0
    cdef bint new, pending
    if isinstance(s.conn, Channel):
        options = (<Channel>s.conn).options_of(options, share.group != NULL)
    new = e.router.add(share.inner, share.inner_len, s, options, subid, share.group, share.group_len) == 1
    pending = add_retained(e, s, asked, options, subid, new, &looked)
    put_subscription(e, s, asked.text, asked.n, options, subid, pending)
    if e.subscribed_hooked:
        e.policy.on_subscribed(s, asked.text[:asked.n], options, new)
    return looked // LOOKS_A_FILTER + HANDLER_COSTS * e.subscribed_hooked


cdef bint add_retained(Engine e, Session s, const FilterEntry* asked, uint8_t options, uint32_t subid, bint new,
                       int64_t* looked) except? True:
    """[MQTT-3.3.1-9] to [MQTT-3.3.1-11]: by Retain Handling; nothing for shared ones (section 4.8.2). Whether retained
    messages are on their way to this subscription."""
    cdef uint8_t handling = (options & OPT_RETAIN_HANDLING) >> 4
    cdef RetainedCursor cursor
    if asked.share.group != NULL:
        return False
    if e.retained is not None and (handling == 0 or (handling == 1 and new)):
        cursor = cursor_of(e, asked.text, asked.n, looked)
        if cursor is not None:
            queue_retained(s, cursor, options, subid)
    return s.backlog is not None and has_pending_retained(s, asked.text[:asked.n])


cdef bint remove(Engine e, Session s, const FilterEntry* asked) except? True:
    """False when there was no such subscription."""
    cdef const Share* share = &asked.share
    if not e.router.remove(share.inner, share.inner_len, s, share.group, share.group_len):
        return False
    if s.backlog is not None and share.group == NULL:
        forget_pending_retained(s, asked.text[:asked.n])
    delete_subscription(e, s, asked.text, asked.n)
    if e.unsubscribed_hooked:
        e.policy.on_unsubscribed(s, asked.text[:asked.n])
    return True


# -- what both packets have in common -------------------------------------------------------------------------------------

cdef class Request:
    """A SUBSCRIBE or UNSUBSCRIBE that is being handled."""

    def __dealloc__(self):
        free(self.codes)

    cdef bint ask(self) except? False:
        raise NotImplementedError

    cdef int answer(self, FilterEntry* asked) except -1:
        raise NotImplementedError

    cdef int finish(self) except -1:
        raise NotImplementedError

    cdef bint start(self) except? True:
        """The first piece; True when there are others, between turns of other clients."""
        cdef Engine e = self.channel.engine
        cdef bint more = self.go_on()
        e.spent += <size_t>max(0, AT_ONCE - self.budget) * FILTER_COSTS
        if more:
            self.keep()
            e.policy.in_pieces(self.channel, self)
        return more

    cdef int start_later(self) except -1:
        """What was asked of handlers is decided, and the channel is held until the packet is answered."""
        if not self.start():
            self.channel.resume()
        return 0

    cpdef bint go_on(self) except? True:
        """A piece of it; True while there is more. When the channel is closed, the rest is dropped."""
        cdef FilterEntry asked
        self.budget = AT_ONCE
        while self.channel.state != CLOSED and self.n < self.count:
            if self.budget <= 0:
                return True
            self.at += read_filter(self.at, self.with_options, self.version, &asked)
            self.codes[self.n] = <uint8_t>self.answer(&asked)
            self.n += 1
            self.budget -= 1
        if self.channel.state != CLOSED:
            self.finish()
        return False

    cdef int keep(self) except -1:
        """The filters that are left, beyond the life of the buffer that they came in."""
        if self.kept is None:
            self.point_to(self.at[:self.end - self.at])
        return 0

    cdef int point_to(self, bytes filters) except -1:
        self.kept = filters
        self.at = filters
        self.end = self.at + len(filters)
        return 0

    cdef list listed(self):
        """The filters as handlers see them: (filter, options) of a SUBSCRIBE, else the filter alone."""
        cdef list rows = []
        cdef FilterEntry asked
        cdef const uint8_t* at = self.at
        cdef size_t size
        cdef str name
        while at < self.end:
            size = read_filter(at, self.with_options, self.version, &asked)
            name = at[2:size - self.with_options].decode()
            rows.append((name, asked.options) if self.with_options else name)
            at += size
        return rows

    cdef int take(self, list rows) except -1:
        """The filters as handlers leave them. One that no packet could have is an empty one, which is not valid."""
        cdef list parts = []
        cdef bytes name
        for row in rows:
            topic, options = row if self.with_options else (row, 0)
            name = (<str?>topic).encode(errors="surrogatepass")
            if len(name) > LONGEST:
                name = b""
            parts += len(name).to_bytes(2, "big"), name
            if self.with_options:
                parts.append(bytes((options,)))
        self.point_to(b"".join(parts))
        self.version = MQTT_5
        self.changeable = True
        return 0

    cdef bint mount(self, FilterEntry* asked) except? False:
        """Puts the filter below the client's mountpoint; False where it does not fit, or a handler has left no valid one."""
        if self.changeable and not is_sound(asked, MQTT_5):
            return False
        if self.channel.mount is None:
            return True
        self.mounted = below(self.channel.mount, asked)
        if self.mounted is None:
            return False
        read_name(self.mounted, <uint16_t>len(self.mounted), asked)
        return True


# -- SUBSCRIBE ----------------------------------------------------------------------------------------------------------

cdef class SubscribeRequest(Request):

    cdef bint ask(self) except? False:
        """[MQTT-3.8.4-1] False while handlers decide, with the channel held."""
        cdef Channel c = self.channel
        cdef list codes
        if not c.engine.subscribe_hooked:
            if c.acl:
                self.rules = c.engine.policy.subscribe_rules(c)
            return True
        self.keep()
        self.filters = self.listed()
        codes = c.engine.policy.check_filters(c, self, self.filters)
        if codes is None:
            return False
        self.use(codes)
        return True

    def decided(self, list codes not None):
        """What came of `Policy.check_filters`, when that has held the channel: it goes on."""
        try:
            self.use(codes)
            self.start_later()
        except Exception as error:
            self.channel.engine.policy.on_error(self.channel, error)

    cdef int use(self, list codes) except -1:
        """The filters and reason codes as handlers leave them. Where they are not as many as they were, all are refused."""
        cdef uint32_t i
        cdef bint sound = <uint32_t>len(codes) == self.count and <uint32_t>len(self.filters) == self.count
        if sound:
            self.take(self.filters)
        for i in range(self.count):
            self.codes[i] = codes[i] if sound else RC_NOT_AUTHORIZED
        self.is_decided = True
        self.filters = None
        return 0

    def granted(self, str topic not None, uint8_t options) -> int:
        """The QoS that the client's zone grants for a filter, or the reason code that refuses it."""
        cdef bytes name = topic.encode(errors="surrogatepass")
        cdef FilterEntry asked
        if not entry_of(name, &asked):
            return RC_TOPIC_FILTER_INVALID
        asked.options = options
        return self.by_zone(&asked)

    cdef int answer(self, FilterEntry* asked) except -1:
        """Makes the subscription; the code for SUBACK."""
        cdef Channel c = self.channel
        cdef Engine e = c.engine
        cdef Session s = c.session
        cdef int code = self.codes[self.n] if self.is_decided else self.check(asked)
        if code <= 2 and not self.mount(asked):
            code = RC_TOPIC_FILTER_INVALID
        if code <= 2 and ((s.sid and e.journal is not None and e.journal.full) or not self.has_room(asked)):
            code = RC_QUOTA_EXCEEDED
        if code > 2:
            self.denied = self.denied or code == RC_NOT_AUTHORIZED
            self.unavailable += code == RC_UNSPECIFIED_ERROR
            self.refusal = self.refusal or <uint8_t>code
            return code
        self.budget -= add(e, s, asked, asked.options & ~OPT_QOS | <uint8_t>code, self.subid)
        return code

    cdef int check(self, const FilterEntry* asked) except -1:
        """The QoS that may be granted, or why nothing is."""
        cdef int code = self.by_zone(asked)
        if code <= 2 and self.rules is not None and not self.allowed(asked.share.inner, asked.share.inner_len):
            return RC_NOT_AUTHORIZED
        return code

    cdef int by_zone(self, const FilterEntry* asked) except -1:
        cdef Zone zone = self.channel.zone
        cdef const uint8_t* name = asked.share.inner
        cdef size_t n = asked.share.inner_len
        if zone.max_topic_levels and level_count(name, n) > zone.max_topic_levels:
            return RC_TOPIC_FILTER_INVALID
        if self.channel.mount is not None and below(self.channel.mount, asked) is None:
            return RC_TOPIC_FILTER_INVALID
        if asked.share.group != NULL and not zone.shared_subscription:
            return RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not zone.wildcard_subscription and has_wildcard(name, n):
            return RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
        return min(<uint32_t>asked.options & OPT_QOS, zone.max_qos_allowed)

    cdef bint allowed(self, const uint8_t* topic_filter, size_t n) except? False:
        """By the verdict in the client's cache, or by the rules."""
        cdef Channel c = self.channel
        cdef AclEntry* entry = acl_find(&c.acl_cache, ACCESS_SUBSCRIBE, topic_filter, n, c.engine.now)
        cdef bint verdict
        if entry != NULL:
            return entry.allowed
        verdict = verdict_of(self.rules, topic_filter, n, c.zone.acl_nomatch_allow)
        c.remember_acl(ACCESS_SUBSCRIBE, topic_filter, n, verdict)
        return verdict

    cdef bint has_room(self, const FilterEntry* asked) noexcept:
        """A subscription that is there already may be replaced."""
        cdef Session s = self.channel.session
        cdef Router router = self.channel.engine.router
        cdef const Share* share = &asked.share
        cdef uint32_t owner
        if s.may_subscribe():
            return True
        owner = router.find_owner(share.inner, share.inner_len, share.group, share.group_len)
        return owner != 0 and router.find_row(s, owner) != 0

    cdef int finish(self) except -1:
        """SUBACK, and only then what is retained."""
        cdef Channel c = self.channel
        cdef uint64_t* counters = c.engine.metrics.v
        cdef dict properties = {}
        if self.refusal:
            counters[<int>SUBSCRIBE_ERROR] += 1
            counters[<int>SUBSCRIBE_AUTH_ERROR] += self.denied
            counters[<int>ACL_UNAVAILABLE] += self.unavailable
            properties = c.explanation(self.refusal, self.n + 7)
        c.send_after_commit(encode_suback(self.packet_id, self.codes[:self.n], properties, c.version))
        if self.denied or c.session.backlog is not None:
            c.engine.policy.on_suback(c, bool(self.denied))
        return 0


cdef inline bint has_wildcard(const uint8_t* topic_filter, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if topic_filter[i] == c"+" or topic_filter[i] == c"#":
            return True
    return False


cdef bint verdict_of(list rules, const uint8_t* topic_filter, size_t n, bint otherwise) except? False:
    """What the first of `AclRules.subscribe_rows` says that covers the filter, which is held against it as if it were a
    topic."""
    cdef bint allow, literal
    cdef bytes text
    for allow, literal, text in rules:
        if text is None or (is_equal(text, topic_filter, n) if literal else matches(text, len(text), topic_filter, n)):
            return allow
    return otherwise


cdef inline bint is_equal(bytes text, const uint8_t* topic_filter, size_t n):
    return <size_t>len(text) == n and memcmp(<const uint8_t*>text, topic_filter, n) == 0


# -- UNSUBSCRIBE --------------------------------------------------------------------------------------------------------

cdef class UnsubscribeRequest(Request):

    cdef bint ask(self) except? False:
        """False while handlers take their time, with the channel held."""
        cdef Channel c = self.channel
        if not c.engine.unsubscribe_hooked:
            return True
        self.keep()
        self.filters = self.listed()
        if not c.engine.policy.rename_filters(c, self, self.filters):
            return False
        self.use()
        return True

    def renamed(self):
        """`Policy.rename_filters`, which has held the channel, is done: it goes on."""
        try:
            self.use()
            self.start_later()
        except Exception as error:
            self.channel.engine.policy.on_error(self.channel, error)

    cdef int use(self) except -1:
        """The filters as handlers leave them; where they are not as many as they were, those of the client."""
        if <uint32_t>len(self.filters) == self.count:
            self.take(self.filters)
        self.filters = None
        return 0

    cdef int answer(self, FilterEntry* asked) except -1:
        cdef Engine e = self.channel.engine
        self.budget -= HANDLER_COSTS * e.unsubscribed_hooked
        if self.mount(asked) and remove(e, self.channel.session, asked):
            return RC_SUCCESS
        self.missed = True
        return RC_NO_SUBSCRIPTION_EXISTED

    cdef int finish(self) except -1:
        """[MQTT-3.10.4-5] Always answered, also when nothing was subscribed."""
        cdef Channel c = self.channel
        c.engine.metrics.v[<int>UNSUBSCRIBE_ERROR] += self.missed
        c.send_after_commit(encode_unsuback(self.packet_id, self.codes[:self.n], {}, c.version))
        return 0
