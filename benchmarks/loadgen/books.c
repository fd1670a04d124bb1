/* What was sent, what came, how long it took. */
#include "loadgen.h"
#include <stdarg.h>
#include <sys/resource.h>
#include <time.h>

Books books;

_Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

void *need(size_t n) {
    void *p = calloc(1, n ? n : 1);
    if (!p) die("out of memory");
    return p;
}

uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

/* What this process used since; since its start for zeros. */
Cpu cpu_since(Cpu before) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (Cpu){seconds(use.ru_utime) - before.user, seconds(use.ru_stime) - before.system};
}

/* Latency: log-linear buckets, 64 to each power of two, so within 1.6 %. */
enum { SUB_BITS = 6, BUCKETS = (64 - SUB_BITS + 1) << SUB_BITS };
static uint64_t histogram[BUCKETS], histogram_total, histogram_max;

void record(uint64_t ns) {
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

static const double shares[] = {0, .05, .1, .25, .5, .75, .9, .95, .98, .99, .995, .998, .999, .9995, .9999, 1};

/* Members of an object: some percentiles by name, and the distribution as pairs [share, µs]. */
void print_latency(void) {
    printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"distribution_us\": [",
           percentile_us(.5), percentile_us(.99), percentile_us(.999), (double)histogram_max / 1e3);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        printf("%s[%g, %.1f]", i ? ", " : "", shares[i], percentile_us(shares[i]));
    printf("]");
}

/* A number other than the next one: something is missing, late, or here twice. */
bool take_out_of_turn(Stream *s, uint32_t number) {
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
