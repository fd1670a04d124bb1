/* An MQTT load generator: publishers and subscribers in one thread on one core, exact books at the end.
 *
 * It has to stay cheaper than any broker it measures.  A message that leaves is a copy of a finished frame with a
 * few bytes patched; a message that arrives is looked at where it was read, and never copied.
 *
 * Every payload says who sent it, which number it is and when it was due, and ends in the low byte of its number.
 * So each subscriber knows what it lost, what came twice and what came late, without remembering single messages.
 */
#ifndef LOADGEN_H
#define LOADGEN_H
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, DISCONNECT = 14 };
enum {
    STAMP_SIZE = 16,            /* publisher u32, number u32, due time u64 */
    HEAD_ROOM = 4096,           /* more than any frame up to the end of its stamp */
    IDS = 65536,
    MOST_TOPICS = 10000000,     /* of the modes filters and retain: seven digits */
};
#define SECOND 1000000000ull

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

typedef struct {
    const char *mode, *host, *shape, *label;
    uint32_t port, pubs, subs, messages, size, batch, qos, window, version, sources, tick_us, quiet_ms;
    uint32_t connections, concurrency, filters;
    double rate, limit;
    int cpu;
    bool persistent, acks, properties, alias, subids, subscribe, per_subscriber, nodelay, all, tls, ws, by_topic;
} Plan;

typedef struct {
    uint64_t expected, received, duplicated, out_of_order, corrupt, bad_acks, disconnects, send_calls, read_calls;
    uint64_t disconnect_reason;                         /* of the last DISCONNECT that came */
    uint64_t began, published_at, last_arrival, last_progress;
} Books;

extern Plan plan;
extern Books books;
extern Conn *conns, *publishers, *subscribers;
extern uint32_t n_conns;

/* The modes; each prints one line of JSON and returns the exit status: 0, or 2 when the books do not balance. */
int run_flow(void);
int run_connect(void);
int run_idle(void);
int run_filters(void);
int run_retain(void);

/* books.c */
_Noreturn void die(const char *format, ...);
void *need(size_t n);
uint64_t now(void);
typedef struct { double user, system; } Cpu;            /* seconds */
Cpu cpu_since(Cpu before);
void record(uint64_t ns);                               /* one latency */
void print_latency(void);
bool take_out_of_turn(Stream *s, uint32_t number);

/* packets.c */
uint8_t *put16(uint8_t *p, uint32_t v);
uint8_t *put_string(uint8_t *p, const char *s);
uint8_t *put_varint(uint8_t *p, uint32_t v);
size_t put_frame(uint8_t *dst, uint8_t first, const uint8_t *body, size_t n);
size_t encode_connect(uint8_t *dst, const char *client_id);
size_t encode_subscribe(uint8_t *dst, const char *filter, uint32_t subid);
void topic_of(char *dst, uint32_t index);
void make_publish(Conn *c, const char *topic);
uint32_t user_properties_len(void);                     /* of the property bytes that --properties adds */

/* transport.c */
void load_openssl(void);
void free_tls(Conn *c);
void shake_hands(Conn *c);
ssize_t put(Conn *c, const uint8_t *p, size_t n, int flags);
ssize_t get(Conn *c, uint8_t *p, size_t n, int flags);
void say(Conn *c, const uint8_t *p, size_t n);
void hear(Conn *c, uint8_t *p, size_t n);
size_t put_head(uint8_t *p, size_t n);
size_t unframe(Conn *c, uint8_t *p, size_t n);

/* poller.c */
void start_poller(void);
void watch(Conn *c, uint32_t events);
void poll_once(uint64_t timeout_ns);

/* connection.c */
void dial(Conn *c, bool wait);
void open_session(Conn *c, const char *kind);
void say_subscribe(Conn *c, const char *filter);
void open_subscription(Conn *c, const char *filter);
void close_conn(Conn *c);
void lost_conn(Conn *c);
uint8_t *room_for(Conn *c, size_t n);
void flush_out(Conn *c);
void answer(Conn *c, uint8_t type, uint16_t id);
uint8_t *append_publish(Conn *c, uint64_t due);         /* returns the frame, until more is appended */

/* input.c */
void receive(Conn *c);
extern uint64_t arrival_time;                           /* when the bytes being scanned were read */

/* What input.c tells a mode of. */
void admitted(Conn *c, uint8_t reason);                 /* connect: CONNACK */
void subscribed(Conn *c, const uint8_t *body, size_t n);        /* filters: SUBACK */
void take_topic(Conn *c, const Arrival *a);             /* filters, retain: a message on a topic of its own */

#endif
