/* Encoding of what a client sends. */
#include "loadgen.h"

static const uint8_t user_properties[] = "\x03\x00\x0atext/plain\x26\x00\x04unit\x00\x02mV";

/* Of the properties that --properties adds. */
uint32_t user_properties_len(void) { return plan.properties ? sizeof user_properties - 1 : 0; }

uint8_t *put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; return p + 2; }

uint8_t *put_string(uint8_t *p, const char *s) {
    size_t n = strlen(s);
    memcpy(put16(p, (uint32_t)n), s, n);
    return p + 2 + n;
}

uint8_t *put_varint(uint8_t *p, uint32_t v) {
    for (; v >= 128; v >>= 7) *p++ = (uint8_t)(v | 128);
    *p++ = (uint8_t)v;
    return p;
}

size_t put_frame(uint8_t *dst, uint8_t first, const uint8_t *body, size_t n) {
    *dst = first;
    uint8_t *p = put_varint(dst + 1, (uint32_t)n);
    memcpy(p, body, n);
    return (size_t)(p - dst) + n;
}

size_t encode_connect(uint8_t *dst, const char *client_id) {
    uint8_t body[128], *p = put_string(body, "MQTT");
    *p++ = (uint8_t)plan.version;
    *p++ = plan.persistent ? 0 : 2;                     /* clean session */
    p = put16(p, 65535);                                /* keepalive: nobody here sends PINGREQ; rumqttd refuses 0 */
    if (plan.version == 5) *p++ = 0;
    p = put_string(p, client_id);
    return put_frame(dst, CONNECT << 4, body, (size_t)(p - body));
}

size_t encode_subscribe(uint8_t *dst, const char *filter, uint32_t subid) {
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
void topic_of(char *dst, uint32_t index) {
    if (plan.persistent)
        sprintf(dst, "bench/%d/%u", getpid(), plan.all ? 0 : index);
    else
        sprintf(dst, "bench/%u", plan.all ? 0 : index);
}

/* The frame a publisher repeats.  With --alias the topic travels in the first one only, and is empty later. */
void make_publish(Conn *c, const char *topic) {
    uint8_t head[256], *p = put_string(head, topic);
    size_t id_at = (size_t)(p - head);
    if (plan.qos) p += 2;
    if (plan.version == 5) {
        p = put_varint(p, user_properties_len() + (plan.alias ? 3 : 0));
        if (plan.alias) { *p++ = 0x23; p = put16(p, 1); }
        memcpy(p, user_properties, user_properties_len());
        p += user_properties_len();
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
