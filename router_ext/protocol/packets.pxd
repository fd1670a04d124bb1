"""Packets as records, one class each; the four acknowledgements share one.

What the codec makes of bytes, and encodes. CONNECT, AUTH and DISCONNECT reach the broker as such; PUBLISH, SUBSCRIBE
and acknowledgements of a connected client do not become objects. A record owns its values and knows nothing of
connections; it is checked by the codec, not here.
"""

cdef class Packet:
    pass

cdef class Will(Packet):
    cdef public str topic
    cdef public bytes payload
    cdef public int qos
    cdef public bint retain
    cdef public dict properties
    cdef public object publisher       # the broker's own: the client whose will it is

cdef class Connect(Packet):
    cdef public str proto_name
    cdef public int proto_ver          # 3, 4 or 5, without the bridge bit
    cdef public bint is_bridge         # 0x80 in the level: a convention of bridges, not of the specification
    cdef public bint clean_start       # "clean session" before MQTT 5
    cdef public int keepalive          # seconds
    cdef public str client_id
    cdef public str username           # or None
    cdef public bytes password         # or None
    cdef public Will will              # or None
    cdef public dict properties

cdef class Connack(Packet):
    cdef public bint session_present
    cdef public int reason_code
    cdef public dict properties

cdef class PublishPacket(Packet):
    cdef public str topic
    cdef public bytes payload
    cdef public int qos
    cdef public bint retain
    cdef public bint dup
    cdef public int packet_id          # 0 with QoS 0
    cdef public dict properties

cdef class Ack(Packet):
    cdef public int type               # PUBACK, PUBREC, PUBREL or PUBCOMP
    cdef public int packet_id
    cdef public int reason_code
    cdef public dict properties

cdef class Subscribe(Packet):
    cdef public int packet_id
    cdef public list filters           # of (filter as sent, option byte)
    cdef public dict properties

cdef class Suback(Packet):
    cdef public int packet_id
    cdef public list reason_codes
    cdef public dict properties

cdef class Unsubscribe(Packet):
    cdef public int packet_id
    cdef public list filters
    cdef public dict properties

cdef class Unsuback(Packet):
    cdef public int packet_id
    cdef public list reason_codes      # empty before MQTT 5
    cdef public dict properties

cdef class Pingreq(Packet):
    pass

cdef class Pingresp(Packet):
    pass

cdef class Disconnect(Packet):
    cdef public int reason_code
    cdef public dict properties

cdef class Auth(Packet):
    cdef public int reason_code
    cdef public dict properties
