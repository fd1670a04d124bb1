/* Mode `connect`: CONNECT, CONNACK, DISCONNECT as often as it goes. */
#include "loadgen.h"

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

void admitted(Conn *c, uint8_t reason) {
    static const uint8_t goodbye[] = {DISCONNECT << 4, 0};
    uint64_t time = now();
    if (reason) refused++;
    else record(time - c->started);
    books.last_progress = time;
    finished++;
    send(c->fd, goodbye, sizeof goodbye, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);     /* leaves with the FIN */
    close_conn(c);
}

int run_connect(void) {
    n_conns = plan.concurrency < plan.connections ? plan.concurrency : plan.connections;
    conns = need(n_conns * sizeof *conns);
    Cpu used = cpu_since((Cpu){0});
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
    used = cpu_since(used);
    printf("{\"mode\": \"connect\", \"label\": \"%s\", \"version\": %u, \"expected\": %u, \"received\": %u, \"refused\": %u, "
           "\"disconnects\": %lu, \"concurrency\": %u, \"delivered\": %.6f, \"seconds\": %.6f, \"rate\": %.1f, \"cpu_percent\": %.1f",
           plan.label, plan.version, plan.connections, finished - refused, refused, books.disconnects, n_conns,
           (double)(finished - refused) / plan.connections, seconds, finished / seconds,
           100 * (used.user + used.system) / seconds);
    print_latency();
    printf("}\n");
    return finished - refused == plan.connections ? 0 : 2;
}
