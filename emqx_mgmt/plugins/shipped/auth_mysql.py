"""Users and rules from MySQL or MariaDB (behaviour, 22.6)."""

from __future__ import annotations

import contextlib
from typing import Any

from emqx_mgmt.plugins.lookup.servers import SERVERS, Server, first_reachable
from emqx_mgmt.plugins.lookup.sql import Row, SqlAuth, sql_settings
from emqx_mgmt.plugins.lookup.tls import client_context, tls_settings
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, STRING

PREFIX = "auth.mysql"
# CR_SERVER_GONE_ERROR, CR_SERVER_LOST.
LOST = (2006, 2013)
# ER_CON_COUNT_ERROR, ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED: the server goes, or ends the connection.
ENDING = (1040, 1053, 1927)
# Makes backslashes escape characters, which the driver assumes when it writes a value into a statement.
SQL_MODE = "set session sql_mode = replace(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')"


class AuthMysql(SqlAuth[Any]):
    name = "emqx_auth_mysql"
    description = "EMQ X Authentication/ACL with MySQL"
    prefix = PREFIX
    driver = "pymysql"
    extra = "mysql"
    hash_key = f"{PREFIX}.password_hash"
    settings = (
        Key(f"{PREFIX}.server", SERVERS, "127.0.0.1:3306", "host:port; of several, divided by commas, the first that "
            "answers."),
        Key(f"{PREFIX}.username", STRING, "", "The database's user."),
        Key(f"{PREFIX}.password", STRING, "", "Its password.", secret=True),
        Key(f"{PREFIX}.database", STRING, "mqtt", "The database."),
        Key(f"{PREFIX}.ssl", FLAG, "off", "Connect over TLS."),
        Key(f"{PREFIX}.enable_ssl", FLAG, "off", "The same, as some versions of EMQ X name it."),
        *tls_settings(f"{PREFIX}.ssl"),
        *sql_settings(PREFIX),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.MySQLError

    def open(self) -> None:
        # One context for all: the driver would otherwise read the system's certificates at each connect, for 20 ms.
        settings = self.host.settings
        is_secure = settings[f"{PREFIX}.ssl"] or settings[f"{PREFIX}.enable_ssl"]
        self._tls = client_context(settings, f"{PREFIX}.ssl") if is_secure else None
        super().open()

    def connect(self) -> Any:
        return first_reachable(self.host.settings[f"{PREFIX}.server"], self._connect, self.errors)

    def _connect(self, server: Server) -> Any:
        settings, seconds = self.host.settings, self.query_timeout
        return self.imported.connect(
            host=server.host, port=server.port or 3306, user=settings[f"{PREFIX}.username"] or None,
            password=settings[f"{PREFIX}.password"], database=settings[f"{PREFIX}.database"], charset="utf8mb4",
            autocommit=True, connect_timeout=max(1, round(seconds)), read_timeout=seconds, write_timeout=seconds,
            init_command=SQL_MODE, cursorclass=self.imported.cursors.DictCursor,
            **({"ssl": self._tls} if self._tls else {"ssl_disabled": True}))

    def disconnect(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection._force_close()

    def is_lost(self, error: Exception) -> bool:
        """The driver uses the same number for a connection that has ended and for one that does not answer."""
        return (isinstance(error, self.imported.err.OperationalError) and error.args[0] in (*LOST, *ENDING)
                and "timed out" not in str(error))

    def is_answer(self, error: Exception) -> bool:
        """Error numbers below 1000 are the system's, and those from 2000 to 2999 the client's."""
        number = error.args[0] if error.args else None
        return (isinstance(error, self.imported.MySQLError) and isinstance(number, int) and number not in ENDING
                and (1000 <= number < 2000 or number >= 3000))

    def fetch(self, connection: Any, statement: str, parameters: tuple[str, ...]) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())
