/* Bytes over plain TCP, TLS (--tls), WebSocket (--ws), or both. */
#include "loadgen.h"
#include <dlfcn.h>
#include <signal.h>

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

void load_openssl(void) {
    signal(SIGPIPE, SIG_IGN);                           /* OpenSSL writes without MSG_NOSIGNAL */
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

void free_tls(Conn *c) {
    if (c->tls) ssl.free(c->tls);
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
ssize_t put(Conn *c, const uint8_t *p, size_t n, int flags) {
    if (!c->tls) return send(c->fd, p, n, MSG_NOSIGNAL | flags);
    ssl.forget_errors();
    int done = ssl.write(c->tls, p, (int)n);
    return done > 0 ? done : tls_outcome(c, done);
}

/* As `recv`. TLS gives a record at a time, and all of them are wanted: the poller tells of them once. */
ssize_t get(Conn *c, uint8_t *p, size_t n, int flags) {
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
        if ((got = get(c, p, n, 0)) <= 0)
            die(got < 0 && errno == EAGAIN ? "connection %u: no answer" : "connection %u was closed", c->index);
}

/* The header of a frame for n bytes whose mask is zero, so that they go as they are.  Returns its length. */
size_t put_head(uint8_t *p, size_t n) {
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
size_t unframe(Conn *c, uint8_t *p, size_t n) {
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
void say(Conn *c, const uint8_t *p, size_t n) {
    uint8_t packet[512];
    size_t head = plan.ws ? put_head(packet, n) : 0;
    memcpy(packet + head, p, n);
    if (put(c, packet, head + n, 0) != (ssize_t)(head + n)) die("connection %u: %s", c->index, strerror(errno));
}

void hear(Conn *c, uint8_t *p, size_t n) {
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

void shake_hands(Conn *c) {
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
