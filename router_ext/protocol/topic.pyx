"""Topic names and topic filters (MQTT 5.0 and 3.1.1, section 4.7)."""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    SLASH = 0x2F
    PLUS = 0x2B
    HASH = 0x23
    DOLLAR = 0x24


cdef inline uint64_t zero_bytes(uint64_t v) noexcept nogil:
    """Not 0 when one of the eight bytes is 0 (exact for bytes below 0x80)."""
    return (v - 0x0101010101010101ULL) & ~v & 0x8080808080808080ULL


cdef inline bint continuation(uint8_t c) noexcept nogil:
    return (c & 0xC0) == 0x80


cdef inline size_t character(const uint8_t* s, size_t n) noexcept nogil:
    """Length of the well-formed character at `s`, 0 when there is none.

    Refused: U+0000 [MQTT-1.5.4-2], surrogates [MQTT-1.5.4-1], overlong forms and anything above U+10FFFF."""
    cdef uint8_t c = s[0]
    if c < 0x80:
        return c != 0
    if c < 0xC2:
        return 0
    if c < 0xE0:
        return 2 if n >= 2 and continuation(s[1]) else 0
    if c < 0xF0:
        if n < 3 or not continuation(s[1]) or not continuation(s[2]):
            return 0
        if (c == 0xE0 and s[1] < 0xA0) or (c == 0xED and s[1] >= 0xA0):
            return 0
        return 3
    if c > 0xF4 or n < 4 or not continuation(s[1]) or not continuation(s[2]) or not continuation(s[3]):
        return 0
    if (c == 0xF0 and s[1] < 0x90) or (c == 0xF4 and s[1] >= 0x90):
        return 0
    return 4


cdef bint utf8_valid(const uint8_t* s, size_t n) noexcept nogil:
    """An MQTT UTF-8 encoded string, the empty one included (section 1.5.4)."""
    cdef size_t i = 0, step
    cdef uint64_t v
    while i < n:
        if n - i >= 8:
            memcpy(&v, s + i, 8)
            if (v & 0x8080808080808080ULL) == 0 and zero_bytes(v) == 0:
                i += 8
                continue
        step = character(s + i, n - i)
        if step == 0:
            return False
        i += step
    return True


cdef bint name_valid(const uint8_t* s, size_t n) noexcept nogil:
    """A topic name: at least one character [MQTT-4.7.3-1], no wildcards [MQTT-4.7.1-1], well-formed."""
    cdef size_t i = 0, step
    cdef uint64_t v
    if n == 0 or n > 0xFFFF:
        return False
    while i < n:
        if n - i >= 8:
            memcpy(&v, s + i, 8)
            if (v & 0x8080808080808080ULL) == 0 and (
                    zero_bytes(v) | zero_bytes(v ^ (0x0101010101010101ULL * PLUS))
                    | zero_bytes(v ^ (0x0101010101010101ULL * HASH))) == 0:
                i += 8
                continue
        if s[i] == PLUS or s[i] == HASH:
            return False
        step = character(s + i, n - i)
        if step == 0:
            return False
        i += step
    return True


cdef bint filter_valid(const uint8_t* s, size_t n) noexcept nogil:
    """A topic filter, already without `$share/<group>/`.

    `#` stands alone in the last level [MQTT-4.7.1-1], `+` alone in any level [MQTT-4.7.1-2]."""
    cdef size_t i
    if n == 0 or n > 0xFFFF or not utf8_valid(s, n):
        return False
    for i in range(n):
        if s[i] != PLUS and s[i] != HASH:
            continue
        if i > 0 and s[i - 1] != SLASH:
            return False
        if i + 1 < n and (s[i] == HASH or s[i + 1] != SLASH):
            return False
    return True


cdef inline bint is_shared(const uint8_t* s, size_t n) noexcept nogil:
    return n >= 7 and s[0] == DOLLAR and (memcmp(s, b"$share/", 7) == 0 or memcmp(s, b"$queue/", 7) == 0)


cdef bint share_parts(const uint8_t* s, size_t n, Share* out) noexcept nogil:
    """What `split_share` does; False where that raises."""
    cdef size_t at, i
    out.group = NULL
    out.group_len = 0
    out.inner = s
    out.inner_len = n
    if not is_shared(s, n):
        return True
    at = 0 if s[1] == c"q" else 7
    out.group = s + at
    out.group_len = level_end(s, at, n) - at
    at += out.group_len + 1
    if out.group_len == 0 or at >= n or is_shared(s + at, n - at):
        return False
    out.inner = s + at
    out.inner_len = n - at
    for i in range(out.group_len):
        if out.group[i] == PLUS or out.group[i] == HASH:
            return False
    return True


cdef size_t level_end(const uint8_t* s, size_t at, size_t n) noexcept nogil:
    """Where the level that begins at `at` ends: the next `/`, or `n`."""
    while at < n and s[at] != SLASH:
        at += 1
    return at


cdef uint32_t level_count(const uint8_t* s, size_t n) noexcept nogil:
    """One more than the slashes."""
    cdef uint32_t count = 1
    cdef size_t i
    for i in range(n):
        count += s[i] == SLASH
    return count


cdef bint levels_match(const uint8_t* filter, size_t nf, const uint8_t* name, size_t nn) noexcept nogil:
    """`filter` against `name` level by level, as below the first level: without the rule for `$`."""
    cdef size_t f = 0, t = 0, fe, te
    while True:
        fe = level_end(filter, f, nf)
        if fe - f == 1 and filter[f] == HASH:
            return True
        te = level_end(name, t, nn)
        if not (fe - f == 1 and filter[f] == PLUS) and (
                fe - f != te - t or memcmp(filter + f, name + t, te - t) != 0):
            return False
        if te == nn:
            # "sport/#" also matches the parent level "sport" (section 4.7.1.2)
            return fe == nf or (nf - fe == 2 and filter[fe + 1] == HASH)
        if fe == nf:
            return False
        f = fe + 1
        t = te + 1


cdef bint matches(const uint8_t* filter, size_t nf, const uint8_t* name, size_t nn) noexcept nogil:
    """Whether a valid `filter` matches a valid `name`.

    A filter that begins with a wildcard matches no name that begins with `$` [MQTT-4.7.2-1]."""
    if nf == 0 or nn == 0:
        return False
    if name[0] == DOLLAR and (filter[0] == PLUS or filter[0] == HASH):
        return False
    return levels_match(filter, nf, name, nn)


cdef bytes encoded(topic):
    """UTF-8 of `topic` (str or bytes); None when it holds lone surrogates."""
    if isinstance(topic, bytes):
        return topic
    try:
        return (<str?>topic).encode()
    except UnicodeEncodeError:
        return None


def valid_name(topic) -> bool:
    """Whether `topic` (str or bytes) may be published to."""
    cdef bytes raw = encoded(topic)
    return raw is not None and name_valid(raw, len(raw))


def valid_filter(topic_filter) -> bool:
    """Whether `topic_filter` (str or bytes) may be subscribed to; a shared one comes through `split_share` first."""
    cdef bytes raw = encoded(topic_filter)
    return raw is not None and filter_valid(raw, len(raw))


def topic_matches(topic_filter, topic) -> bool:
    """Whether a valid filter matches a valid name (str or bytes)."""
    cdef bytes f = encoded(topic_filter), t = encoded(topic)
    return f is not None and t is not None and matches(f, len(f), t, len(t))


def levels(topic) -> int:
    """The number of levels of a topic (str or bytes)."""
    cdef bytes raw = encoded(topic)
    return level_count(raw, len(raw))


def split_share(str topic_filter not None):
    """`(group, filter)` of a shared subscription, `(None, filter)` of any other.

    `$share/<group>/<filter>`: a group of at least one character without `/`, `+` and `#`, then a filter that is not
    empty [MQTT-4.8.2-1] [MQTT-4.8.2-2]. `$queue/<filter>` is the group `$queue`. Raises ValueError otherwise, and
    for one shared subscription inside another. The inner filter is for `valid_filter` to judge."""
    cdef bytes raw
    cdef Share share
    if not topic_filter.startswith(("$share/", "$queue/")):
        return None, topic_filter
    raw = topic_filter.encode()
    if not share_parts(raw, len(raw), &share):
        raise ValueError(f"not a shared subscription: {topic_filter!r}")
    return share.group[:share.group_len].decode(), share.inner[:share.inner_len].decode()
