/* Which connections can be read and written. */
#include "loadgen.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <time.h>

enum { EVENTS = 2048 };
static int poller;

void start_poller(void) {
    prctl(PR_SET_TIMERSLACK, 1000);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1: %s", strerror(errno));
}

void watch(Conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->tls) fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

void poll_once(uint64_t timeout_ns) {
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
