"""Packets as records: compared and shown by their fields. `properties` is a dict by property name."""


cdef class Packet:
    fields = ()

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.fields)

    __hash__ = None

    def __repr__(self):
        shown = ", ".join(f"{field}={self.hidden(field)!r}" for field in self.fields)
        return f"{type(self).__name__}({shown})"

    def hidden(self, str field):
        """The value to show: a password never reaches a log."""
        value = getattr(self, field)
        return b"***" if field == "password" and value is not None else value


cdef class Will(Packet):
    fields = ("topic", "payload", "qos", "retain", "properties")

    def __init__(self, str topic, bytes payload=b"", int qos=0, bint retain=False, dict properties=None):
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties or {}


cdef class Connect(Packet):
    fields = ("proto_name", "proto_ver", "is_bridge", "clean_start", "keepalive", "client_id", "username",
              "password", "will", "properties")

    def __init__(self, str client_id="", int proto_ver=4, *, str proto_name=None, bint is_bridge=False,
                 bint clean_start=True, int keepalive=60, str username=None, bytes password=None,
                 Will will=None, dict properties=None):
        self.proto_name = proto_name or ("MQIsdp" if proto_ver == 3 else "MQTT")
        self.proto_ver = proto_ver
        self.is_bridge = is_bridge
        self.clean_start = clean_start
        self.keepalive = keepalive
        self.client_id = client_id
        self.username = username
        self.password = password
        self.will = will
        self.properties = properties or {}


cdef class Connack(Packet):
    fields = ("session_present", "reason_code", "properties")

    def __init__(self, bint session_present=False, int reason_code=0, dict properties=None):
        self.session_present = session_present
        self.reason_code = reason_code
        self.properties = properties or {}


cdef class PublishPacket(Packet):
    fields = ("topic", "payload", "qos", "retain", "dup", "packet_id", "properties")

    def __init__(self, str topic, bytes payload=b"", int qos=0, bint retain=False, bint dup=False,
                 int packet_id=0, dict properties=None):
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties or {}


cdef class Ack(Packet):
    fields = ("type", "packet_id", "reason_code", "properties")

    def __init__(self, int type, int packet_id, int reason_code=0, dict properties=None):
        self.type = type
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties or {}


cdef class Subscribe(Packet):
    fields = ("packet_id", "filters", "properties")

    def __init__(self, int packet_id, list filters not None, dict properties=None):
        self.packet_id = packet_id
        self.filters = filters
        self.properties = properties or {}


cdef class Suback(Packet):
    fields = ("packet_id", "reason_codes", "properties")

    def __init__(self, int packet_id, list reason_codes not None, dict properties=None):
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties or {}


cdef class Unsubscribe(Packet):
    fields = ("packet_id", "filters", "properties")

    def __init__(self, int packet_id, list filters not None, dict properties=None):
        self.packet_id = packet_id
        self.filters = filters
        self.properties = properties or {}


cdef class Unsuback(Packet):
    fields = ("packet_id", "reason_codes", "properties")

    def __init__(self, int packet_id, list reason_codes=None, dict properties=None):
        self.packet_id = packet_id
        self.reason_codes = reason_codes or []
        self.properties = properties or {}


cdef class Pingreq(Packet):
    pass


cdef class Pingresp(Packet):
    pass


cdef class Disconnect(Packet):
    fields = ("reason_code", "properties")

    def __init__(self, int reason_code=0, dict properties=None):
        self.reason_code = reason_code
        self.properties = properties or {}


cdef class Auth(Packet):
    fields = ("reason_code", "properties")

    def __init__(self, int reason_code=0, dict properties=None):
        self.reason_code = reason_code
        self.properties = properties or {}
