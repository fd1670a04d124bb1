/* Modes `filters` and `retain`: each message has a topic of its own, and is counted by the number in it. */
#include "loadgen.h"

enum {
    UNDER_WAY = 4096,                                   /* messages that the broker holds at most */
    SUBSCRIBES = 4,                                     /* unanswered ones a connection */
    STEP = 7919,                                        /* from one topic to the next: no two are neighbours */
};
#define FILTER "fleet/%07u/+/state/#"
#define TOPIC "fleet/%07u/engine/state/rpm"             /* the filter of this number matches it, and no other */
#define RETAINED_TOPIC "kept/%07u"

static uint32_t topics, published, granted;
static uint8_t *seen;                                   /* per topic: its message came */
static size_t digits_at;                                /* of the topic's number in a frame */

void take_topic(Conn *c, const Arrival *a) {
    if (a->number >= topics || a->number % plan.subs != c->index) { books.corrupt++; return; }
    if (seen[a->number]) { books.duplicated++; return; }
    seen[a->number] = 1;
    books.received++;
    books.last_arrival = arrival_time;
}

void subscribed(Conn *c, const uint8_t *body, size_t n) {
    if (!c->inflight) die("connection %u: a SUBACK that nobody waits for", c->index);
    c->inflight--;
    for (size_t i = 2; i < n; i++) {
        if (body[i]) books.bad_acks++;
        else granted++;
    }
    books.last_progress = arrival_time;
}

static void open_connections(void) {
    n_conns = plan.subs + plan.pubs;
    conns = need(n_conns * sizeof *conns);
    subscribers = conns;
    publishers = conns + plan.subs;
    for (uint32_t i = 0; i < n_conns; i++) {
        Conn *c = &conns[i];
        c->publisher = i >= plan.subs;
        c->index = c->publisher ? i - plan.subs : i;
        c->tail = need(HEAD_ROOM);
        open_session(c, c->publisher ? "pub" : "sub");
    }
}

static void watch_all(void) {
    for (uint32_t i = 0; i < n_conns; i++) watch(&conns[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    poll_once(SECOND / 10);
}

static bool stuck(void) { return now() - books.last_progress > plan.quiet_ms * 1000000ull; }

static void make_frames(const char *form, bool retain) {
    char topic[40];
    sprintf(topic, form, 0);
    for (uint32_t i = 0; i < plan.pubs; i++) {
        Conn *c = &publishers[i];
        make_publish(c, topic);
        c->frame[0] |= retain;
        digits_at = c->payload_at - strlen(topic) + strcspn(topic, "0");
    }
}

/* The next topic in a scattered order. */
static void append_topic(Conn *c) {
    uint32_t number = (uint32_t)((uint64_t)published++ * STEP % topics);
    c->sent = number;                                   /* the number that the payload says */
    uint8_t *p = append_publish(c, 0) + digits_at;
    for (int i = 6; i >= 0; i--, number /= 10) p[i] = '0' + (uint8_t)(number % 10);
}

/* Until all came, or the time is up and what was sent until then came, or nothing moves. */
static double publish_topics(uint32_t count) {
    books.expected = count;
    books.began = books.last_progress = books.last_arrival = now();
    while (books.received < books.expected && !stuck()) {
        bool more = false;
        if (now() - books.began > plan.limit * SECOND) books.expected = published;
        for (uint32_t i = 0; i < plan.pubs; i++) {
            Conn *c = &publishers[i];
            if (!c->writable || c->out_to) continue;
            for (uint32_t k = 0; k < plan.batch && published < books.expected; k++) {
                if (published - books.received >= UNDER_WAY) break;
                append_topic(c);
            }
            more |= c->out_to > 0;
            flush_out(c);
        }
        poll_once(more ? 0 : SECOND / 20);
    }
    return (double)(books.last_arrival - books.began) / 1e9;
}

static void report(const char *more, double seconds, Cpu used) {
    printf("{\"mode\": \"%s\", \"label\": \"%s\", %s, \"expected\": %lu, \"received\": %lu, \"lost\": %lu, \"duplicated\": %lu, "
           "\"corrupt\": %lu, \"bad_acks\": %lu, \"disconnects\": %lu, \"delivered\": %.6f, \"seconds\": %.6f, \"rate\": %.1f, "
           "\"cpu_percent\": %.1f}\n",
           plan.mode, plan.label, more, books.expected, books.received, books.expected - books.received, books.duplicated,
           books.corrupt, books.bad_acks, books.disconnects,
           books.expected ? (double)books.received / (double)books.expected : 1, seconds,
           seconds > 0 ? (double)books.received / seconds : 0,
           seconds > 0 ? 100 * (used.user + used.system) / seconds : 0);
}

static int status(void) {
    bool wrong = books.corrupt || books.duplicated || books.bad_acks || books.disconnects;
    return books.received == books.expected && !wrong ? 0 : 2;
}


/* ---- filters --------------------------------------------------------------------------------------------- */

static uint32_t filters_of(const Conn *c) {
    return plan.filters / plan.subs + (c->index < plan.filters % plan.subs);
}

/* A SUBSCRIBE with as many of this connection's filters as go into one. */
static void append_subscribe(Conn *c) {
    char filter[40];
    uint8_t body[8192], *p = put16(body, 1 + c->sent % 65535);
    for (uint32_t k = 0; k < plan.batch && c->sent < filters_of(c); k++, c->sent++) {
        sprintf(filter, FILTER, c->sent * plan.subs + c->index);
        p = put_string(p, filter);
        *p++ = 0;
    }
    uint8_t packet[sizeof body + 8];
    size_t n = put_frame(packet, SUBSCRIBE << 4 | 2, body, (size_t)(p - body));
    memcpy(room_for(c, n), packet, n);
    c->inflight++;
}

/* Asks for all filters, or for what the time allows. Returns how many topics from 0 on have theirs. */
static uint32_t subscribe_all(void) {
    uint32_t asked = 0, least = UINT32_MAX;
    books.began = books.last_progress = now();
    while (granted + books.bad_acks < plan.filters && !books.disconnects && !stuck()) {
        bool in_time = now() - books.began < plan.limit * SECOND;
        if (!in_time && granted + books.bad_acks == asked) break;
        for (uint32_t i = 0; i < plan.subs; i++) {
            Conn *c = &subscribers[i];
            uint32_t before = c->sent;
            while (in_time && c->writable && c->inflight < SUBSCRIBES && c->sent < filters_of(c)) append_subscribe(c);
            asked += c->sent - before;
            flush_out(c);
        }
        poll_once(SECOND / 20);
    }
    for (uint32_t i = 0; i < plan.subs; i++)
        if (subscribers[i].sent < least) least = subscribers[i].sent;
    return granted == plan.filters ? granted : least * plan.subs;
}

int run_filters(void) {
    open_connections();
    make_frames(TOPIC, false);
    watch_all();
    Cpu used = cpu_since((Cpu){0});
    topics = subscribe_all();
    double took = (double)(now() - books.began) / 1e9;
    used = cpu_since(used);
    char more[200];
    sprintf(more, "\"filters\": %u, \"subscribe_seconds\": %.3f, \"subscribe_rate\": %.0f, \"subscribe_cpu_percent\": %.1f",
            granted, took, granted / took, 100 * (used.user + used.system) / took);
    printf("READY\n");
    fflush(stdout);
    while (getchar() != EOF) {}
    seen = need(topics);
    used = cpu_since((Cpu){0});
    double seconds = publish_topics(plan.messages < topics ? plan.messages : topics);
    report(more, seconds, cpu_since(used));
    return granted == plan.filters ? status() : 2;
}


/* ---- retain ---------------------------------------------------------------------------------------------- */

/* The first subscriber is there while they are published, so that no more are under way than it has not seen. The
 * second one comes afterwards, and must get them all. */
int run_retain(void) {
    topics = plan.messages;
    seen = need(topics);
    plan.subs = plan.pubs = 1;
    open_connections();
    make_frames(RETAINED_TOPIC, true);
    open_subscription(&subscribers[0], "kept/#");
    watch_all();
    double filled = publish_topics(topics);
    if (books.received < topics || books.corrupt) die("%lu of %u retained messages came", books.received, topics);

    close_conn(&subscribers[0]);
    memset(seen, 0, topics);
    books.received = 0;
    open_session(&subscribers[0], "late");
    subscribers[0].tail_len = 0;
    subscribers[0].inflight = 1;
    Cpu used = cpu_since((Cpu){0});
    say_subscribe(&subscribers[0], "kept/#");
    watch(&subscribers[0], EPOLLIN | EPOLLRDHUP | EPOLLET);
    double seconds = publish_topics(topics);
    char more[80];
    sprintf(more, "\"fill_seconds\": %.3f, \"fill_rate\": %.0f", filled, topics / filled);
    report(more, seconds, cpu_since(used));
    return status();
}
