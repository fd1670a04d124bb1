"""Plugins as third parties write them: one that asks a server, one that hears what became of messages, and one whose
services misbehave."""

from __future__ import annotations

import gc
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress

import gevent
import greenlet

from emqx_mgmt.plugins import Key, Plugin, Route
from emqx_mgmt.settings import Endpoint
from emqx_mgmt.settings.kinds import DURATION_KIND, STRING


class HttpAuth(Plugin):
    """Lets in whom a server answers 200 for; blocks on the network with the standard library's client."""

    name = "test_http_auth"
    description = "Asks an HTTP server"
    settings = (Key("test.http.auth_req", STRING, "", "The server's URL."),)

    def load(self):
        self.host.hook("client.authenticate", self.authenticate, blocking=True)
        self.host.hook("client.check_acl", self.check_acl, blocking=True)

    def authenticate(self, client):
        return self.ask(clientid=client.client_id, username=client.username or "")

    def check_acl(self, client, access, topic):
        return self.ask(clientid=client.client_id, access=access, topic=topic)

    def ask(self, **params):
        url = self.host.settings["test.http.auth_req"] + "?" + urllib.parse.urlencode(params)
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status == 200
        return False


class Witness(Plugin):
    """What handlers of message.delivered, message.dropped and message.acked are told. Says it again on a topic."""

    name = "test_witness"
    description = "Hears what becomes of messages"

    def load(self):
        self.heard = []
        self.host.hook("message.delivered", self.delivered)
        self.host.hook("message.dropped", self.dropped)
        self.host.hook("message.acked", self.acked)

    def delivered(self, session, message):
        if not message.topic.startswith("heard/"):
            self.hear("delivered", session, message)

    def acked(self, session, message):
        self.hear("acked", session, message)

    def dropped(self, session, message, reason):
        if message is None or not message.topic.startswith("heard/"):
            self.hear(f"dropped: {reason}", session, message)

    def hear(self, what, session, message):
        said = (message.topic, message.payload[:20].decode()) if message else (None, None)
        self.heard.append([what, session and session.client_id, *said])
        self.host.publish(f"heard/{what}", b"")

    def routes(self):
        return (Route("heard", "GET", "/heard", "What was heard", lambda: self.heard),
                Route("forget", "DELETE", "/heard", "Forget it", self.heard.clear))


class Gauge(Plugin):
    """What the process holds, for tests of what plugins leave behind."""

    name = "test_gauge"
    description = "Counts"

    def routes(self):
        return (Route("gauge", "GET", "/gauge", "Counts", self.counts),)

    def counts(self):
        """By `type`: `isinstance` asks a weak proxy for what it stands for, which may be gone."""
        gc.collect()
        hooks = self.host.broker.hooks
        return {"greenlets": sum(issubclass(type(one), greenlet.greenlet) and not one.dead for one in gc.get_objects()),
                "handlers": sum(len(hooks.prefixes(point)) for point in hooks._points),
                "plugins": sum(issubclass(type(one), Plugin) for one in gc.get_objects())}


class RogueService(Plugin):
    """Holds the processor, or raises, wherever it is called."""

    name = "rogue_service"
    description = "Misbehaves in timers, listeners and routes"
    settings = (Key("rogue.timer", DURATION_KIND, "0", "How often its timer burns; 0 for never."),)

    def load(self):
        self.tcp = self.host.listen_tcp(Endpoint("127.0.0.1", 0), self.connected, protocol="rogue")
        self.udp = self.host.listen_udp(Endpoint("127.0.0.1", 0), self.received)
        if self.host.settings["rogue.timer"]:
            self.host.every(self.host.settings["rogue.timer"], burn)

    def connected(self, sock, address):
        do(sock.recv(10))

    def received(self, data, address, send):
        do(data)
        send(data, address)

    def routes(self):
        return (Route("rogue_ports", "GET", "/rogue", "Its ports", lambda: [self.tcp, self.udp]),
                Route("rogue_do", "PUT", "/rogue/:what", "Misbehave", lambda what: do(what.encode())),
                Route("rogue_own", "POST", "/rogue/:what", "Misbehave with the host", self.with_host))

    def with_host(self, what):
        if what == "object":
            return object()
        if what == "begin":
            return self.host.store.run(lambda connection: connection.execute("BEGIN"))
        if what == "park":
            return [self.host.spawn(self.host.in_thread, time.sleep, 600).dead for _ in range(8)]
        self.host.log.warning("a late request has begun")
        gevent.sleep(1)
        return self.host.listen_tcp(Endpoint("127.0.0.1", 0), self.connected, protocol="late")


def do(what):
    if what == b"burn":
        burn()
    if what == b"raise":
        raise RuntimeError("on purpose")
    if what == b"exit":
        raise SystemExit(3)


def burn():
    while True:
        with suppress(Exception):
            count()


def count():
    n = 0
    while True:
        n += 1
