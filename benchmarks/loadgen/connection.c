/* A connection: how it is opened and closed, and what waits to be written to it. */
#include "loadgen.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>

void close_conn(Conn *c) {
    if (c->state == CLOSED) return;
    free_tls(c);
    close(c->fd);
    c->state = CLOSED;
    c->writable = false;
}

void lost_conn(Conn *c) {
    if (c->state == CLOSED) return;
    books.disconnects++;
    close_conn(c);
}

/* A TCP connection from one of --sources loopback addresses, so that ports do not run out. */
void dial(Conn *c, bool wait) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    if (c->fd < 0) die("socket %u: %s", c->index, strerror(errno));
    struct timeval patience = {1 + plan.quiet_ms / 100, 0};     /* ten times --quiet: for an answer while it is opened */
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (plan.nodelay) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);     /* BBR, where it is the default, paces by timers */
    if (plan.sources > 1) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + c->index % plan.sources)};
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die("bind: %s", strerror(errno));
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port)};
    if (inet_pton(AF_INET, plan.host, &to.sin_addr) != 1) die("not an IPv4 address: %s", plan.host);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && (wait || errno != EINPROGRESS))
        die("connect %u: %s", c->index, strerror(errno));
}

/* Reads one whole small packet from a blocking socket and checks its type. */
static void expect(Conn *c, uint8_t type, uint8_t *body, size_t *n) {
    uint8_t head[2];
    hear(c, head, 2);
    if (head[0] >> 4 != type || head[1] > 127) die("connection %u: packet 0x%02x where type %u was due", c->index, head[0], type);
    hear(c, body, head[1]);
    *n = head[1];
}

void open_session(Conn *c, const char *kind) {
    uint8_t packet[256], reply[128];
    char client_id[40];
    size_t n;
    sprintf(client_id, "%s-%d-%u", kind, getpid(), c->index);
    dial(c, true);
    shake_hands(c);
    say(c, packet, encode_connect(packet, client_id));
    expect(c, CONNACK, reply, &n);
    if (reply[1]) die("connection %u refused: 0x%02x", c->index, reply[1]);
    c->state = READY;
}

void say_subscribe(Conn *c, const char *filter) {
    uint8_t packet[256];
    say(c, packet, encode_subscribe(packet, filter, plan.subids ? 1 + c->index % 100 : 0));
}

void open_subscription(Conn *c, const char *filter) {
    uint8_t reply[128];
    size_t n;
    say_subscribe(c, filter);
    expect(c, SUBACK, reply, &n);
    if (reply[n - 1] != plan.qos) die("connection %u: SUBACK says 0x%02x", c->index, reply[n - 1]);
}

uint8_t *room_for(Conn *c, size_t n) {
    if (c->out_room - c->out_to < n) {
        c->out_room = 2 * (c->out_to + n);
        c->out = realloc(c->out, c->out_room);
        if (!c->out) die("out of memory");
    }
    uint8_t *p = c->out + c->out_to;
    c->out_to += n;
    return p;
}

/* With --ws: what waits becomes the payload of one frame. */
static void frame_rest(Conn *c) {
    uint8_t head[14];
    size_t n = c->out_to - c->out_from, size = put_head(head, n);
    room_for(c, size);
    memmove(c->out + c->out_from + size, c->out + c->out_from, n);
    memcpy(c->out + c->out_from, head, size);
}

void flush_out(Conn *c) {
    while (c->out_from < c->out_to && c->state != CLOSED) {
        if (!plan.ws || c->framed_to <= c->out_from) {
            if (plan.ws) frame_rest(c);
            c->framed_to = c->out_to;
        }
        ssize_t n = put(c, c->out + c->out_from, c->framed_to - c->out_from, MSG_DONTWAIT);
        books.send_calls++;
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) lost_conn(c);
            c->writable = false;
            return;
        }
        c->out_from += (size_t)n;
    }
    c->out_from = c->out_to = c->framed_to = 0;
}

void answer(Conn *c, uint8_t type, uint16_t id) {
    uint8_t *p = room_for(c, 4);
    p[0] = (uint8_t)(type << 4 | (type == PUBREL ? 2 : 0));
    p[1] = 2;
    put16(p + 2, id);
}

uint8_t *append_publish(Conn *c, uint64_t due) {
    uint8_t *p = room_for(c, c->frame_len), *payload = p + c->payload_at;
    memcpy(p, c->frame, c->frame_len);
    memcpy(payload + 4, &c->sent, 4);
    memcpy(payload + 8, &due, 8);
    if (plan.size > STAMP_SIZE) p[c->frame_len - 1] = (uint8_t)c->sent;
    if (plan.qos) {
        do c->last_id++; while (!c->last_id || c->ids[c->last_id]);
        c->ids[c->last_id] = plan.qos == 1 ? PUBACK : PUBREC;
        put16(p + c->id_at, c->last_id);
        if (plan.acks) c->due_of[c->last_id] = due;
        c->inflight++;
    }
    if (c->sent++ == 0 && plan.alias) make_publish(c, "");
    return p;
}
