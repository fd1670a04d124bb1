/* Mode `flow`: publishers send, subscribers count; flat out, or paced with --rate. */
#include "loadgen.h"

#define WAKE_EARLY 100000ull                            /* ns before the next message is due in paced runs */

static uint32_t share_of(uint32_t publisher) {          /* messages that this publisher sends */
    return plan.messages / plan.pubs + (publisher < plan.messages % plan.pubs);
}

/* Message `number` of a publisher: publishers take turns at the common rate, grouped into ticks if asked. */
static uint64_t due_time(const Conn *c, uint32_t number) {
    double after = ((double)number * plan.pubs + c->index) / plan.rate * 1e9;
    uint64_t ns = (uint64_t)after, tick = plan.tick_us * 1000ull;
    return books.began + (tick ? ns / tick * tick : ns);
}

static uint32_t may_send(const Conn *c, uint64_t time) {
    uint32_t n = share_of(c->index) - c->sent;
    if (plan.qos && n > plan.window - c->inflight) n = plan.window - c->inflight;
    if (n > plan.batch) n = plan.batch;
    if (plan.rate <= 0) return n;
    uint32_t due = 0;
    while (due < n && due_time(c, c->sent + due) <= time) due++;
    return due;
}

/* One write for each publisher that can.  Returns whether any could go on at once. */
static bool publish_turn(uint64_t time) {
    bool more = false;
    for (uint32_t i = 0; i < plan.pubs; i++) {
        Conn *c = &publishers[i];
        if (!c->writable || c->out_to) continue;
        uint32_t n = may_send(c, time);
        if (!n) continue;
        for (uint32_t k = 0; k < n; k++) append_publish(c, plan.rate > 0 ? due_time(c, c->sent) : time);
        flush_out(c);
        books.last_progress = time;
        more |= c->writable;
    }
    return more;
}

static bool all_published(void) {
    for (uint32_t i = 0; i < plan.pubs; i++) {
        const Conn *c = &publishers[i];
        if (c->state != CLOSED && (c->sent < share_of(i) || c->out_to || (plan.qos && c->acked < c->sent))) return false;
    }
    return true;
}

static void open_flow(void) {
    n_conns = plan.pubs + plan.subs;
    conns = need(n_conns * sizeof *conns);
    publishers = conns;
    subscribers = conns + plan.pubs;
    for (uint32_t i = 0; i < n_conns; i++) {
        Conn *c = &conns[i];
        c->publisher = i < plan.pubs;
        c->index = c->publisher ? i : i - plan.pubs;
        c->tail = need(HEAD_ROOM);
        if (plan.qos) c->ids = need(IDS);
        if (plan.acks) c->due_of = need(IDS * sizeof *c->due_of);
        open_session(c, c->publisher ? "pub" : "sub");
        char topic[32];
        topic_of(topic, c->index);
        if (c->publisher) {
            make_publish(c, topic);
            continue;
        }
        open_subscription(c, topic);
        c->first_publisher = plan.all ? 0 : c->index;
        c->streams = need((plan.all ? plan.pubs : 1) * sizeof *c->streams);
        books.expected += plan.all ? plan.messages : share_of(c->index);
    }
    for (uint32_t i = 0; i < n_conns; i++) watch(&conns[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    poll_once(SECOND / 10);                                     /* everybody hears that he may write */
}

static void report_flow(double seconds, Cpu used) {
    uint64_t sent = 0, acked = 0, least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < plan.pubs; i++) { sent += publishers[i].sent; acked += publishers[i].acked; }
    for (uint32_t i = 0; i < plan.subs; i++) {
        uint64_t n = subscribers[i].received;
        if (n < least) least = n;
        if (n > most) most = n;
    }
    if (seconds <= 0) seconds = 1e-9;
    printf("{\"mode\": \"flow\", \"label\": \"%s\", \"version\": %u, \"qos\": %u, \"shape\": \"%s\", \"pubs\": %u, \"subs\": %u, "
           "\"batch\": %u, \"size\": %u, \"sent\": %lu, \"acked\": %lu, \"expected\": %lu, \"received\": %lu, \"lost\": %lu, "
           "\"duplicated\": %lu, \"out_of_order\": %lu, \"corrupt\": %lu, \"bad_acks\": %lu, \"disconnects\": %lu, "
           "\"disconnect_reason\": %lu, "
           "\"least_received\": %lu, \"most_received\": %lu, \"delivered\": %.6f, \"seconds\": %.6f, \"publish_seconds\": %.6f, "
           "\"rate\": %.1f, \"send_calls\": %lu, \"read_calls\": %lu, \"cpu_percent\": %.1f, \"cpu_user\": %.3f, \"cpu_system\": %.3f",
           plan.label, plan.version, plan.qos, plan.shape, plan.pubs, plan.subs, plan.batch, plan.size, sent, acked, books.expected,
           books.received, books.expected - books.received, books.duplicated, books.out_of_order, books.corrupt, books.bad_acks,
           books.disconnects, books.disconnect_reason, least, most, books.expected ? (double)books.received / (double)books.expected : 1.0, seconds,
           (double)(books.published_at - books.began) / 1e9, (double)books.received / seconds, books.send_calls, books.read_calls,
           100 * (used.user + used.system) / seconds, used.user, used.system);
    if (plan.rate > 0 || plan.acks) print_latency();
    if (plan.per_subscriber)
        for (uint32_t i = 0; i < plan.subs; i++)
            printf("%s%lu", i ? ", " : ", \"per_subscriber\": [", subscribers[i].received);
    printf(plan.per_subscriber ? "]}\n" : "}\n");
}

/* A paced run spins while anything is under way, so that no wake-up is counted as the broker's latency.  Otherwise it
 * sleeps until shortly before the next message is due. */
static uint64_t may_sleep(uint64_t time) {
    uint64_t sent = 0, acked = 0, next = UINT64_MAX;
    for (uint32_t i = 0; i < plan.pubs; i++) {
        const Conn *c = &publishers[i];
        sent += c->sent;
        acked += c->acked;
        uint64_t due = c->sent < share_of(i) ? due_time(c, c->sent) : time + SECOND / 20;
        if (due < next) next = due;
    }
    if (books.received < sent * (plan.all ? plan.subs : 1) || (plan.qos && acked < sent)) return 0;
    return next > time + WAKE_EARLY ? next - time - WAKE_EARLY : 0;
}

int run_flow(void) {
    open_flow();
    Cpu used = cpu_since((Cpu){0});
    uint64_t time = books.began = books.last_progress = books.last_arrival = now();
    bool complete = false;
    while (!complete && time - books.last_progress < plan.quiet_ms * 1000000ull) {
        bool more = publish_turn(time);
        if (!books.published_at && all_published()) books.published_at = time;
        poll_once(more ? 0 : plan.rate > 0 ? may_sleep(time) : SECOND / 20);
        time = now();
        complete = books.received >= books.expected && books.published_at;
    }
    used = cpu_since(used);
    if (!books.published_at) books.published_at = time;
    uint64_t end = books.last_arrival > books.published_at ? books.last_arrival : books.published_at;
    for (uint64_t until = now() + SECOND / 50; now() < until;) poll_once(SECOND / 1000);   /* duplicates come late */
    report_flow((double)(end - books.began) / 1e9, used);
    return books.received == books.expected && !books.corrupt && !books.disconnects && !books.bad_acks ? 0 : 2;
}
