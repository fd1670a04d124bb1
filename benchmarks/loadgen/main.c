/* The command line. */
#include "loadgen.h"
#include <getopt.h>
#include <sched.h>

Plan plan = {
    .host = "127.0.0.1", .shape = "pairs", .label = "", .port = 1883, .pubs = 1, .subs = 1, .messages = 100000,
    .size = 64, .batch = 1, .window = 32, .version = 4, .sources = 1, .quiet_ms = 5000, .connections = 1000,
    .concurrency = 64, .filters = 1000, .limit = 60, .cpu = -1,
};

Conn *conns, *publishers, *subscribers;
uint32_t n_conns;

static const struct { const char *name; int (*run)(void); const char *help; } modes[] = {
    {"flow", run_flow, "publishers send, subscribers count; flat out, or paced with --rate"},
    {"connect", run_connect, "CONNECT, CONNACK, DISCONNECT as often as it goes"},
    {"idle", run_idle, "holds connections open until standard input ends"},
    {"filters", run_filters, "many wildcard filters, then messages of which each goes to one of them"},
    {"retain", run_retain, "leaves retained messages, and checks that a new subscriber gets all"},
};
enum { N_MODES = sizeof modes / sizeof *modes };

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
    {"filters", NUMBER, &plan.filters, "filters: how many (1000)"},
    {"limit", REAL, &plan.limit, "filters: seconds for either half; it goes on with what is done by then (60)"},
    {"connections", NUMBER, &plan.connections, "connect, idle: how many (1000)"},
    {"concurrency", NUMBER, &plan.concurrency, "connect: at a time (64)"},
    {"subscribe", FLAG, &plan.subscribe, "idle: each connection subscribes to a topic of its own"},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static _Noreturn void usage(void) {
    fputs("usage: loadgen MODE [options]\n", stderr);
    for (size_t i = 0; i < N_MODES; i++) fprintf(stderr, "  %-17s %s\n", modes[i].name, modes[i].help);
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
    if (!strcmp(plan.mode, "flow") && !plan.all && plan.pubs != plan.subs) die("pairs need as many publishers as subscribers");
    if (plan.size < STAMP_SIZE || plan.size > 200u << 20) die("--size is 16 bytes to 200 MiB");
    plan.by_topic = !strcmp(plan.mode, "filters") || !strcmp(plan.mode, "retain");
    if (plan.by_topic && (plan.qos || plan.version == 5)) die("%s is for MQTT 3.1.1 at QoS 0", plan.mode);
    if (plan.by_topic && (plan.batch > 200 || !plan.subs)) die("--batch is at most 200");
    if (plan.by_topic && (plan.filters > MOST_TOPICS || plan.messages > MOST_TOPICS)) die("there are %u topics", MOST_TOPICS);
    if (plan.qos > 2 || !plan.batch || !plan.window || !plan.pubs || !plan.concurrency) die("an option is out of range");
    if ((plan.tls || plan.ws) && !strcmp(plan.mode, "connect")) die("connect is for plain TCP only");
    if (plan.version != 4 && plan.version != 5) die("--version is 4 or 5");
    if (plan.version == 4 && (plan.properties || plan.alias || plan.subids)) die("properties need --version 5");
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) die("cannot run on CPU %d: %s", cpu, strerror(errno));
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    if (plan.cpu >= 0) pin(plan.cpu);
    start_poller();
    if (plan.tls) load_openssl();
    for (size_t i = 0; i < N_MODES; i++)
        if (!strcmp(plan.mode, modes[i].name)) return modes[i].run();
    usage();
}
