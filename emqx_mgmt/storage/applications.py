"""Applications: who may use the management API (behaviour, section 2.4)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import string
import sys
import time
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

if TYPE_CHECKING:
    from emqx_mgmt.storage.store import Store

SECRET_LENGTH = 52
ALPHABET = string.ascii_letters + string.digits


class Application(msgspec.Struct, frozen=True):
    """A record without its secret, of which only a keyed digest is kept.

    `expired` is unix seconds, None for never. `style` and `names` choose how this caller is answered; None leaves
    it to the listener.
    """

    app_id: str
    name: str
    desc: str = ""
    status: bool = True
    expired: int | None = None
    style: str | None = None
    names: str | None = None


class Applications:
    """The table, and a copy of it in memory: credentials come with every request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The copy follows the table in the order of the writes.
        self._writing = BoundedSemaphore()
        self._key = b""
        self._digests: dict[str, bytes] = {}
        self._records: dict[str, Application] = {}

    def load(self) -> None:
        self._key, rows = self._store.run(select)
        self._digests = {row["app_id"]: row["digest"] for row in rows}
        self._records = {row["app_id"]: from_row(row) for row in rows}

    def all(self) -> list[Application]:
        return [self._records[app_id] for app_id in sorted(self._records)]

    def get(self, app_id: str) -> Application | None:
        return self._records.get(app_id)

    def verify(self, app_id: str, secret: str) -> Application | None:
        """The application, when it may log in now with this secret. As long for an unknown id as for a known one."""
        digest = self._digests.get(app_id, b"")
        right = hmac.compare_digest(self._digest(secret), digest)
        record = self._records.get(app_id)
        if not right or record is None or not record.status:
            return None
        return None if record.expired is not None and record.expired < time.time() else record

    def add(self, application: Application, secret: str | None = None) -> str | None:
        """Stores a new application; its secret, which cannot be read again, or None when the id is taken."""
        with self._writing:
            if application.app_id in self._records:
                return None
            return self._write(application, secret or new_secret())

    def update(self, application: Application) -> bool:
        """Replaces everything but the secret; False for an unknown id."""
        with self._writing:
            if application.app_id not in self._records:
                return False
            self._store.run(replace, application, self._digests[application.app_id])
            self._records[application.app_id] = application
            return True

    def rotate(self, app_id: str) -> str | None:
        """A new secret in place of the old one; None for an unknown id."""
        with self._writing:
            record = self._records.get(app_id)
            return None if record is None else self._write(record, new_secret())

    def delete(self, app_id: str) -> None:
        with self._writing:
            self._store.run(delete, app_id)
            self._records.pop(app_id, None)
            self._digests.pop(app_id, None)

    def bootstrap(self, given: tuple[str, str] | None) -> None:
        """The application of `management.bootstrap_app`, else a random one for an empty table, shown once."""
        if given:
            app_id, secret = given
            with self._writing:
                record = self._records.get(app_id) or Application(app_id, app_id, "Application user")
                self._write(record, secret)
        elif not self._records:
            created = self.add(Application("admin", "admin", "Created at the first start"))
            print(
                f"Created the application admin with the secret {created} (shown only now)",
                file=sys.stderr,
                flush=True,
            )

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), hashlib.sha256)

    def _write(self, application: Application, secret: str) -> str:
        digest = self._digest(secret)
        self._store.run(replace, application, digest)
        self._records[application.app_id] = application
        self._digests[application.app_id] = digest
        return secret


def new_secret() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def select(connection: sqlite3.Connection) -> tuple[bytes, list[sqlite3.Row]]:
    key = connection.execute("SELECT key FROM secret_key").fetchone()["key"]
    return key, connection.execute("SELECT * FROM application").fetchall()


def replace(connection: sqlite3.Connection, application: Application, digest: bytes) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO application (app_id, name, desc, status, expired, style, names, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*msgspec.structs.astuple(application), digest),
    )


def delete(connection: sqlite3.Connection, app_id: str) -> None:
    connection.execute("DELETE FROM application WHERE app_id = ?", (app_id,))


def from_row(row: sqlite3.Row) -> Application:
    return Application(
        row["app_id"],
        row["name"],
        row["desc"],
        bool(row["status"]),
        row["expired"],
        row["style"],
        row["names"],
    )
