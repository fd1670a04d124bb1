"""Users of SCRAM-SHA-256 (MQTT 5.0, section 4.12). Verifiers are stored, no passwords."""

from __future__ import annotations

import hmac
import sqlite3
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

from emqx_mgmt.broker.auth.scram import ITERATIONS, SALT_LENGTH, Verifier, saslprep, verifier_of

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


class ScramUser(msgspec.Struct, frozen=True):
    """A user of SCRAM-SHA-256."""

    username: str
    is_superuser: bool = False


class ScramUsers:
    """The table, and its copy in memory, from which the exchange is answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # The copy follows the table in the order of the writes.
        self._writing = BoundedSemaphore()
        self._records: dict[str, ScramUser] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._key = b""

    def load(self) -> None:
        """Reads all into memory; called once the store is open."""
        self._key, rows = self._run(select)
        for row in rows:
            user = ScramUser(row["username"], bool(row["is_superuser"]))
            verifier = Verifier(row["salt"], row["iterations"], row["stored_key"], row["server_key"])
            self._remember(user, verifier)

    def all(self) -> list[ScramUser]:
        """By user name."""
        return [self._records[username] for username in sorted(self._records)]

    def get(self, username: str) -> ScramUser | None:
        """None for an unknown user name."""
        return self._records.get(username)

    def verifier(self, username: str) -> Verifier:
        """For an unknown name: always the same verifier, which no password fits."""
        known = self._verifiers.get(username)
        if known is not None:
            return known
        made_up = hmac.digest(self._key, username.encode(), "sha256")
        return Verifier(made_up[:SALT_LENGTH], ITERATIONS, made_up, made_up)

    def add(self, username: str, password: str, is_superuser: bool) -> bool:
        """False when the name is taken. Raises ValueError for what SASLprep forbids."""
        user = ScramUser(saslprep(username), is_superuser)
        verifier = self._verifier_of(password)
        with self._writing:
            if user.username in self._records:
                return False
            self._write(user, verifier)
            return True

    def update(self, username: str, password: str, is_superuser: bool) -> bool:
        """False for an unknown name. Raises ValueError for what SASLprep forbids."""
        verifier = self._verifier_of(password)
        with self._writing:
            if username not in self._records:
                return False
            self._write(ScramUser(username, is_superuser), verifier)
            return True

    def delete(self, username: str) -> bool:
        """False for an unknown name."""
        with self._writing:
            if username not in self._records:
                return False
            self._run(delete, username)
            del self._records[username], self._verifiers[username]
            return True

    def _verifier_of(self, password: str) -> Verifier:
        return self._run(lambda _: verifier_of(password))

    def _write(self, user: ScramUser, verifier: Verifier) -> None:
        self._run(replace, user, verifier)
        self._remember(user, verifier)

    def _remember(self, user: ScramUser, verifier: Verifier) -> None:
        self._records[user.username] = user
        self._verifiers[user.username] = verifier


def select(connection: sqlite3.Connection) -> tuple[bytes, list[sqlite3.Row]]:
    """The key for unknown names, and all rows."""
    key = connection.execute("SELECT key FROM secret_key").fetchone()["key"]
    return key, connection.execute("SELECT * FROM scram_user").fetchall()


def replace(connection: sqlite3.Connection, user: ScramUser, verifier: Verifier) -> None:
    """Adds the row or replaces it."""
    connection.execute(
        "INSERT OR REPLACE INTO scram_user (username, is_superuser, salt, iterations, stored_key, server_key)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (user.username, user.is_superuser, verifier.salt, verifier.iterations, verifier.stored_key,
         verifier.server_key),
    )


def delete(connection: sqlite3.Connection, username: str) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM scram_user WHERE username = ?", (username,))
