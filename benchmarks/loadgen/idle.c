/* Mode `idle`: holds connections open until standard input ends. */
#include "loadgen.h"

int run_idle(void) {
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
    printf("{\"mode\": \"idle\", \"label\": \"%s\", \"expected\": %u, \"received\": %u, \"delivered\": %.6f}\n",
           plan.label, plan.connections, open, (double)open / plan.connections);
    return open == plan.connections ? 0 : 2;
}
