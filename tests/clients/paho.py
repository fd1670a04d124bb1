"""paho-mqtt for tests that need a client nobody here wrote: calls block until the broker has answered."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any, Literal

import paho.mqtt.client as paho


class Client:
    """Connects at once; `code` is CONNACK's reason code. `will` is a topic, whose message is `gone`, or topic, payload,
    QoS and RETAIN; `tls` is paths: the authority, and certificate and key of the client. `received` has all messages as
    (topic, payload, QoS, RETAIN). A context manager that leaves with DISCONNECT."""

    def __init__(self, port: int, client_id: str = "", username: str | None = None, password: str | None = None,
                 version: int = paho.MQTTv311, clean: bool = True, keepalive: int = 60, will: Any = None,
                 host: str = "127.0.0.1", transport: Literal["tcp", "websockets"] = "tcp", tls: tuple[str, ...] = (),
                 **connect: Any) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.received: list[tuple[str, bytes, int, bool]] = []
        self._acks: dict[int, threading.Event] = {}
        self._answered = threading.Event()
        self.code: int | None = None
        self.connack: Any = None
        self.published: dict[int, Any] = {}
        self.flags: Any = None
        self.connects = 0
        self.paho = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, transport=transport,
                                **({} if version == paho.MQTTv5 else {"clean_session": clean}))
        if tls:
            self.paho.tls_set(*tls)
        if username is not None:
            self.paho.username_pw_set(username, password)
        if will is not None:
            self.paho.will_set(*((will, "gone") if isinstance(will, str) else will))
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = lambda *_: self._answered.set()
        self.paho.on_message = lambda _c, _u, message: self._on_message(message)
        self.paho.on_subscribe = lambda _c, _u, mid, codes, _p: self._done(mid, codes)
        self.paho.on_publish = lambda _c, _u, mid, code, _p: self._done(mid, code)
        self.paho.reconnect_delay_set(3600, 3600)
        self.paho.connect(host, port, keepalive=keepalive, **connect)
        self.paho.loop_start()
        assert self._answered.wait(15), "no CONNACK"

    def _on_connect(self, _client: Any, _userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        self.flags, self.code, self.connack = flags, code.value, properties
        self.connects += 1
        self._answered.set()

    def _on_message(self, message: paho.MQTTMessage) -> None:
        self.received.append((message.topic, message.payload, message.qos, message.retain))
        self.messages.put(message)

    def _done(self, mid: int, result: Any) -> None:
        self.published[mid] = result
        self._acks.setdefault(mid, threading.Event()).set()

    def subscribe(self, topic: Any, qos: int = 0, **options: Any) -> int:
        """The granted QoS, or a reason code."""
        _, mid = self.paho.subscribe(topic, qos, **options)
        assert self._acks.setdefault(mid, threading.Event()).wait(15), "no SUBACK"
        return int(self.published[mid][0].value)

    def publish(self, topic: str, payload: bytes = b"", qos: int = 1, retain: bool = False, **kw: Any) -> Any:
        """Waits for the acknowledgement, and returns its reason code."""
        mid = self.paho.publish(topic, payload, qos, retain, **kw).mid
        assert self._acks.setdefault(mid, threading.Event()).wait(15), "no acknowledgement"
        return self.published[mid]

    def receive(self, within: float = 10.0) -> paho.MQTTMessage:
        return self.messages.get(timeout=within)

    def silent(self, seconds: float = 0.3) -> bool:
        try:
            self.messages.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def break_off(self) -> None:
        """The socket is gone under the client, and it does not come back."""
        self.paho.on_disconnect = None
        self.paho.loop_stop()
        sock = self.paho.socket()
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
