"""Topic filters, or topic names, as a trie of levels: see trie.pxd for the layout."""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from router_ext.memory.pool cimport pool_bytes, pool_end, pool_give, pool_holds, pool_set_up, pool_take, pool_tear_down
from router_ext.memory.hash_table cimport (
    Part, hash_bytes, table_bytes, table_drop, table_first, table_hash_is, table_next, table_number, table_part,
    table_put, table_set_up, table_tear_down,
)
from router_ext.protocol.topic cimport level_end, levels_match


cdef bint trie_set_up(Trie* trie, uint64_t seed) noexcept nogil:
    """An empty trie; False when memory is out. `seed` keeps who chooses the topics from choosing the collisions."""
    cdef int i
    memset(trie, 0, sizeof(Trie))
    trie.seed = seed
    pool_set_up(&trie.nodes, sizeof(Node))
    for i in range(TEXT_POOLS):
        pool_set_up(&trie.texts[i], (i + 1) * TEXT_GRAIN)
    if not table_set_up(&trie.children) or pool_take(&trie.nodes) != ROOT:
        return False
    memset(trie_node(trie, ROOT), 0, sizeof(Node))
    return True


cdef void trie_tear_down(Trie* trie) noexcept nogil:
    cdef uint32_t number
    cdef int i
    for number in range(pool_end(&trie.nodes)):
        if trie_holds(trie, number):
            free_text(trie, trie_node(trie, number))
    for i in range(TEXT_POOLS):
        pool_tear_down(&trie.texts[i])
    pool_tear_down(&trie.nodes)
    table_tear_down(&trie.children)


cdef size_t trie_bytes(const Trie* trie) noexcept nogil:
    """Bytes held, but for texts of more than 256."""
    cdef size_t total = pool_bytes(&trie.nodes) + table_bytes(&trie.children)
    cdef int i
    for i in range(TEXT_POOLS):
        total += pool_bytes(&trie.texts[i])
    return total


cdef bint trie_holds(const Trie* trie, uint32_t number) noexcept nogil:
    """Whether there is a node of this number, the root left out; for walks from 0 to `pool_end(&trie.nodes)`."""
    return pool_holds(&trie.nodes, number) and trie_node(trie, number).parent != 0


# --- texts ---------------------------------------------------------------------------------------------------------

cdef bint set_text(Trie* trie, Node* node, const uint8_t* text, size_t n, size_t name_len) noexcept nogil:
    """Gives a node that owns no text its text, which lies elsewhere; False when memory is out."""
    cdef uint8_t* copy = node.text
    cdef Pool* pool
    cdef uint32_t number
    if n > TEXT_GRAIN * TEXT_POOLS:
        copy = <uint8_t*>malloc(n)
        (<uint8_t**>node.text)[0] = copy
    elif n > TEXT_INLINE:
        pool = &trie.texts[(n - 1) // TEXT_GRAIN]
        number = pool_take(pool)
        copy = <uint8_t*>pool_at(pool, number) if number else NULL
        (<uint32_t*>node.text)[0] = number
    if copy == NULL:
        return False
    memcpy(copy, text, n)
    node.text_len = <uint16_t>n
    node.name_len = <uint16_t>name_len
    return True


cdef void free_text(Trie* trie, Node* node) noexcept nogil:
    if node.text_len > TEXT_GRAIN * TEXT_POOLS:
        free((<uint8_t**>node.text)[0])
    elif node.text_len > TEXT_INLINE:
        pool_give(&trie.texts[(node.text_len - 1) // TEXT_GRAIN], (<uint32_t*>node.text)[0])


cdef bytes trie_path(const Trie* trie, uint32_t number):
    """The filter or name that ends at a node."""
    cdef list parts = []
    cdef Node* node
    while number != ROOT:
        node = trie_node(trie, number)
        parts.append(trie_text(trie, node)[:node.text_len])
        number = node.parent
    parts.reverse()
    return b"/".join(parts)


# --- children ------------------------------------------------------------------------------------------------------

cdef inline bint is_level(const uint8_t* level, size_t n, uint8_t which) noexcept nogil:
    return n == 1 and level[0] == which


cdef inline uint32_t hash_level(const Trie* trie, uint32_t parent, const uint8_t* level, size_t n) noexcept nogil:
    return <uint32_t>hash_bytes(trie.seed, parent, level, n)


cdef inline uint32_t named_child(const Trie* trie, uint32_t parent, const uint8_t* level, size_t n) noexcept nogil:
    cdef uint32_t hash = hash_level(trie, parent, level, n)
    cdef Part* part = table_part(&trie.children, hash)
    cdef uint32_t at = table_first(part, hash)
    cdef uint32_t number = table_number(part, at)
    cdef Node* node
    while number:
        if table_hash_is(part, at, hash):
            node = trie_node(trie, number)
            if node.parent == parent and node.name_len == n and memcmp(trie_text(trie, node), level, n) == 0:
                return number
        at = table_next(part, at)
        number = table_number(part, at)
    return 0


cdef inline uint32_t child(const Trie* trie, uint32_t parent, const uint8_t* level, size_t n) noexcept nogil:
    """The child of `parent` for a level of a filter, 0 when there is none."""
    if is_level(level, n, b"+"):
        return trie_node(trie, parent).plus
    if is_level(level, n, b"#"):
        return trie_node(trie, parent).hash
    return named_child(trie, parent, level, n)


cdef bint link(Trie* trie, uint32_t number) noexcept nogil:
    """Makes a node known to its parent; False when memory is out."""
    cdef Node* node = trie_node(trie, number)
    cdef Node* parent = trie_node(trie, node.parent)
    cdef const uint8_t* text = trie_text(trie, node)
    if is_level(text, node.name_len, b"+"):
        parent.plus = number
    elif is_level(text, node.name_len, b"#"):
        parent.hash = number
    else:
        if not table_put(&trie.children, hash_level(trie, node.parent, text, node.name_len), number):
            return False
        node.prev = 0
        node.next = parent.first
        if node.next:
            trie_node(trie, node.next).prev = number
        parent.first = number
    return True


cdef void unlink(Trie* trie, uint32_t number) noexcept nogil:
    cdef Node* node = trie_node(trie, number)
    cdef Node* parent = trie_node(trie, node.parent)
    if parent.plus == number:
        parent.plus = 0
    elif parent.hash == number:
        parent.hash = 0
    else:
        table_drop(&trie.children, hash_level(trie, node.parent, trie_text(trie, node), node.name_len), number)
        if node.prev:
            trie_node(trie, node.prev).next = node.next
        else:
            parent.first = node.next
        if node.next:
            trie_node(trie, node.next).prev = node.prev


# --- coming and going ----------------------------------------------------------------------------------------------

cdef uint32_t new_node(Trie* trie, uint32_t parent, const uint8_t* text, size_t n, size_t name_len) noexcept nogil:
    """A node known to its parent; 0 when memory is out."""
    cdef uint32_t number = pool_take(&trie.nodes)
    cdef Node* node
    if number == 0:
        return 0
    node = trie_node(trie, number)
    memset(node, 0, sizeof(Node))
    if set_text(trie, node, text, n, name_len):
        node.parent = parent
        if link(trie, number):
            return number
        free_text(trie, node)
    free_node(trie, number)
    return 0


cdef void free_node(Trie* trie, uint32_t number) noexcept nogil:
    trie_node(trie, number).parent = 0
    pool_give(&trie.nodes, number)


cdef uint32_t split(Trie* trie, uint32_t number) noexcept nogil:
    """Puts a node for the level alone above one that keeps the rest of its filter; 0 when memory is out.

    The lower one keeps its number, so nothing that points at the filter has to change."""
    cdef Node* lower = trie_node(trie, number)
    cdef Node kept = lower[0]
    cdef const uint8_t* text = trie_text(trie, &kept)
    cdef size_t rest = kept.name_len + 1
    cdef uint32_t upper
    unlink(trie, number)
    upper = new_node(trie, kept.parent, text, kept.name_len, kept.name_len)
    if upper:
        lower.parent = upper
        if set_text(trie, lower, text + rest, kept.text_len - rest, level_end(text, rest, kept.text_len) - rest):
            if link(trie, number):
                free_text(trie, &kept)
                return upper
            free_text(trie, lower)
        unlink(trie, upper)
        free_text(trie, trie_node(trie, upper))
        free_node(trie, upper)
    lower[0] = kept
    link(trie, number)
    return 0


cdef uint32_t trie_place(Trie* trie, const uint8_t* topic_filter, size_t n) noexcept nogil:
    """The node of a filter of 1 to 65,535 bytes, made when there is none; 0 when memory is out."""
    cdef uint32_t at = ROOT, number
    cdef size_t begin = 0, end
    cdef Node* node
    while True:
        end = level_end(topic_filter, begin, n)
        number = child(trie, at, topic_filter + begin, end - begin)
        if number == 0:
            return new_node(trie, at, topic_filter + begin, n - begin, end - begin)
        node = trie_node(trie, number)
        if node.text_len == n - begin and memcmp(trie_text(trie, node), topic_filter + begin, n - begin) == 0:
            return number
        if node.text_len > node.name_len:
            number = split(trie, number)
        if number == 0 or end == n:
            return number
        at = number
        begin = end + 1


cdef uint32_t trie_find(const Trie* trie, const uint8_t* topic_filter, size_t n) noexcept nogil:
    """The node of a filter, 0 when there is none. Something may end there, or only below."""
    cdef uint32_t at = ROOT
    cdef size_t begin = 0, end
    cdef Node* node
    while True:
        end = level_end(topic_filter, begin, n)
        at = child(trie, at, topic_filter + begin, end - begin)
        if at == 0:
            return 0
        node = trie_node(trie, at)
        if node.text_len > node.name_len or end == n:
            if node.text_len == n - begin and memcmp(trie_text(trie, node), topic_filter + begin, n - begin) == 0:
                return at
            return 0
        begin = end + 1


cdef uint32_t trie_reach(const Trie* trie, const uint8_t* path, size_t n, size_t* into) noexcept nogil:
    """The node in whose text a path of levels ends, and how much of the text belongs to the path: all of it, or a part
    that a slash follows. 0 when no filter begins with these levels."""
    cdef uint32_t at = ROOT
    cdef size_t begin = 0, end
    cdef Node* node
    cdef const uint8_t* text
    while True:
        end = level_end(path, begin, n)
        at = child(trie, at, path + begin, end - begin)
        if at == 0:
            return 0
        node = trie_node(trie, at)
        if node.text_len > node.name_len:
            text = trie_text(trie, node)
            into[0] = n - begin
            if n - begin > node.text_len or memcmp(text, path + begin, n - begin) != 0:
                return 0
            return at if into[0] == node.text_len or text[into[0]] == b"/" else 0
        if end == n:
            into[0] = node.text_len
            return at
        begin = end + 1


cdef bint trie_has_below(const Trie* trie, const uint8_t* level, size_t n) noexcept nogil:
    """Whether any filter begins with that level."""
    return child(trie, ROOT, level, n) != 0


cdef void trie_prune(Trie* trie, uint32_t number) noexcept nogil:
    """Frees a node that nothing needs any more, and those above it that were there for it."""
    cdef Node* node = trie_node(trie, number)
    cdef uint32_t parent
    while number != ROOT and not (node.head or node.groups or node.first or node.plus or node.hash):
        parent = node.parent
        unlink(trie, number)
        free_text(trie, node)
        free_node(trie, number)
        number = parent
        node = trie_node(trie, number)


# --- walks: no recursion, for a topic may have 65,535 levels -------------------------------------------------------

cdef void walk_tear_down(Walk* walk) noexcept nogil:
    free(walk.steps)
    free(walk.found)


cdef inline void* with_room(void* items, uint32_t used, uint32_t* room, size_t size) noexcept nogil:
    """`items`, moved if needed, with room for one more than `used`; NULL when memory is out."""
    if used < room[0]:
        return items
    items = realloc(items, max(room[0] * 2, 16) * size)
    if items != NULL:
        room[0] = max(room[0] * 2, 16)
    return items


cdef bint leave(Walk* walk, uint32_t number, size_t at) noexcept nogil:
    """Leaves a branch for later."""
    cdef void* steps = with_room(walk.steps, walk.n_steps, &walk.max_steps, sizeof(Step))
    if steps == NULL:
        return False
    walk.steps = <Step*>steps
    walk.steps[walk.n_steps].node = number
    walk.steps[walk.n_steps].at = <uint32_t>at
    walk.n_steps += 1
    return True


cdef bint note(const Trie* trie, Walk* walk, uint32_t number) noexcept nogil:
    """Adds a node to those found, if something ends there."""
    cdef Node* node = trie_node(trie, number)
    cdef void* found
    if node.head == 0 and node.groups == 0:
        return True
    found = with_room(walk.found, walk.n_found, &walk.max_found, sizeof(uint32_t))
    if found == NULL:
        return False
    walk.found = <uint32_t*>found
    walk.found[walk.n_found] = number
    walk.n_found += 1
    return True


cdef bint trie_match(const Trie* trie, const uint8_t* topic, uint32_t n, int64_t looks, Walk* walk) noexcept nogil:
    """Finds the nodes of the filters that match a topic name; False when memory is out.

    Breaks off with `walk.cut` when it has cost more than `looks`: filters of n levels, named or `+`, lead to as many as
    2^n nodes. `place_of` then says where `trie_match_on` goes on."""
    walk.n_found = 0
    walk.n_steps = 0
    walk.looks = looks
    return leave(walk, ROOT, 0) and match_rest(trie, topic, n, walk)


cdef bint match_rest(const Trie* trie, const uint8_t* topic, uint32_t n, Walk* walk) noexcept nogil:
    """Goes on with the branches that were left."""
    cdef Step step
    while walk.n_steps and walk.looks > 0:
        walk.n_steps -= 1
        step = walk.steps[walk.n_steps]
        if not match_below(trie, step.node, step.at, topic, n, walk):
            return False
    walk.cut = walk.n_steps != 0
    return True


cdef bint match_below(const Trie* trie, uint32_t number, size_t at, const uint8_t* topic, size_t n,
                      Walk* walk) noexcept nogil:
    """Walks down the named children from a node, and leaves the `+` ones for later."""
    cdef Node* node
    cdef size_t end
    cdef bint wild
    while number:
        node = trie_node(trie, number)
        if node.text_len > node.name_len:
            walk.looks -= 1 + node.text_len // LOOK_BYTES
            return not rest_matches(trie, node, at, topic, n) or note(trie, walk, number)
        # A filter that begins with a wildcard matches no name that begins with $ [MQTT-4.7.2-1]
        wild = number != ROOT or topic[0] != b"$"
        if node.hash and wild and not note(trie, walk, node.hash):      # also at the end: "sport/#" matches "sport"
            return False
        if at > n:
            walk.looks -= 1
            return note(trie, walk, number)
        end = level_end(topic, at, n)
        walk.looks -= 1 + <int64_t>(end - at) // LOOK_BYTES
        if node.plus and wild and not leave(walk, node.plus, end + 1):
            return False
        number = named_child(trie, number, topic + at, end - at)
        at = end + 1
    return True


cdef bint place_of(const Trie* trie, const Walk* walk, Place* place) noexcept nogil:
    """Where a cut walk stands: at the deepest branch it left; False when memory is out.

    Named children come before `+`, so the branches that were left are the `+` beside that path, no others."""
    cdef uint32_t number = walk.steps[walk.n_steps - 1].node, at = number, levels = 0
    cdef uint8_t* plus
    while at != ROOT:
        levels += 1
        at = trie_node(trie, at).parent
    if levels > place.room:
        plus = <uint8_t*>realloc(place.plus, levels)
        if plus == NULL:
            return False
        place.plus = plus
        place.room = levels
    place.levels = levels
    while number != ROOT:
        levels -= 1
        at = trie_node(trie, number).parent
        place.plus[levels] = trie_node(trie, at).plus == number
        number = at
    return True


cdef bint trie_match_on(const Trie* trie, const uint8_t* topic, uint32_t n, int64_t looks, Walk* walk,
                        const Place* place) noexcept nogil:
    """`trie_match` from a place on. Filters that came or went meanwhile are found or not; each other is found once."""
    cdef uint32_t number = ROOT, i
    cdef size_t at = 0, end
    cdef Node* node
    walk.n_found = 0
    walk.n_steps = 0
    walk.looks = looks
    for i in range(place.levels):
        node = trie_node(trie, number)
        if node.text_len > node.name_len:
            number = 0  # other filters led here then
            break
        end = level_end(topic, at, n)
        if place.plus[i]:
            number = node.plus
        else:
            if node.plus and (number != ROOT or topic[0] != b"$") and not leave(walk, node.plus, end + 1):
                return False
            number = named_child(trie, number, topic + at, end - at)
        at = end + 1
        if number == 0:
            break
    if number and not leave(walk, number, at):
        return False
    return match_rest(trie, topic, n, walk)


cdef void place_tear_down(Place* place) noexcept nogil:
    free(place.plus)


cdef inline bint rest_matches(const Trie* trie, const Node* node, size_t at, const uint8_t* topic,
                              size_t n) noexcept nogil:
    """Whether the rest of the only filter below a node matches the rest of a topic."""
    cdef const uint8_t* rest = trie_text(trie, node) + node.name_len + 1
    cdef size_t rest_len = node.text_len - node.name_len - 1
    if at > n:
        return is_level(rest, rest_len, b"#")
    return levels_match(rest, rest_len, topic + at, n - at)


cdef bint trie_select(const Trie* trie, const uint8_t* topic_filter, uint32_t n, int64_t looks, uint32_t most,
                      Walk* walk) noexcept nogil:
    """The other way round: finds the nodes of the topic names that a filter matches; False when memory is out.

    Ends when it has found `most` of them, and with `walk.cut` when it has cost more than `looks`."""
    cdef Step step
    walk.n_found = 0
    walk.n_steps = 0
    walk.looks = looks
    walk.cut = False
    if not leave(walk, ROOT, 0):
        return False
    while walk.n_steps and walk.n_found < most:
        walk.n_steps -= 1
        step = walk.steps[walk.n_steps]
        if not select_below(trie, step.node, step.at, topic_filter, n, walk):
            return False
    return True


cdef bint select_below(const Trie* trie, uint32_t number, size_t at, const uint8_t* topic_filter, size_t n,
                       Walk* walk) noexcept nogil:
    """Walks down from a node as long as the filter names the levels; leaves the children of wildcards for later."""
    cdef Node* node
    cdef size_t end
    while number:
        node = trie_node(trie, number)
        walk.looks -= 1 + node.text_len // LOOK_BYTES
        if node.text_len > node.name_len:
            return not rest_selected(trie, node, at, topic_filter, n) or note(trie, walk, number)
        if at > n:
            return note(trie, walk, number)
        end = level_end(topic_filter, at, n)
        if is_level(topic_filter + at, end - at, b"#"):
            return note(trie, walk, number) and leave_children(trie, number, at, walk)
        if is_level(topic_filter + at, end - at, b"+"):
            return leave_children(trie, number, end + 1, walk)
        number = named_child(trie, number, topic_filter + at, end - at)
        at = end + 1
    return True


cdef bint leave_children(const Trie* trie, uint32_t number, size_t at, Walk* walk) noexcept nogil:
    cdef uint32_t below = trie_node(trie, number).first
    cdef Node* node
    while below:
        if walk.looks <= 0:
            walk.cut = True
            walk.n_steps = 0
            return True
        walk.looks -= 1
        node = trie_node(trie, below)
        # a wildcard in the first level matches no name that begins with $ [MQTT-4.7.2-1]
        if number != ROOT or node.text_len == 0 or trie_text(trie, node)[0] != b"$":
            if not leave(walk, below, at):
                return False
        below = node.next
    return True


cdef inline bint rest_selected(const Trie* trie, const Node* node, size_t at, const uint8_t* topic_filter,
                               size_t n) noexcept nogil:
    """Whether the rest of a filter matches the rest of the only name below a node."""
    cdef size_t below = node.name_len + 1
    return at <= n and levels_match(topic_filter + at, n - at, trie_text(trie, node) + below, node.text_len - below)
