"""Plugins that misbehave, and one that uses everything: installed for the tests beside the broker's own."""

from __future__ import annotations

import contextlib
import time

import gevent
from msgspec import Struct

from emqx_mgmt.plugins import Key, Plugin, Refused, Route
from emqx_mgmt.settings import Endpoint
from emqx_mgmt.settings.kinds import FLAG, STRING, integer


class RogueAuth(Plugin):
    """Decides by the user name, in the way that the user name says."""

    name = "rogue_auth"
    version = "0.1"
    description = "Misbehaves in a hook"
    settings = (Key("rogue.blocking", FLAG, "on", "Whether its handlers are added as blocking."),)

    def load(self):
        blocking = self.host.settings["rogue.blocking"]
        self.host.hook("client.authenticate", self.authenticate, blocking=blocking)
        self.host.hook("client.check_acl", self.check_acl, blocking=blocking)
        self.host.hook("client.connected", self.connected)
        self.host.hook("message.publish", self.published, prefix="rogue/")

    def authenticate(self, client):
        return misbehave(client.username)

    def check_acl(self, client, access, topic):
        return misbehave(topic.rpartition("/")[2])

    def connected(self, client, channel):
        if client.username and client.username.startswith("later-"):
            misbehave(client.username.removeprefix("later-"))

    def published(self, message):
        misbehave(message.topic.rpartition("/")[2])
        return message


class RogueAnswers(Plugin):
    """Answers what is no answer, where the topic says so."""

    name = "rogue_answers"
    description = "Answers with words"

    def load(self):
        self.host.hook("client.check_acl", lambda client, access, topic: "deny" if topic == "answers/acl" else None)
        self.host.hook("client.subscribe", self.subscribe, blocking=True)
        self.host.hook("message.publish", lambda message: "stop" if message.topic == "answers/x" else message,
                       prefix="answers/")

    def subscribe(self, codes, client, filters):
        return {"answers/none": [], "answers/word": "no", "answers/huge": [999]}.get(filters[0][0], codes)


def misbehave(how):
    if how == "raise":
        raise RuntimeError("on purpose")
    if how == "exit":
        raise SystemExit(3)
    if how == "wait":
        gevent.sleep(60)
    if how == "burn":
        while True:
            with contextlib.suppress(Exception):
                burn()
    if how == "slow-no":
        time.sleep(0.2)
        return False
    return None


def burn():
    n = 0
    while True:
        n += 1


class RogueLoad(Plugin):
    name = "rogue_load"
    version = "0.1"
    description = "Misbehaves while it loads"
    settings = (Key("rogue.load.how", STRING, "raise", "What it does."),)

    def load(self):
        self.host.hook("client.authenticate", lambda client: False)
        self.host.every(0.1, lambda: None)
        self.host.listen_tcp(Endpoint("127.0.0.1", 0), lambda sock, address: None, protocol="rogue")
        misbehave(self.host.settings["rogue.load.how"])

    def routes(self):
        odd = {"number": 1, "method": Route("x", "FETCH", "/x", "An odd route", list),
               "path": Route("x", "GET", "/a b", "An odd route", list),
               "handler": Route("x", "GET", "/x", "An odd route", None),
               "taken": Route("x", "GET", "recon//memory/", "An odd route", list)}
        return [odd[self.host.settings["rogue.load.how"]]]


class Amount(Struct):
    amount: int


class Everything(Plugin):
    """Takes one of each thing that a host hands out."""

    name = "test_everything"
    version = "0.1"
    description = "Uses each thing that a plugin may have"
    settings = (
        Key("everything.tcp_port", integer(0, 65535), "0", "Where it listens."),
        Key("everything.udp_port", integer(0, 65535), "0", "Where it listens."),
        Key("everything.word", STRING, "hello", "A word.", hot=True),
        Key("everything.secret", STRING, "", "A secret.", secret=True),
    )
    tables = (
        "CREATE TABLE test_everything (name TEXT PRIMARY KEY)",
        "ALTER TABLE test_everything ADD COLUMN amount INTEGER NOT NULL DEFAULT 1",
    )

    def load(self):
        settings = self.host.settings
        self.beats = 0
        self.seen = []
        self.tcp_port = self.host.listen_tcp(
            Endpoint("127.0.0.1", settings["everything.tcp_port"]), self.echo, protocol="everything", max_conns=7)
        self.udp_port = self.host.listen_udp(Endpoint("127.0.0.1", settings["everything.udp_port"]), self.datagram)
        self.host.hook("client.connected", self.connected, blocking=True)
        self.host.hook("message.publish", self.published, prefix="everything/")
        self.host.every(0.05, self.beat)
        self.host.after(3600, self.beat)
        self.host.spawn(gevent.sleep, 3600)

    def echo(self, sock, address):
        while data := sock.recv(1024):
            sock.sendall(data.upper())

    def datagram(self, data, address, send):
        send(data.upper(), address)

    def connected(self, client, channel):
        gevent.sleep(0.01)
        self.seen.append(client.client_id)

    def published(self, message):
        self.host.publish("echo/" + message.topic, message.payload)
        return message

    def beat(self):
        self.beats += 1

    def routes(self):
        return (
            Route("everything", "GET", "/everything", "What it saw", self.state),
            Route("everything_put", "PUT", "/everything/:name", "Keep an amount", self.keep, takes=Amount),
            Route("everything_no", "DELETE", "/everything/:name", "Refuse", self.refuse),
        )

    def state(self):
        return {"tcp_port": self.tcp_port, "udp_port": self.udp_port, "beats": self.beats, "seen": self.seen,
                "word": self.host.settings["everything.word"],
                "rows": self.host.store.run(read_all),
                "threads": self.host.in_thread(sum, (1, 2))}

    def keep(self, name, params):
        self.host.store.run(lambda db: db.execute("INSERT OR REPLACE INTO test_everything VALUES (?, ?)",
                                                  (name, params.amount)))

    def refuse(self, name):
        raise Refused(f"not {name}")


def read_all(connection):
    return [tuple(row) for row in connection.execute("SELECT * FROM test_everything")]
