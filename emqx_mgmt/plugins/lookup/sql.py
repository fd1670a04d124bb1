"""Databases that are asked in SQL (behaviour, 22.6 and 22.7): one body for MySQL and PostgreSQL."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, Generic, TypeVar

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.topic_rules import TopicRule
from emqx_mgmt.plugins.lookup.auth import BackendFailed
from emqx_mgmt.plugins.lookup.database import DatabaseAuth, StoredUser, database_settings
from emqx_mgmt.plugins.lookup.plugin import QuestionRefused
from emqx_mgmt.plugins.lookup.pool import Pool
from emqx_mgmt.plugins.lookup.rules import rule_of_row
from emqx_mgmt.plugins.placeholders import OF_CLIENTS, SqlQuery
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, Kind

Connection = TypeVar("Connection")
Row = dict[str, Any]


def parse_query(text: str) -> SqlQuery | None:
    if not text:
        return None
    query = SqlQuery.parse(text)
    if not query.placeholders <= OF_CLIENTS:
        wrong = min(query.placeholders - OF_CLIENTS)
        raise ValueError(f"has {wrong}, which a query about a client cannot have")
    return query


SQL_QUERY = Kind("string", parse_query, lambda query: query.text if query else "")

AUTH_QUERY = "select password from mqtt_user where username = '%u' limit 1"
SUPER_QUERY = "select is_superuser from mqtt_user where username = '%u' limit 1"
ACL_QUERY = ("select allow, ipaddr, username, clientid, access, topic from mqtt_acl where ipaddr = '%a' or "
             "username = '%u' or username = '$all' or clientid = '%c'")


# Names of columns, as far as they stand for themselves, and all that follows them.
_COLUMNS = re.compile(r"select\s+(?P<columns>[\w.]+(?:\s*,\s*[\w.]+)*)\s+(?P<rest>from\s.*)", re.IGNORECASE | re.DOTALL)


def in_one(auth: SqlQuery, of_super: SqlQuery) -> SqlQuery | None:
    """One query for both, where they differ in nothing but their columns and the second one's is `is_superuser`, as
    those of EMQ X do: a log-in then is one question."""
    first, second = (_COLUMNS.fullmatch(query.text.strip()) for query in (auth, of_super))
    if first is None or second is None or first["rest"] != second["rest"]:
        return None
    if second["columns"].lower() != "is_superuser" or "is_superuser" in first["columns"].lower():
        return None
    return SqlQuery.parse(f"select {first['columns']}, {second['columns']} {first['rest']}")


def sql_settings(prefix: str) -> tuple[Key, ...]:
    return (
        *database_settings(prefix, "sha256", f"{prefix}.password_hash"),
        Key(f"{prefix}.auth_query", SQL_QUERY, AUTH_QUERY,
            "Gives the columns password, and salt and is_superuser if there are such; no row: the user is not known."),
        Key(f"{prefix}.super_query", SQL_QUERY, SUPER_QUERY,
            "Gives 1 for a super user. Not asked where auth_query gives is_superuser, and asked together with it where "
            "the two differ in their columns alone; empty: there are none."),
        Key(f"{prefix}.acl_query", SQL_QUERY, ACL_QUERY,
            "Gives the columns allow, ipaddr, username, clientid, access, topic, one rule a row, the first that "
            "matches decides; empty: no rules."),
        Key(f"{prefix}.acl_reverse", FLAG, "off", "The last row that matches decides, as in EMQ X 3."),
    )


class SqlAuth(DatabaseAuth, Generic[Connection]):
    def open(self) -> None:
        self._auth_query: SqlQuery = self.host.settings[f"{self.prefix}.auth_query"]
        if self._auth_query is None:
            raise ValueError(f"{self.prefix}.auth_query is empty")
        self._super_query: SqlQuery | None = self.host.settings[f"{self.prefix}.super_query"]
        if self._super_query is not None and (both := in_one(self._auth_query, self._super_query)) is not None:
            self._auth_query, self._super_query = both, None
        self._acl_query: SqlQuery | None = self.host.settings[f"{self.prefix}.acl_query"]
        self.pool_size = self.host.settings[f"{self.prefix}.pool"]
        self._pool = Pool(self.connect, self.disconnect, self.is_lost, self.pool_size)

    @abstractmethod
    def connect(self) -> Connection:
        ...

    @abstractmethod
    def disconnect(self, connection: Connection) -> None:
        """Closes the socket; says goodbye to nobody and raises nothing."""

    @abstractmethod
    def is_lost(self, error: Exception) -> bool:
        """Whether the database had ended the connection before it was asked."""

    @abstractmethod
    def fetch(self, connection: Connection, statement: str, parameters: tuple[str, ...]) -> list[Row]:
        """Rows by the names of their columns."""

    @abstractmethod
    def is_answer(self, error: Exception) -> bool:
        """Whether the database is there, and its error is about the question."""

    @property
    def pool_in_use(self) -> int:
        return self._pool.in_use

    def ping(self) -> None:
        self._pool.run(lambda connection: self.fetch(connection, "select 1", ()))

    def _fetched(self, connection: Connection, statement: str, parameters: tuple[str, ...]) -> list[Row]:
        try:
            return self.fetch(connection, statement, parameters)
        except self.errors as error:
            if self.is_answer(error):
                raise QuestionRefused(self.describe(error)) from error
            raise

    def shut(self) -> None:
        self._pool.close()

    @property
    def auth_placeholders(self) -> frozenset[str]:
        return self._auth_query.placeholders

    def _rows(self, query: SqlQuery, client: Client) -> list[Row]:
        bound = query.bound(self.values_of(client))
        return self._pool.run(lambda connection: self._fetched(connection, query.statement, bound))

    def find_user(self, client: Client) -> StoredUser | None:
        rows = self._rows(self._auth_query, client)
        if not rows:
            return None
        row = rows[0]
        if "password" not in row:
            raise BackendFailed(f"{self.prefix}.auth_query gives no column password")
        return StoredUser(text_of(row["password"]), text_of(row.get("salt")) or "",
                          truth_of(row["is_superuser"]) if "is_superuser" in row else None)

    def ask_is_super(self, client: Client) -> bool:
        if self._super_query is None:
            return False
        rows = self._rows(self._super_query, client)
        return bool(rows) and truth_of(next(iter(rows[0].values()), None))

    def find_rules(self, client: Client) -> list[TopicRule]:
        if self._acl_query is None:
            return []
        rows = self._rows(self._acl_query, client)
        try:
            rules = [rule_of_row(row, number, client) for number, row in enumerate(rows, 1)]
        except ValueError as error:
            raise BackendFailed(f"{self.prefix}.acl_query: {error}") from None
        about = [rule for rule in rules if rule is not None]
        return about[::-1] if self.host.settings[f"{self.prefix}.acl_reverse"] else about


def text_of(value: Any) -> str | None:
    """A column's text; binary columns come as bytes."""
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    return str(value)


def truth_of(value: Any) -> bool:
    """Whether `is_superuser` says yes: 1, true, 't'."""
    return text_of(value) in ("1", "True", "true", "t")
