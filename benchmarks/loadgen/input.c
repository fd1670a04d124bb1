/* What comes in: packets are looked at where they were read. */
#include "loadgen.h"

enum { READ_SIZE = 512 * 1024 };
static uint8_t input[HEAD_ROOM + READ_SIZE];

uint64_t arrival_time;                           /* when the bytes being scanned were read */

static inline void take(Conn *c, const Arrival *a, uint8_t last_byte) {
    books.last_progress = arrival_time;
    if (a->qos == 2 && c->ids[a->id]) { answer(c, PUBREC, a->id); return; }     /* sent again: same message */
    if (a->qos == 1) answer(c, PUBACK, a->id);
    if (a->qos == 2) { c->ids[a->id] = PUBREL; answer(c, PUBREC, a->id); }
    bool whole = a->payload == plan.size && (plan.size == STAMP_SIZE || last_byte == (uint8_t)a->number);
    if (!whole || !a->sound || a->qos != plan.qos) { books.corrupt++; return; }
    if (plan.by_topic) { take_topic(c, a); return; }
    uint32_t stream = a->publisher - c->first_publisher;
    bool known = plan.all ? stream < plan.pubs : stream == 0;
    if (!known) { books.corrupt++; return; }
    Stream *s = &c->streams[stream];
    if (a->number == s->next) s->next++;
    else if (!take_out_of_turn(s, a->number)) return;
    c->received++;
    books.received++;
    books.last_arrival = arrival_time;
    if (plan.rate > 0 && !plan.acks) record(arrival_time - a->due);
}

/* Reads a varint at p[0..n).  Returns its length, 0 when it is not all there. */
static inline size_t read_varint(const uint8_t *p, size_t n, uint32_t *v) {
    *v = 0;
    for (size_t i = 0; i < n && i < 4; i++) {
        *v |= (uint32_t)(p[i] & 127) << (7 * i);
        if (p[i] < 128) return i + 1;
    }
    if (n >= 4) die("malformed length from the broker");
    return 0;
}

/* Looks at a PUBLISH up to its stamp.  `n` bytes of `total` are there; false when that is not far enough. */
static inline bool look(const uint8_t *p, size_t n, size_t header, size_t total, Arrival *a) {
    size_t at = header + 2;
    if (n < at) return false;
    uint32_t topic = (uint32_t)p[header] << 8 | p[header + 1], properties = 0;
    at += topic;
    a->qos = p[0] >> 1 & 3;
    if (a->qos) {
        if (n < at + 2) return false;
        a->id = (uint16_t)(p[at] << 8 | p[at + 1]);
        at += 2;
    }
    if (plan.version == 5) {
        if (n < at + 1) return false;
        size_t used = read_varint(p + at, n - at, &properties);
        if (!used) return false;
        at += used + properties;
    }
    if (total < at + STAMP_SIZE) die("a PUBLISH that is not ours");
    if (n < at + STAMP_SIZE) return false;
    memcpy(&a->publisher, p + at, 4);
    memcpy(&a->number, p + at + 4, 4);
    memcpy(&a->due, p + at + 8, 8);
    a->payload = (uint32_t)(total - at);
    a->sound = topic > 6 && properties == user_properties_len() + (plan.subids ? 2 : 0);
    return true;
}

/* PUBACK, PUBREC or PUBCOMP for a publisher. */
static void acknowledged(Conn *c, uint8_t type, uint16_t id, uint8_t reason) {
    books.last_progress = arrival_time;
    if (!c->publisher || c->ids[id] != type || reason >= 0x80) { books.bad_acks++; return; }
    if (type == PUBREC) {
        c->ids[id] = PUBCOMP;
        answer(c, PUBREL, id);
        return;
    }
    c->ids[id] = 0;
    if (plan.acks) record(arrival_time - c->due_of[id]);
    c->inflight--;
    c->acked++;
}

static void handle(Conn *c, uint8_t type, const uint8_t *body, size_t n) {
    uint16_t id = n < 2 ? 0 : (uint16_t)(body[0] << 8 | body[1]);
    switch (type) {
    case PUBACK: case PUBREC: case PUBCOMP:
        acknowledged(c, type, id, n > 2 ? body[2] : 0);
        break;
    case PUBREL:
        c->ids[id] = 0;
        answer(c, PUBCOMP, id);
        break;
    case SUBACK:
        subscribed(c, body, n);
        break;
    case CONNACK:
        admitted(c, n < 2 ? 0xff : body[1]);
        break;
    case DISCONNECT:
        books.disconnect_reason = n ? body[0] : 0;
        break;                                          /* the broker closes; recv() will say so */
    default:
        die("connection %u: unexpected packet type %u", c->index, type);
    }
}

/* Takes whole packets from p[0..n), and a PUBLISH as soon as its stamp is there.  Returns what was used. */
static size_t scan(Conn *c, const uint8_t *p, size_t n) {
    size_t at = 0;
    if (c->skip) {
        if (n < c->skip) { c->skip -= n; return n; }
        at = c->skip;
        c->skip = 0;
        take(c, &c->held, p[at - 1]);
    }
    while (at + 2 <= n && c->state != CLOSED) {
        uint32_t body;
        size_t left = n - at, used = read_varint(p + at + 1, left - 1, &body), header = 1 + used;
        if (!used) break;
        size_t total = header + body;
        uint8_t type = p[at] >> 4;
        if (type == PUBLISH) {
            Arrival a = {0};
            if (!look(p + at, left, header, total, &a)) break;
            if (left < total) {
                c->held = a;
                c->skip = total - left;
                return n;
            }
            take(c, &a, p[at + total - 1]);
        } else {
            if (left < total) break;
            handle(c, type, p + at + header, body);
        }
        at += total;
    }
    return at;
}

void receive(Conn *c) {
    ssize_t got;
    do {
        memcpy(input, c->tail, c->tail_len);
        got = get(c, input + c->tail_len, READ_SIZE, MSG_DONTWAIT);
        books.read_calls++;
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) lost_conn(c);
            return;
        }
        arrival_time = now();
        size_t came = plan.ws ? unframe(c, input + c->tail_len, (size_t)got) : (size_t)got;
        size_t n = c->tail_len + came, used = scan(c, input, n);
        c->tail_len = n - used;
        if (c->tail_len > HEAD_ROOM) die("a packet of %zu bytes that is not ours", c->tail_len);
        memcpy(c->tail, input + used, c->tail_len);
    } while (got == READ_SIZE && c->state != CLOSED);
    if (c->out_to && c->writable) flush_out(c);
}
