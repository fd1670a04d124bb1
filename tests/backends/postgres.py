"""PostgreSQL, from Debian's postgresql-15."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg

from tests.backends.server import Server, needs

PROGRAMS = "/usr/lib/postgresql/15/bin"
SCHEMA = """
CREATE TABLE mqtt_user (id serial PRIMARY KEY, username text UNIQUE, password text, salt text,
    is_superuser boolean DEFAULT false);
CREATE TABLE mqtt_acl (id serial PRIMARY KEY, allow int, ipaddr text, username text, clientid text, access int,
    topic text);
"""


class Postgres(Server):
    name = "postgres"
    plugin = "emqx_auth_pgsql"
    prefix = "auth.pgsql"
    password = "its\\own'secret"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        needs(f"{PROGRAMS}/postgres", f"{PROGRAMS}/initdb")
        (directory / "password").write_text("admin")
        self.certify()
        self.own()
        self.run(f"{PROGRAMS}/initdb", "--no-sync", "-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8",
                 "--no-locale", f"--pwfile={directory}/password", "-D", f"{directory}/data")

    def command(self) -> list[str]:
        return [f"{PROGRAMS}/postgres", "-D", f"{self.directory}/data", "-p", str(self.port), "-c",
                "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "ssl=on",
                "-c", f"ssl_cert_file={self.directory}/cert.pem", "-c", f"ssl_key_file={self.directory}/key.pem"]

    def secure_settings(self, authority: Path) -> dict[str, str]:
        return self.settings() | {"ssl": "on", "ssl_opts.cacertfile": str(authority)}

    def is_up(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._where("postgres")):
            return True
        return False  # it takes connections while it still starts

    def start(self) -> None:
        (self.directory / "data/postmaster.pid").unlink(missing_ok=True)
        super().start()

    def _where(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres password=admin dbname={database}"

    def set_up(self) -> None:
        self.execute("CREATE DATABASE mqtt", database="postgres")
        self.execute(SCHEMA)
        quoted = self.password.replace("'", "''")
        self.execute(f"CREATE USER broker PASSWORD '{quoted}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO broker")

    def execute(self, statement: str, *parameters: object, database: str = "mqtt") -> list[tuple[object, ...]]:
        with psycopg.connect(self._where(database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        self.execute("DELETE FROM mqtt_user WHERE username = %s", username)
        self.execute("INSERT INTO mqtt_user (username, password, salt, is_superuser) VALUES (%s, %s, %s, %s)",
                     username, password, salt, is_super)

    def add_rule(self, allow: int, topic: str, access: int = 3, username: str | None = None,
                 client_id: str | None = None, address: str | None = None) -> None:
        self.execute("INSERT INTO mqtt_acl (allow, ipaddr, username, clientid, access, topic) VALUES "
                     "(%s, %s, %s, %s, %s, %s)", allow, address, username, client_id, access, topic)

    def end_connections(self) -> None:
        """The broker's, as an administrator would."""
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'broker'")
