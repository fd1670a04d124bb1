/* An MQTT load generator: publishers and subscribers in one thread on one core, exact books at the end.
 *
 *   loadgen flow     publishers send, subscribers count; flat out, or paced with --rate
 *   loadgen connect  CONNECT, CONNACK, DISCONNECT as often as it goes
 *   loadgen idle     holds connections open until standard input ends
 *
 * It has to stay cheaper than any broker it measures.  A message that leaves is a copy of a finished frame with a
 * few bytes patched; a message that arrives is looked at where it was read, and never copied.
 *
 * Every payload says who sent it, which number it is and when it was due, and ends in the low byte of its number.
 * So each subscriber knows what it lost, what came twice and what came late, without remembering single messages.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, DISCONNECT = 14 };
enum {
    STAMP_SIZE = 16,            /* publisher u32, number u32, due time u64 */
    HEAD_ROOM = 4096,           /* more than any frame up to the end of its stamp */
    READ_SIZE = 512 * 1024,
    EVENTS = 2048,
    IDS = 65536,
};
#define SECOND 1000000000ull
#define WAKE_EARLY 100000ull                            /* ns before the next message is due in paced runs */

typedef struct { uint32_t from, to; } Gap;              /* numbers [from, to) have been skipped */
typedef struct {                                        /* one publisher, as one subscriber sees it */
    uint32_t next, gaps, room;
    Gap *gap;
} Stream;

typedef struct {                                        /* what is kept of one PUBLISH that arrives */
    uint32_t publisher, number, payload;
    uint64_t due;
    uint16_t id;
    uint8_t qos;
    bool sound;                                         /* topic and properties are as sent */
} Arrival;

typedef enum { CONNECTING, WAIT_CONNACK, READY, CLOSED } State;

typedef struct {
    int fd;
    void *tls;                                          /* OpenSSL's, with --tls */
    State state;
    uint32_t index;
    bool publisher, writable;

    uint8_t *tail;                                      /* an incomplete frame between two reads */
    size_t tail_len;
    size_t skip;                                        /* bytes of `held` still to come */
    Arrival held;

    uint8_t *out;                                       /* [out_from, out_to) waits for the socket */
    size_t out_from, out_to, out_room;
    size_t framed_to;                                   /* up to here `out` is what goes on the wire */

    uint64_t frame_left;                                /* with --ws: payload of the incoming frame still to come */
    uint8_t head[10];                                   /* its header, while that is not whole */
    size_t head_len;

    uint8_t *frame;                                     /* the PUBLISH that this connection repeats */
    size_t frame_len, id_at, payload_at;
    uint32_t sent, acked, inflight;
    uint16_t last_id;
    uint64_t *due_of;                                   /* per packet id, with --acks: when it was due */
    uint8_t *ids;                                       /* per packet id: the packet it waits for, or 0 */

    Stream *streams;                                    /* subscribers: one per publisher heard */
    uint32_t first_publisher;
    uint64_t received;
    uint64_t started;                                   /* connect mode */
} Conn;

static struct {
    const char *mode, *host, *shape, *label;
    uint32_t port, pubs, subs, messages, size, batch, qos, window, version, sources, tick_us, quiet_ms;
    uint32_t connections, concurrency;
    double rate;
    int cpu;
    bool persistent, acks, properties, alias, subids, subscribe, per_subscriber, nodelay, all, tls, ws;
} plan = {
    .host = "127.0.0.1", .shape = "pairs", .label = "", .port = 1883, .pubs = 1, .subs = 1, .messages = 100000,
    .size = 64, .batch = 1, .window = 32, .version = 4, .sources = 1, .quiet_ms = 5000, .connections = 1000,
    .concurrency = 64, .cpu = -1,
};

static struct {
    uint64_t expected, received, duplicated, out_of_order, corrupt, bad_acks, disconnects, send_calls, read_calls;
    uint64_t disconnect_reason;                         /* of the last DISCONNECT that came */
    uint64_t began, published_at, last_arrival, last_progress;
} books;

static Conn *conns, *publishers, *subscribers;
static uint32_t n_conns;
static int poller;
static uint8_t input[HEAD_ROOM + READ_SIZE];
static uint8_t user_properties[64];                     /* property bytes added by --properties */
static size_t user_properties_len;


/* ---- small things ---------------------------------------------------------------------------------------- */

static _Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static void *need(size_t n) {
    void *p = calloc(1, n ? n : 1);
    if (!p) die("out of memory");
    return p;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(int what) {                   /* 0 user, 1 system */
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    struct timeval t = what ? use.ru_stime : use.ru_utime;
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) die("cannot run on CPU %d: %s", cpu, strerror(errno));
}


/* ---- latency: log-linear buckets, 64 to each power of two, so within 1.6 % -------------------------------- */

enum { SUB_BITS = 6, BUCKETS = (64 - SUB_BITS + 1) << SUB_BITS };
static uint64_t histogram[BUCKETS], histogram_total, histogram_max;

static void record(uint64_t ns) {
    int shift = ns >> SUB_BITS ? 63 - __builtin_clzll(ns) - SUB_BITS : 0;
    histogram[((size_t)shift << SUB_BITS) + (ns >> shift)]++;
    histogram_total++;
    if (ns > histogram_max) histogram_max = ns;
}

static double percentile_us(double share) {
    uint64_t want = (uint64_t)(share * (double)histogram_total), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen <= want) continue;
        size_t shift = i >> SUB_BITS > 1 ? (i >> SUB_BITS) - 1 : 0;
        return (double)((i - (shift << SUB_BITS)) << shift) / 1e3;
    }
    return (double)histogram_max / 1e3;
}


/* ---- encoding -------------------------------------------------------------------------------------------- */

static uint8_t *put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; return p + 2; }

static uint8_t *put_string(uint8_t *p, const char *s) {
    size_t n = strlen(s);
    memcpy(put16(p, (uint32_t)n), s, n);
    return p + 2 + n;
}

static uint8_t *put_varint(uint8_t *p, uint32_t v) {
    for (; v >= 128; v >>= 7) *p++ = (uint8_t)(v | 128);
    *p++ = (uint8_t)v;
    return p;
}

static size_t put_frame(uint8_t *dst, uint8_t first, const uint8_t *body, size_t n) {
    *dst = first;
    uint8_t *p = put_varint(dst + 1, (uint32_t)n);
    memcpy(p, body, n);
    return (size_t)(p - dst) + n;
}

static size_t encode_connect(uint8_t *dst, const char *client_id) {
    uint8_t body[128], *p = put_string(body, "MQTT");
    *p++ = (uint8_t)plan.version;
    *p++ = plan.persistent ? 0 : 2;                     /* clean session */
    p = put16(p, 65535);                                /* keepalive: nobody here sends PINGREQ; rumqttd refuses 0 */
    if (plan.version == 5) *p++ = 0;
    p = put_string(p, client_id);
    return put_frame(dst, CONNECT << 4, body, (size_t)(p - body));
}

static size_t encode_subscribe(uint8_t *dst, const char *filter, uint32_t subid) {
    uint8_t body[128], *p = put16(body, 1);
    if (plan.version == 5) {
        *p++ = subid ? 2 : 0;
        if (subid) { *p++ = 0x0B; *p++ = (uint8_t)subid; }
    }
    p = put_string(p, filter);
    *p++ = (uint8_t)plan.qos;
    return put_frame(dst, SUBSCRIBE << 4 | 2, body, (size_t)(p - body));
}

/* The sessions that a persistent run leaves behind must not get the messages of the next. */
static void topic_of(char *dst, uint32_t index) {
    if (plan.persistent)
        sprintf(dst, "bench/%d/%u", getpid(), plan.all ? 0 : index);
    else
        sprintf(dst, "bench/%u", plan.all ? 0 : index);
}

/* The frame a publisher repeats.  With --alias the topic travels in the first one only. */
static void make_publish(Conn *c, bool first) {
    char topic[32];
    topic_of(topic, c->index);
    uint8_t head[256], *p = put_string(head, plan.alias && !first ? "" : topic);
    size_t id_at = (size_t)(p - head);
    if (plan.qos) p += 2;
    if (plan.version == 5) {
        p = put_varint(p, (uint32_t)(user_properties_len + (plan.alias ? 3 : 0)));
        if (plan.alias) { *p++ = 0x23; p = put16(p, 1); }
        memcpy(p, user_properties, user_properties_len);
        p += user_properties_len;
    }
    size_t head_len = (size_t)(p - head);
    free(c->frame);
    c->frame = need(8 + head_len + plan.size);
    c->frame[0] = (uint8_t)(PUBLISH << 4 | plan.qos << 1);
    size_t fixed = (size_t)(put_varint(c->frame + 1, (uint32_t)(head_len + plan.size)) - c->frame);
    memcpy(c->frame + fixed, head, head_len);
    c->id_at = fixed + id_at;
    c->payload_at = fixed + head_len;
    c->frame_len = c->payload_at + plan.size;
    memset(c->frame + c->payload_at, 'x', plan.size);
    memcpy(c->frame + c->payload_at, &c->index, 4);
}


/* ---- transports: plain, TLS (--tls), WebSocket (--ws), or both -------------------------------------------- */

/* OpenSSL's functions, found when they are needed, so that building needs nothing of it. */
static struct {
    void *(*method)(void), *(*context)(void *), *(*new)(void *);
    long (*control)(void *, int, long, void *);
    int (*set_fd)(void *, int), (*connect)(void *), (*read)(void *, void *, int), (*write)(void *, const void *, int);
    int (*error)(void *, int);
    void (*forget_errors)(void), (*free)(void *);
    void *ctx;
} ssl;

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) die("%s", dlerror());
    return found;
}

static void load_openssl(void) {
    void *lib = dlopen("libssl.so.3", RTLD_NOW);
    if (!lib) die("%s", dlerror());
    *(void **)&ssl.method = symbol(lib, "TLS_client_method");
    *(void **)&ssl.context = symbol(lib, "SSL_CTX_new");
    *(void **)&ssl.control = symbol(lib, "SSL_CTX_ctrl");
    *(void **)&ssl.new = symbol(lib, "SSL_new");
    *(void **)&ssl.set_fd = symbol(lib, "SSL_set_fd");
    *(void **)&ssl.connect = symbol(lib, "SSL_connect");
    *(void **)&ssl.read = symbol(lib, "SSL_read");
    *(void **)&ssl.write = symbol(lib, "SSL_write");
    *(void **)&ssl.error = symbol(lib, "SSL_get_error");
    *(void **)&ssl.free = symbol(lib, "SSL_free");
    *(void **)&ssl.forget_errors = symbol(lib, "ERR_clear_error");
    ssl.ctx = ssl.context(ssl.method());
    enum { MODE = 33, PARTIAL_WRITE = 1, MOVING_BUFFER = 2, RELEASE_BUFFERS = 16 };
    if (!ssl.ctx) die("OpenSSL does not start");
    ssl.control(ssl.ctx, MODE, PARTIAL_WRITE | MOVING_BUFFER | RELEASE_BUFFERS, NULL);
}

/* What TLS calls a wait, as errno has it. */
static ssize_t tls_outcome(Conn *c, int result) {
    enum { WANT_READ = 2, WANT_WRITE = 3, CLOSED_BY_PEER = 6 };
    int error = ssl.error(c->tls, result);
    if (error == CLOSED_BY_PEER) return 0;
    errno = error == WANT_READ || error == WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

/* As `send`. */
static ssize_t put(Conn *c, const uint8_t *p, size_t n, int flags) {
    if (!c->tls) return send(c->fd, p, n, MSG_NOSIGNAL | flags);
    ssl.forget_errors();
    int done = ssl.write(c->tls, p, (int)n);
    return done > 0 ? done : tls_outcome(c, done);
}

/* As `recv`. TLS gives a record at a time, and all of them are wanted: the poller tells of them once. */
static ssize_t get(Conn *c, uint8_t *p, size_t n, int flags) {
    if (!c->tls) return recv(c->fd, p, n, flags);
    size_t got = 0;
    do {
        ssl.forget_errors();
        int done = ssl.read(c->tls, p + got, (int)(n - got));
        if (done <= 0) return got ? (ssize_t)got : tls_outcome(c, done);
        got += (size_t)done;
    } while (got < n && flags & MSG_DONTWAIT);
    return (ssize_t)got;
}

static void get_all(Conn *c, uint8_t *p, size_t n) {
    for (ssize_t got; n; p += got, n -= (size_t)got)
        if ((got = get(c, p, n, 0)) <= 0) die("connection %u was closed", c->index);
}

/* The header of a frame for n bytes whose mask is zero, so that they go as they are.  Returns its length. */
static size_t put_head(uint8_t *p, size_t n) {
    size_t extended = n < 126 ? 0 : n < 65536 ? 2 : 8;
    p[0] = 0x82;
    p[1] = 0x80 | (uint8_t)(n < 126 ? n : extended == 2 ? 126 : 127);
    for (size_t i = 0; i < extended; i++) p[2 + i] = (uint8_t)((uint64_t)n >> 8 * (extended - 1 - i));
    memset(p + 2 + extended, 0, 4);
    return 6 + extended;
}

static size_t head_size(const uint8_t *head, size_t n) {
    return n < 2 ? 2 : head[1] == 126 ? 4 : head[1] == 127 ? 10 : 2;
}

/* Takes frame headers out of p[0..n), in place.  Returns how many bytes of payload are left. */
static size_t unframe(Conn *c, uint8_t *p, size_t n) {
    size_t out = 0;
    for (size_t at = 0; at < n;) {
        if (!c->frame_left) {
            c->head[c->head_len++] = p[at++];
            size_t size = head_size(c->head, c->head_len);
            if (c->head_len < size) continue;
            if (c->head[0] != 0x82 && c->head[0] != 0x02 && c->head[0] & 0x7f) die("a frame of type 0x%02x", c->head[0]);
            c->frame_left = size == 2 ? c->head[1] : 0;
            for (size_t i = 2; i < size; i++) c->frame_left = c->frame_left << 8 | c->head[i];
            c->head_len = 0;
            continue;
        }
        size_t step = n - at < c->frame_left ? n - at : (size_t)c->frame_left;
        memmove(p + out, p + at, step);
        out += step;
        at += step;
        c->frame_left -= step;
    }
    return out;
}

/* Before there is a poller: a small packet out, and bytes in. */
static void say(Conn *c, const uint8_t *p, size_t n) {
    uint8_t packet[512];
    size_t head = plan.ws ? put_head(packet, n) : 0;
    memcpy(packet + head, p, n);
    if (put(c, packet, head + n, 0) != (ssize_t)(head + n)) die("connection %u: %s", c->index, strerror(errno));
}

static void hear(Conn *c, uint8_t *p, size_t n) {
    while (n) {
        if (plan.ws && !c->frame_left) {
            uint8_t byte;
            get_all(c, &byte, 1);
            unframe(c, &byte, 1);
            continue;
        }
        size_t step = plan.ws && c->frame_left < n ? (size_t)c->frame_left : n;
        get_all(c, p, step);
        if (plan.ws) c->frame_left -= step;
        p += step;
        n -= step;
    }
}

static void shake_hands(Conn *c) {
    static const char request[] =
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    char answer[2048] = "";
    if (plan.tls) {
        c->tls = ssl.new(ssl.ctx);
        if (!c->tls || !ssl.set_fd(c->tls, c->fd) || ssl.connect(c->tls) != 1) die("connection %u: no TLS", c->index);
    }
    if (!plan.ws) return;
    if (put(c, (const uint8_t *)request, sizeof request - 1, 0) <= 0) die("connection %u: no answer", c->index);
    for (size_t n = 0; n < sizeof answer - 1 && !strstr(answer, "\r\n\r\n"); n++) get_all(c, (uint8_t *)answer + n, 1);
    if (strncmp(answer, "HTTP/1.1 101", 12)) die("connection %u: %.60s", c->index, answer);
}


/* ---- connections ----------------------------------------------------------------------------------------- */

static void watch(Conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->tls) fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void close_conn(Conn *c) {
    if (c->state == CLOSED) return;
    if (c->tls) ssl.free(c->tls);
    close(c->fd);
    c->state = CLOSED;
    c->writable = false;
}

static void lost_conn(Conn *c) {
    if (c->state == CLOSED) return;
    books.disconnects++;
    close_conn(c);
}

/* A TCP connection from one of --sources loopback addresses, so that ports do not run out. */
static void dial(Conn *c, bool wait) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    if (c->fd < 0) die("socket %u: %s", c->index, strerror(errno));
    if (plan.nodelay) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
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

static void open_session(Conn *c, const char *kind) {
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

static void open_subscription(Conn *c, const char *filter) {
    uint8_t packet[256], reply[128];
    size_t n = encode_subscribe(packet, filter, plan.subids ? 1 + c->index % 100 : 0);
    say(c, packet, n);
    expect(c, SUBACK, reply, &n);
    if (reply[n - 1] != plan.qos) die("connection %u: SUBACK says 0x%02x", c->index, reply[n - 1]);
}


/* ---- output ---------------------------------------------------------------------------------------------- */

static uint8_t *room_for(Conn *c, size_t n) {
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

static void flush_out(Conn *c) {
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

static void answer(Conn *c, uint8_t type, uint16_t id) {
    uint8_t *p = room_for(c, 4);
    p[0] = (uint8_t)(type << 4 | (type == PUBREL ? 2 : 0));
    p[1] = 2;
    put16(p + 2, id);
}

static void append_publish(Conn *c, uint64_t due) {
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
    if (c->sent++ == 0 && plan.alias) make_publish(c, false);
}


/* ---- input ----------------------------------------------------------------------------------------------- */

static uint64_t arrival_time;                           /* when the bytes being scanned were read */

/* A number other than the next one: something is missing, late, or here twice. */
static bool take_out_of_turn(Stream *s, uint32_t number) {
    if (number > s->next) {
        if (s->gaps == s->room) {
            s->room = s->room ? 2 * s->room : 16;
            s->gap = realloc(s->gap, s->room * sizeof *s->gap);
            if (!s->gap) die("out of memory");
        }
        s->gap[s->gaps++] = (Gap){s->next, number};
        s->next = number + 1;
        return true;
    }
    for (uint32_t i = 0; i < s->gaps; i++) {
        Gap *g = &s->gap[i], rest = *g;
        if (number < g->from || number >= g->to) continue;
        g->to = number;
        rest.from = number + 1;
        books.out_of_order++;
        if (rest.from == rest.to) return true;
        if (g->from == g->to) { *g = rest; return true; }
        uint32_t next = s->next;
        s->next = rest.from;                            /* the part behind `number` becomes a gap of its own */
        take_out_of_turn(s, rest.to);
        s->next = next;
        return true;
    }
    books.duplicated++;
    return false;
}

static inline void take(Conn *c, const Arrival *a, uint8_t last_byte) {
    books.last_progress = arrival_time;
    if (a->qos == 2 && c->ids[a->id]) { answer(c, PUBREC, a->id); return; }     /* sent again: same message */
    if (a->qos == 1) answer(c, PUBACK, a->id);
    if (a->qos == 2) { c->ids[a->id] = PUBREL; answer(c, PUBREC, a->id); }
    uint32_t stream = a->publisher - c->first_publisher;
    bool known = plan.all ? stream < plan.pubs : stream == 0;
    bool whole = a->payload == plan.size && (plan.size == STAMP_SIZE || last_byte == (uint8_t)a->number);
    if (!known || !whole || !a->sound || a->qos != plan.qos) { books.corrupt++; return; }
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
    a->sound = topic > 6 && properties == user_properties_len + (plan.subids ? 2 : 0);
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

static void admitted(Conn *c, uint8_t reason);

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

static void receive(Conn *c) {
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

static void poll_once(uint64_t timeout_ns) {
    static struct epoll_event events[EVENTS];
    struct timespec timeout = {(time_t)(timeout_ns / SECOND), (long)(timeout_ns % SECOND)};
    int n = epoll_pwait2(poller, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        Conn *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT && c->state != CLOSED) {
            c->writable = true;
            if (c->out_to) flush_out(c);
        }
        if (events[i].events & ~(uint32_t)EPOLLOUT && c->state != CLOSED) receive(c);
    }
}


/* ---- flow ------------------------------------------------------------------------------------------------ */

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
        if (c->publisher) {
            make_publish(c, true);
            continue;
        }
        char topic[32];
        topic_of(topic, c->index);
        open_subscription(c, topic);
        c->first_publisher = plan.all ? 0 : c->index;
        c->streams = need((plan.all ? plan.pubs : 1) * sizeof *c->streams);
        books.expected += plan.all ? plan.messages : share_of(c->index);
    }
    for (uint32_t i = 0; i < n_conns; i++) watch(&conns[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    poll_once(SECOND / 10);                                     /* everybody hears that he may write */
}

static void report_flow(double seconds, double user, double system) {
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
           100 * (user + system) / seconds, user, system);
    if (plan.rate > 0 || plan.acks)
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f", percentile_us(0.50),
               percentile_us(0.99), percentile_us(0.999), (double)histogram_max / 1e3);
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

static int run_flow(void) {
    open_flow();
    double user = cpu_seconds(0), system = cpu_seconds(1);
    uint64_t time = books.began = books.last_progress = books.last_arrival = now();
    bool complete = false;
    while (!complete && time - books.last_progress < plan.quiet_ms * 1000000ull) {
        bool more = publish_turn(time);
        if (!books.published_at && all_published()) books.published_at = time;
        poll_once(more ? 0 : plan.rate > 0 ? may_sleep(time) : SECOND / 20);
        time = now();
        complete = books.received >= books.expected && books.published_at;
    }
    user = cpu_seconds(0) - user;
    system = cpu_seconds(1) - system;
    if (!books.published_at) books.published_at = time;
    uint64_t end = books.last_arrival > books.published_at ? books.last_arrival : books.published_at;
    for (uint64_t until = now() + SECOND / 50; now() < until;) poll_once(SECOND / 1000);   /* duplicates come late */
    report_flow((double)(end - books.began) / 1e9, user, system);
    return books.received == books.expected && !books.corrupt && !books.disconnects && !books.bad_acks ? 0 : 2;
}


/* ---- connect --------------------------------------------------------------------------------------------- */

static uint32_t started, finished, refused;

static void send_connect(Conn *c) {
    uint8_t packet[256];
    char client_id[40];
    sprintf(client_id, "storm-%d-%u", getpid(), started);
    size_t n = encode_connect(packet, client_id);
    if (send(c->fd, packet, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n) {
        c->state = WAIT_CONNACK;
        started++;
    } else if (errno != EAGAIN) {
        lost_conn(c);
    }
}

static void start_connect(Conn *c) {
    c->state = CONNECTING;
    c->tail_len = 0;
    c->started = now();
    dial(c, false);
    send_connect(c);                                    /* over loopback it stands although connect() says "in progress" */
    if (c->state != CLOSED) watch(c, EPOLLIN | EPOLLRDHUP | (c->state == CONNECTING ? EPOLLOUT : 0) | EPOLLET);
}

static void admitted(Conn *c, uint8_t reason) {
    static const uint8_t goodbye[] = {DISCONNECT << 4, 0};
    uint64_t time = now();
    if (reason) refused++;
    else record(time - c->started);
    books.last_progress = time;
    finished++;
    send(c->fd, goodbye, sizeof goodbye, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);     /* leaves with the FIN */
    close_conn(c);
}

static int run_connect(void) {
    n_conns = plan.concurrency < plan.connections ? plan.concurrency : plan.connections;
    conns = need(n_conns * sizeof *conns);
    double user = cpu_seconds(0), system = cpu_seconds(1);
    books.began = books.last_progress = now();
    for (uint32_t i = 0; i < n_conns; i++) {
        conns[i].index = i;
        conns[i].tail = need(HEAD_ROOM);
        conns[i].state = CLOSED;
    }
    uint32_t opened = 0;
    while (finished + books.disconnects < plan.connections && now() - books.last_progress < plan.quiet_ms * 1000000ull) {
        for (uint32_t i = 0; i < n_conns; i++) {
            Conn *c = &conns[i];
            if (c->state == CLOSED && opened < plan.connections) { opened++; start_connect(c); }
            if (c->state == CONNECTING && c->writable) { c->writable = false; send_connect(c); }
        }
        poll_once(SECOND / 20);
    }
    double seconds = (double)(books.last_progress - books.began) / 1e9;
    user = cpu_seconds(0) - user;
    system = cpu_seconds(1) - system;
    printf("{\"mode\": \"connect\", \"label\": \"%s\", \"version\": %u, \"expected\": %u, \"received\": %u, \"refused\": %u, "
           "\"disconnects\": %lu, \"concurrency\": %u, \"delivered\": %.6f, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"p999_us\": %.1f, \"cpu_percent\": %.1f}\n",
           plan.label, plan.version, plan.connections, finished - refused, refused, books.disconnects, n_conns,
           (double)(finished - refused) / plan.connections, seconds, finished / seconds, percentile_us(0.50), percentile_us(0.99),
           percentile_us(0.999), 100 * (user + system) / seconds);
    return finished - refused == plan.connections ? 0 : 2;
}


/* ---- idle ------------------------------------------------------------------------------------------------ */

static int run_idle(void) {
    conns = need(plan.connections * sizeof *conns);
    for (uint32_t i = 0; i < plan.connections; i++) {
        char filter[32];
        conns[i].index = i;
        open_session(&conns[i], "idle");
        sprintf(filter, "idle/%u", i);
        if (plan.subscribe) open_subscription(&conns[i], filter);
    }
    printf("READY\n");
    fflush(stdout);
    while (getchar() != EOF) {}
    uint32_t open = 0;
    for (uint32_t i = 0; i < plan.connections; i++) {
        uint8_t byte;
        open += recv(conns[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
    }
    printf("{\"mode\": \"idle\", \"label\": \"%s\", \"expected\": %u, \"received\": %u}\n", plan.label, plan.connections, open);
    return open == plan.connections ? 0 : 2;
}


/* ---- command line ---------------------------------------------------------------------------------------- */

typedef struct { const char *name; enum { NUMBER, REAL, TEXT, FLAG } kind; void *at; const char *help; } Option;

static const Option options[] = {
    {"host", TEXT, &plan.host, "IPv4 address of the broker (127.0.0.1)"},
    {"port", NUMBER, &plan.port, "its port (1883)"},
    {"cpu", NUMBER, &plan.cpu, "run on this core only"},
    {"label", TEXT, &plan.label, "repeated in the result"},
    {"nodelay", FLAG, &plan.nodelay, "set TCP_NODELAY (most client libraries do not)"},
    {"tls", FLAG, &plan.tls, "flow, idle: over TLS, whatever the certificate"},
    {"ws", FLAG, &plan.ws, "flow, idle: over WebSocket, path /mqtt"},
    {"version", NUMBER, &plan.version, "4 for MQTT 3.1.1, 5 for 5.0 (4)"},
    {"sources", NUMBER, &plan.sources, "spread connections over that many 127.0.0.x (1)"},
    {"quiet", NUMBER, &plan.quiet_ms, "give up after that many ms without progress (5000)"},
    {"pubs", NUMBER, &plan.pubs, "flow: publishers (1)"},
    {"subs", NUMBER, &plan.subs, "flow: subscribers (1)"},
    {"shape", TEXT, &plan.shape, "flow: pairs (publisher i to subscriber i) or all (everyone on one topic)"},
    {"messages", NUMBER, &plan.messages, "flow: messages published, by all together (100000)"},
    {"size", NUMBER, &plan.size, "flow: payload bytes, at least 16 (64)"},
    {"batch", NUMBER, &plan.batch, "flow: messages a write, at most (1)"},
    {"qos", NUMBER, &plan.qos, "flow: 0, 1 or 2, both ways (0)"},
    {"window", NUMBER, &plan.window, "flow: unacknowledged messages a publisher (32)"},
    {"rate", REAL, &plan.rate, "flow: messages a second, all together; measures latency (0: flat out)"},
    {"tick", NUMBER, &plan.tick_us, "flow: with --rate, send in bursts every so many microseconds (0: evenly)"},
    {"persistent", FLAG, &plan.persistent, "flow, MQTT 3.1.1: sessions that outlive their connections"},
    {"acks", FLAG, &plan.acks, "flow: latency from sending to acknowledgement instead of to delivery"},
    {"properties", FLAG, &plan.properties, "flow, MQTT 5: a content type and a user property in each message"},
    {"alias", FLAG, &plan.alias, "flow, MQTT 5: publishers use a topic alias"},
    {"subids", FLAG, &plan.subids, "flow, MQTT 5: subscription identifiers"},
    {"per-subscriber", FLAG, &plan.per_subscriber, "flow: what each subscriber received"},
    {"connections", NUMBER, &plan.connections, "connect, idle: how many (1000)"},
    {"concurrency", NUMBER, &plan.concurrency, "connect: at a time (64)"},
    {"subscribe", FLAG, &plan.subscribe, "idle: each connection subscribes to a topic of its own"},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static _Noreturn void usage(void) {
    fputs("usage: loadgen flow|connect|idle [options]\n", stderr);
    for (size_t i = 0; i < N_OPTIONS; i++) fprintf(stderr, "  --%-15s %s\n", options[i].name, options[i].help);
    exit(64);
}

static void set_option(const Option *o, const char *value) {
    char *end = "";
    if (o->kind == FLAG) *(bool *)o->at = true;
    if (o->kind == TEXT) *(const char **)o->at = value;
    if (o->kind == REAL) *(double *)o->at = strtod(value, &end);
    if (o->kind == NUMBER) *(uint32_t *)o->at = (uint32_t)strtoul(value, &end, 10);
    if (*end) die("--%s: not a number: %s", o->name, value);
}

static void read_options(int argc, char **argv) {
    struct option table[N_OPTIONS + 1] = {0};
    for (size_t i = 0; i < N_OPTIONS; i++)
        table[i] = (struct option){options[i].name, options[i].kind == FLAG ? no_argument : required_argument, NULL, (int)i};
    for (int i; (i = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (i == '?') usage();
        set_option(&options[i], optarg);
    }
    if (optind + 1 != argc) usage();
    plan.mode = argv[optind];
    plan.all = !strcmp(plan.shape, "all");
    if (!plan.all && strcmp(plan.shape, "pairs")) die("--shape is pairs or all");
    if (!plan.all && plan.pubs != plan.subs) die("pairs need as many publishers as subscribers");
    if (plan.size < STAMP_SIZE || plan.size > 200u << 20) die("--size is 16 bytes to 200 MiB");
    if (plan.qos > 2 || !plan.batch || !plan.window || !plan.pubs || !plan.concurrency) die("an option is out of range");
    if ((plan.tls || plan.ws) && !strcmp(plan.mode, "connect")) die("connect is for plain TCP only");
    if (plan.version != 4 && plan.version != 5) die("--version is 4 or 5");
    if (plan.version == 4 && (plan.properties || plan.alias || plan.subids)) die("properties need --version 5");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    if (plan.cpu >= 0) pin(plan.cpu);
    if (plan.properties) {
        static const uint8_t type_and_user[] = "\x03\x00\x0atext/plain\x26\x00\x04unit\x00\x02mV";
        user_properties_len = sizeof type_and_user - 1;
        memcpy(user_properties, type_and_user, user_properties_len);
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    poller = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);                           /* OpenSSL writes without MSG_NOSIGNAL */
    if (plan.tls) load_openssl();
    if (!strcmp(plan.mode, "flow")) return run_flow();
    if (!strcmp(plan.mode, "connect")) return run_connect();
    if (!strcmp(plan.mode, "idle")) return run_idle();
    usage();
}
