"""SUBSCRIBE and UNSUBSCRIBE on which no handler has a say (MQTT 5.0, sections 3.8 to 3.11).

What the zone, the rules of the ACL file, the table and the store decide is decided filter by filter where the packet lies, and
no Python object is made for a filter. `broker/subscribing.py` does the same where handlers take part.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from router_ext.session.acl_cache cimport AclEntry, acl_find
from router_ext.engine.channel cimport CLOSED
from router_ext.protocol.codec cimport encode_suback, encode_unsuback
from router_ext.engine.engine cimport Engine
from router_ext.net.metrics cimport SUBSCRIBE_AUTH_ERROR, SUBSCRIBE_ERROR, UNSUBSCRIBE_ERROR
from router_ext.protocol.properties cimport check_properties, properties_dict
from router_ext.protocol.reasons cimport (
    RC_NOT_AUTHORIZED, RC_NO_SUBSCRIPTION_EXISTED, RC_QUOTA_EXCEEDED, RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    RC_SUCCESS, RC_TOPIC_FILTER_INVALID, RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
)
from router_ext.message.retained_store cimport RetainedCursor
from router_ext.engine.retained_delivery cimport cursor_of
from router_ext.routing.router cimport Router
from router_ext.session.session cimport Session
from router_ext.engine.stored_sessions cimport delete_subscription, put_subscription
from router_ext.routing.subscription cimport OPT_NO_LOCAL, OPT_QOS, OPT_RETAIN_HANDLING
from router_ext.protocol.topic cimport filter_valid, level_count, matches, share_parts, utf8_valid
from router_ext.protocol.wire cimport MQTT_3_1, MQTT_5, SUBSCRIBE, get_u16, get_varint, varint_size
from router_ext.session.zone cimport Zone

from router_ext.engine.retained_delivery import forget_pending_retained, has_pending_retained, queue_retained

cdef enum:
    AT_ONCE = 1000          # filters, about a millisecond; a packet may have a hundred thousand
    FILTER_COSTS = 2048     # bytes of output that take as long as a filter
    LOOKS_A_FILTER = 8      # nodes of retained topics visited that count as much as a filter
    ACCESS_SUBSCRIBE = 1
    FAILURE = 0x80          # the only refusal SUBACK has before MQTT 5


cdef bint handle(Channel c, uint8_t kind, const uint8_t* body, size_t n) except? True:
    """False when nothing was done, for a handler is to be asked, or the packet is not as it should be."""
    cdef Engine e = c.engine
    cdef bint subscribing = kind == SUBSCRIBE
    cdef Request r
    cdef size_t at
    cdef uint32_t count, subid = 0
    cdef bint more
    if c.mount is not None or (e.subscribe_hooked if subscribing else e.unsubscribe_hooked):
        return False
    at = filters_at(body, n, kind, c.version, &subid)
    count = count_filters(body + at, body + n, subscribing, c.version) if at else 0
    if count == 0:
        return False
    r = subscribing_of(c, subid) if subscribing else UnsubscribeRequest.__new__(UnsubscribeRequest)
    r.channel = c
    r.packet_id = get_u16(body)
    r.with_options = subscribing
    r.at = body + at
    r.end = body + n
    r.codes = <uint8_t*>malloc(count)
    if r.codes == NULL:
        raise MemoryError
    more = r.go_on()
    e.spent += <size_t>max(0, AT_ONCE - r.budget) * FILTER_COSTS
    if more:
        r.kept = r.at[:r.end - r.at]
        r.at = r.kept
        r.end = r.at + len(r.kept)
        e.policy.in_pieces(c, r)
    return True


cdef SubscribeRequest subscribing_of(Channel c, uint32_t subid):
    cdef SubscribeRequest s = SubscribeRequest.__new__(SubscribeRequest)
    s.subid = subid
    if c.zone.enable_acl and not c.is_super:
        s.rules = c.engine.policy.subscribe_rules(c)
    return s


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
    asked.n = get_u16(at)
    asked.text = at + 2
    asked.options = asked.text[asked.n] if options else 0
    if version == MQTT_3_1:
        asked.options &= OPT_QOS  # the other bits have no meaning there
    if not share_parts(asked.text, asked.n, &asked.share):
        asked.share.inner_len = 0
    return 2 + <size_t>asked.n + options


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


# -- what both have in common -------------------------------------------------------------------------------------------

cdef class Request:
    """A SUBSCRIBE or UNSUBSCRIBE that is being seen to."""

    def __dealloc__(self):
        free(self.codes)

    cpdef bint go_on(self) except? True:
        """A piece of it; True while there is more. What is left when its channel is closed is let be."""
        cdef FilterEntry asked
        if self.channel.state == CLOSED:
            return False
        self.budget = AT_ONCE
        while self.at < self.end:
            if self.budget <= 0:
                return True
            self.at += read_filter(self.at, self.with_options, self.channel.version, &asked)
            self.codes[self.n] = <uint8_t>self.answer(&asked)
            self.n += 1
            self.budget -= 1
        self.finish()
        return False

    cdef int answer(self, const FilterEntry* asked) except -1:
        raise NotImplementedError

    cdef int finish(self) except -1:
        raise NotImplementedError


# -- SUBSCRIBE ----------------------------------------------------------------------------------------------------------

cdef class SubscribeRequest(Request):

    cdef int answer(self, const FilterEntry* asked) except -1:
        """Makes the subscription, or replaces it [MQTT-3.8.4-3]; the code for SUBACK."""
        cdef Channel c = self.channel
        cdef Engine e = c.engine
        cdef Session s = c.session
        cdef const Share* share = &asked.share
        cdef int code = self.check(asked)
        cdef uint8_t options
        cdef bint new
        if code <= 2 and ((s.sid and e.journal is not None and e.journal.full) or not self.has_room(asked)):
            code = RC_QUOTA_EXCEEDED
        if code > 2:
            self.denied = self.denied or code == RC_NOT_AUTHORIZED
            self.refusal = self.refusal or <uint8_t>code
            return code if c.version == MQTT_5 else FAILURE
        options = c.options_of(asked.options & ~OPT_QOS | <uint8_t>code, share.group != NULL)
        new = e.router.add(share.inner, share.inner_len, s, options, self.subid, share.group, share.group_len) == 1
        put_subscription(e, s, asked.text, asked.n, options, self.subid, self.add_retained(asked, options, new))
        return code

    cdef int check(self, const FilterEntry* asked) except -1:
        """The QoS that may be granted, or why nothing is."""
        cdef Zone zone = self.channel.zone
        cdef const uint8_t* name = asked.share.inner
        cdef size_t n = asked.share.inner_len
        if zone.max_topic_levels and level_count(name, n) > zone.max_topic_levels:
            return RC_TOPIC_FILTER_INVALID
        if asked.share.group != NULL and not zone.shared_subscription:
            return RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not zone.wildcard_subscription and has_wildcard(name, n):
            return RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
        if self.rules is not None and not self.allowed(name, n):
            return RC_NOT_AUTHORIZED
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

    cdef bint add_retained(self, const FilterEntry* asked, uint8_t options, bint new) except? True:
        """[MQTT-3.3.1-9] to [MQTT-3.3.1-11]: by Retain Handling; nothing for shared ones (section 4.8.2). Whether retained
        messages are on their way to this subscription."""
        cdef Session s = self.channel.session
        cdef Engine e = self.channel.engine
        cdef uint8_t handling = (options & OPT_RETAIN_HANDLING) >> 4
        cdef RetainedCursor cursor
        cdef int64_t looked = 0
        if asked.share.group != NULL:
            return False
        if e.retained is not None and (handling == 0 or (handling == 1 and new)):
            cursor = cursor_of(e, asked.text, asked.n, &looked)
            self.budget -= looked // LOOKS_A_FILTER
            if cursor is not None:
                queue_retained(s, cursor, options, self.subid)
        return s.backlog is not None and has_pending_retained(s, asked.text[:asked.n])

    cdef int finish(self) except -1:
        """SUBACK, and only then what is retained."""
        cdef Channel c = self.channel
        cdef uint64_t* counters = c.engine.metrics.v
        cdef dict properties = {}
        if self.refusal:
            counters[<int>SUBSCRIBE_ERROR] += 1
            counters[<int>SUBSCRIBE_AUTH_ERROR] += self.denied
            properties = c.explanation(self.refusal, self.n + 7)
        c.send_after_commit(encode_suback(self.packet_id, self.codes[:self.n], properties, c.version))
        if self.denied or c.session.backlog is not None:
            c.engine.policy.on_subscribed(c, bool(self.denied))
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

    cdef int answer(self, const FilterEntry* asked) except -1:
        cdef Engine e = self.channel.engine
        cdef Session s = self.channel.session
        cdef const Share* share = &asked.share
        if not e.router.remove(share.inner, share.inner_len, s, share.group, share.group_len):
            self.missed = True
            return RC_NO_SUBSCRIPTION_EXISTED
        if s.backlog is not None and share.group == NULL:
            forget_pending_retained(s, asked.text[:asked.n])
        delete_subscription(e, s, asked.text, asked.n)
        return RC_SUCCESS

    cdef int finish(self) except -1:
        """[MQTT-3.10.4-5] Always answered, also when nothing was subscribed."""
        cdef Channel c = self.channel
        c.engine.metrics.v[<int>UNSUBSCRIBE_ERROR] += self.missed
        c.send_after_commit(encode_unsuback(self.packet_id, self.codes[:self.n], {}, c.version))
        return 0
