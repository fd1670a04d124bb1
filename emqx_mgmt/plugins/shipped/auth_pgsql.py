"""Users and rules from PostgreSQL (behaviour, 22.7)."""

from __future__ import annotations

import contextlib
from typing import Any

from emqx_mgmt.plugins.lookup.servers import SERVERS
from emqx_mgmt.plugins.lookup.sql import Row, SqlAuth, sql_settings
from emqx_mgmt.plugins.lookup.tls import TlsFiles, tls_settings
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, PATH, STRING, enum

PREFIX = "auth.pgsql"
SLOWEST_MS = 2000       # a server that does not acknowledge sent data is considered lost
PREPARE_AFTER = 5       # after so many equal queries the server keeps them prepared
# Classes of SQLSTATE: connection exceptions, and an operator's or a crash's end of the connection.
LOST = ("08", "57P")
# Insufficient resources, and a cancelled query.
EXHAUSTED = ("53", "57014")


class AuthPgsql(SqlAuth[Any]):
    name = "emqx_auth_pgsql"
    description = "EMQ X Authentication/ACL with PostgreSQL"
    prefix = PREFIX
    driver = "psycopg"
    extra = "pgsql"
    hash_key = f"{PREFIX}.password_hash"
    settings = (
        Key(f"{PREFIX}.server", SERVERS, "127.0.0.1:5432", "host:port; of several, divided by commas, the first that "
            "takes a connection."),
        Key(f"{PREFIX}.username", STRING, "root", "The database's user."),
        Key(f"{PREFIX}.password", STRING, "", "Its password.", secret=True),
        Key(f"{PREFIX}.database", STRING, "mqtt", "The database."),
        Key(f"{PREFIX}.encoding", STRING, "utf8", "The encoding of the texts."),
        Key(f"{PREFIX}.target_session_attrs", enum("any", "read-write", "read-only", "primary", "standby",
            "prefer-standby"), "any", "Which of several servers will do."),
        Key(f"{PREFIX}.prepared", FLAG, "on", "Let the server keep queries prepared; off behind PgBouncer."),
        Key(f"{PREFIX}.ssl", FLAG, "false", "Connect over TLS."),
        Key(f"{PREFIX}.ssl_opts.cacertfile", PATH, "", "Who signed the server's certificate, in PEM; without it any "
            "certificate will do."),
        Key(f"{PREFIX}.ssl_opts.certfile", PATH, "", "The certificate to show, in PEM; empty: none."),
        Key(f"{PREFIX}.ssl_opts.keyfile", PATH, "", "Its key, in PEM."),
        *tls_settings(f"{PREFIX}.ssl"),
        *sql_settings(PREFIX),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.Error

    def connect(self) -> Any:
        settings = self.host.settings
        servers = settings[f"{PREFIX}.server"]
        return self.imported.connect(
            host=",".join(server.host for server in servers),
            port=",".join(str(server.port or 5432) for server in servers),
            user=settings[f"{PREFIX}.username"], password=settings[f"{PREFIX}.password"] or None,
            dbname=settings[f"{PREFIX}.database"], client_encoding=settings[f"{PREFIX}.encoding"],
            target_session_attrs=settings[f"{PREFIX}.target_session_attrs"], application_name="emqx-mgmt",
            connect_timeout=max(2, round(self.query_timeout)), tcp_user_timeout=SLOWEST_MS,
            autocommit=True, prepare_threshold=PREPARE_AFTER if settings[f"{PREFIX}.prepared"] else None,
            **self._tls())

    def _tls(self) -> dict[str, str]:
        """The parameters of libpq: the certificate and its name are verified where an authority is set."""
        settings = self.host.settings
        if not settings[f"{PREFIX}.ssl"]:
            return {"sslmode": "disable"}
        files = TlsFiles.of(settings, f"{PREFIX}.ssl_opts", f"{PREFIX}.ssl")
        authority = files.authority if settings[f"{PREFIX}.ssl.verify"] else ""
        words = {"sslmode": "verify-full" if authority else "require", "sslrootcert": authority,
                 "sslcert": files.certificate, "sslkey": files.key}
        return {word: value for word, value in words.items() if value}

    def disconnect(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection.close()

    def is_lost(self, error: Exception) -> bool:
        if not isinstance(error, self.imported.OperationalError):
            return False
        return error.sqlstate is None or error.sqlstate.startswith(LOST)

    def is_answer(self, error: Exception) -> bool:
        """The driver refuses a value that cannot be sent, such as a NUL, with an error without SQLSTATE."""
        if isinstance(error, self.imported.DataError):
            return True
        state = getattr(error, "sqlstate", None)
        return state is not None and not state.startswith((*LOST, *EXHAUSTED))

    def fetch(self, connection: Any, statement: str, parameters: tuple[str, ...]) -> list[Row]:
        with connection.cursor(row_factory=self.imported.rows.dict_row) as cursor:
            rows: list[Row] = cursor.execute(statement, parameters).fetchall()
            return rows
