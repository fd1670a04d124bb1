"""Users and rules from Redis: one server, behind sentinels, or a cluster (behaviour, 22.8)."""

from __future__ import annotations

from typing import Any

from gevent.lock import BoundedSemaphore

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule
from emqx_mgmt.plugins.lookup.database import DatabaseAuth, StoredUser, database_settings
from emqx_mgmt.plugins.lookup.pool import PoolExhausted
from emqx_mgmt.plugins.lookup.servers import SERVERS
from emqx_mgmt.plugins.lookup.tls import TlsFiles, renamed_tls_settings, tls_settings
from emqx_mgmt.plugins.placeholders import OF_CLIENTS, Command
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, STRING, Kind, enum, integer

PREFIX = "auth.redis"
VALUES = frozenset({"GET", "MGET", "HGET", "HMGET", "LRANGE", "SMEMBERS"})
HASHES = frozenset({"HGETALL"})
POOL_WAIT_S = 1.0
PING_AFTER_S = 30   # a connection that was idle for so long is tried before it is used


def command_kind(verbs: frozenset[str]) -> Kind:
    def parse(text: str) -> Command | None:
        command = Command.parse(text, verbs) if text else None
        if command and not command.placeholders <= OF_CLIENTS:
            raise ValueError(f"has {min(command.placeholders - OF_CLIENTS)}, which cannot stand here")
        return command

    return Kind("string", parse, lambda command: command.text if command else "")


class AuthRedis(DatabaseAuth):
    name = "emqx_auth_redis"
    description = "EMQ X Authentication/ACL with Redis"
    prefix = PREFIX
    driver = "redis"
    extra = "redis"
    hash_key = f"{PREFIX}.password_hash"
    denies_unlisted = True
    settings = (
        Key(f"{PREFIX}.server", SERVERS, "127.0.0.1:6379", "host:port; or the sentinels, or nodes of the cluster, "
            "divided by commas."),
        Key(f"{PREFIX}.type", enum("single", "sentinel", "cluster"), "single", "What the servers are."),
        Key(f"{PREFIX}.sentinel", STRING, "", "The name that the sentinels know the master by; setting it makes the "
            "servers sentinels."),
        Key(f"{PREFIX}.sentinel_password", STRING, "", "The password of the sentinels.", secret=True),
        Key(f"{PREFIX}.username", STRING, "", "A user of Redis 6 and later; empty: the default one."),
        Key(f"{PREFIX}.password", STRING, "", "The password of Redis.", secret=True),
        Key(f"{PREFIX}.database", integer(0, 65535), "0", "The number of the database; a cluster has 0 only."),
        Key(f"{PREFIX}.ssl", FLAG, "off", "Connect over TLS."),
        *tls_settings(f"{PREFIX}.ssl"),
        *renamed_tls_settings(PREFIX),
        Key(f"{PREFIX}.auth_cmd", command_kind(VALUES), "HMGET mqtt_user:%u password",
            "Gives the password, and the salt behind it if there is one."),
        Key(f"{PREFIX}.super_cmd", command_kind(VALUES), "HGET mqtt_user:%u is_superuser",
            "Gives 1 for a super user; empty: there are none."),
        Key(f"{PREFIX}.acl_cmd", command_kind(HASHES), "HGETALL mqtt_acl:%u",
            "Gives a hash of topic filters: 1 the client may subscribe, 2 publish, 3 both; empty: no rules."),
        *database_settings(PREFIX, "plain", f"{PREFIX}.password_hash"),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.RedisError

    def open(self) -> None:
        settings = self.host.settings
        self._auth_command: Command = settings[f"{PREFIX}.auth_cmd"]
        if self._auth_command is None:
            raise ValueError(f"{PREFIX}.auth_cmd is empty")
        self._super_command: Command | None = settings[f"{PREFIX}.super_cmd"]
        self._acl_command: Command | None = settings[f"{PREFIX}.acl_cmd"]
        self._is_sentinel = bool(settings[f"{PREFIX}.sentinel"]) or settings[f"{PREFIX}.type"] == "sentinel"
        if self._is_sentinel and not settings[f"{PREFIX}.sentinel"]:
            raise ValueError(f"{PREFIX}.type = sentinel needs {PREFIX}.sentinel, the name of the master")
        self.pool_size = settings[f"{PREFIX}.pool"]
        self._places = BoundedSemaphore(self.pool_size)
        self._client: Any = None
        self._is_shut = False

    @property
    def pool_in_use(self) -> int:
        return self.pool_size - self._places.counter

    def _connected(self) -> Any:
        """Made at the first question: a cluster's client asks for its nodes at once."""
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> Any:
        settings, redis = self.host.settings, self.imported
        servers = [(server.host, server.port or 0) for server in settings[f"{PREFIX}.server"]]
        options = self._options()
        if self._is_sentinel:
            own = {name: value for name, value in options.items() if name not in ("username", "password", "db")}
            own["password"] = settings[f"{PREFIX}.sentinel_password"] or None
            sentinel = redis.sentinel.Sentinel([(host, port or 26379) for host, port in servers], sentinel_kwargs=own)
            return sentinel.master_for(settings[f"{PREFIX}.sentinel"], **options)
        if settings[f"{PREFIX}.type"] == "cluster":
            options.pop("db")
            nodes = [redis.cluster.ClusterNode(host, port or 6379) for host, port in servers]
            return redis.RedisCluster(startup_nodes=nodes, **options)
        host, port = servers[0]
        return redis.Redis(host=host, port=port or 6379, **options)

    def _options(self) -> dict[str, Any]:
        """A connection that the server ended is replaced once; an answer that is late is not asked for again."""
        settings, redis = self.host.settings, self.imported
        seconds = self.query_timeout
        options: dict[str, Any] = {
            "username": settings[f"{PREFIX}.username"] or None,
            "password": settings[f"{PREFIX}.password"] or None,
            "db": settings[f"{PREFIX}.database"],
            "socket_timeout": seconds, "socket_connect_timeout": seconds, "health_check_interval": PING_AFTER_S,
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 1, (redis.ConnectionError,)),
            "decode_responses": True, "encoding_errors": "surrogateescape",
        }
        if settings[f"{PREFIX}.ssl"]:
            files = TlsFiles.of(settings, f"{PREFIX}.ssl", PREFIX)
            options |= {
                "ssl": True,
                "ssl_ca_certs": files.authority or None,
                "ssl_certfile": files.certificate or None,
                "ssl_keyfile": files.key or None,
                "ssl_cert_reqs": "required" if settings[f"{PREFIX}.ssl.verify"] else "none",
                "ssl_check_hostname": settings[f"{PREFIX}.ssl.verify"],
            }
        return options

    def _run(self, *commands: tuple[str, ...]) -> list[Any]:
        """The answers to commands that are sent together.

        The drivers of single servers, sentinels and clusters wait for a free connection in three ways, or not at all:
        no more than `pool` connections are in use here."""
        if not self._places.acquire(timeout=POOL_WAIT_S):
            raise PoolExhausted(f"all {self.pool_size} connections are in use")
        try:
            pipeline = self._connected().pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute()
            return answers
        finally:
            self._places.release()
            if self._is_shut:
                self._end_idle()

    def ping(self) -> None:
        self._run(("PING",))

    def shut(self) -> None:
        self._is_shut = True
        self._end_idle()

    def _end_idle(self) -> None:
        """A connection in use is ended by the one who uses it: the driver does not expect to lose it meanwhile."""
        if self._client is None:
            return
        clients = [self._client]
        if hasattr(self._client, "get_nodes"):
            clients = [node.redis_connection for node in self._client.get_nodes() if node.redis_connection is not None]
        elif self._is_sentinel:
            clients += self._client.connection_pool.sentinel_manager.sentinels
        for client in clients:
            client.connection_pool.disconnect(inuse_connections=False)

    @property
    def auth_placeholders(self) -> frozenset[str]:
        return self._auth_command.placeholders

    def find_user(self, client: Client) -> StoredUser | None:
        values = self.values_of(client)
        commands = [command for command in (self._auth_command, self._super_command) if command is not None]
        found, *of_super = map(values_in, self._run(*(command.fill(values) for command in commands)))
        if not found or found[0] is None:
            return None
        return StoredUser(found[0], (found[1] if len(found) > 1 else None) or "", of_super[:1] == [["1"]])

    def find_rules(self, client: Client) -> list[TopicRule]:
        if self._acl_command is None:
            return []
        words = self._acl_command.fill(self.values_of(client))
        fields: dict[str, str] = self._run(words)[0]
        return [TopicRule(True, _access(mask), topic, f"{words[1]} {topic}") for topic, mask in fields.items()]


def values_in(answer: Any) -> list[str | None]:
    """The values of an answer, whatever the command."""
    if answer is None or isinstance(answer, str):
        return [answer]
    return list(answer)


def _access(mask: str) -> int:
    """A mask that says nothing allows nothing."""
    return int(mask) & (SUBSCRIBE | PUBLISH) if mask.isdecimal() else 0
