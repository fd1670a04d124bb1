"""Redis, from Debian's redis-server."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.backends.server import Server, needs
from tests.broker_process import free_ports

PASSWORD = "its own'secret"


class RedisServer(Server):
    name = "redis"
    plugin = "emqx_auth_redis"
    prefix = "auth.redis"
    password = PASSWORD
    denies = False
    denies_unlisted = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        needs("/usr/bin/redis-server")
        self.certify()
        self.tls_port = free_ports(1)[0]

    def command(self) -> list[str]:
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save",
                "", "--appendonly", "yes", "--requirepass", self.password, "--masterauth", self.password, "--tls-port",
                str(self.tls_port), "--tls-cert-file", f"{self.directory}/cert.pem", "--tls-key-file",
                f"{self.directory}/key.pem", "--tls-ca-cert-file", f"{self.directory}/ca.pem",
                "--tls-auth-clients", "no"]

    def settings(self) -> dict[str, str]:
        return {"server": f"127.0.0.1:{self.port}", "password": self.password, "password_hash": "sha256"}

    def secure_settings(self, authority: Path) -> dict[str, str]:
        return super().secure_settings(authority) | {"server": f"127.0.0.1:{self.tls_port}"}

    def set_up(self) -> None:
        """Redis needs no tables."""

    @property
    def admin(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password)

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        fields = {"password": password, "salt": salt, "is_superuser": int(is_super)}
        self.admin.hset(f"mqtt_user:{username}", mapping={key: value for key, value in fields.items()
                                                          if value is not None})

    def add_rule(self, allow: int, topic: str, access: int = 3, username: str = "") -> None:
        assert allow, "a hash of Redis has no rules that deny"
        self.admin.hset(f"mqtt_acl:{username}", topic, access)

    def end_connections(self) -> None:
        """The broker's, as an administrator would."""
        self.admin.client_kill_filter(_type="normal", skipme=True)


class ClusterNode(RedisServer):
    name = "a node of a Redis cluster"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.bus_port = free_ports(1)[0]

    def command(self) -> list[str]:
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)]


class Sentinel(RedisServer):
    """Watches `master` alone, and gives it up within half a second."""

    name = "sentinel"

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        (directory / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            f'sentinel auth-pass mymaster "{master.password}"\n'
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n")

    def command(self) -> list[str]:
        return ["redis-server", str(self.directory / "sentinel.conf"), "--sentinel"]

    @property
    def admin(self) -> redis.Redis:
        return redis.Redis(port=self.port)
