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

if TYPE_CHECKING:
    from emqx_mgmt.storage.store import Store

SECRET_LENGTH = 52
ALPHABET = string.ascii_letters + string.digits


class Application(msgspec.Struct, frozen=True):
    """A record without its secret, of which only a keyed digest is kept. `expired` is unix seconds, None for never."""

    app_id: str
    name: str
    desc: str = ""
    status: bool = True
    expired: int | None = None


class Applications:
    """The table, and a copy of it in memory: credentials come with every request."""

    def __init__(self, store: Store) -> None:
        self._store = store
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
        """The application, when it may log in now with this secret; an unknown id takes as long as a known one."""
        digest = self._digests.get(app_id, b"")
        right = hmac.compare_digest(self._digest(secret), digest)
        record = self._records.get(app_id)
        if not right or record is None or not record.status:
            return None
        return None if record.expired is not None and record.expired < time.time() else record

    def add(self, application: Application, secret: str | None = None) -> str:
        """Stores a new application, or replaces one; returns its secret, which cannot be read again."""
        secret = secret or "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
        self._write(application, self._digest(secret))
        return secret

    def update(self, application: Application) -> bool:
        """Replaces everything but the secret; False for an unknown id."""
        digest = self._digests.get(application.app_id)
        if digest is None:
            return False
        self._write(application, digest)
        return True

    def delete(self, app_id: str) -> None:
        self._store.run(delete, app_id)
        self._records.pop(app_id, None)
        self._digests.pop(app_id, None)

    def bootstrap(self, given: tuple[str, str] | None) -> None:
        """The application of `management.bootstrap_app`, else a random one for an empty table, shown once."""
        if given:
            app_id, secret = given
            self.add(self._records.get(app_id) or Application(app_id, app_id, "Application user"), secret)
        elif not self._records:
            secret = self.add(Application("admin", "admin", "Created at the first start"))
            sentence = f"Created the application admin with the secret {secret} (shown only now)"
            print(sentence, file=sys.stderr, flush=True)

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), hashlib.sha256)

    def _write(self, application: Application, digest: bytes) -> None:
        self._store.run(replace, application, digest)
        self._records[application.app_id] = application
        self._digests[application.app_id] = digest


def select(connection: sqlite3.Connection) -> tuple[bytes, list[sqlite3.Row]]:
    key = connection.execute("SELECT key FROM secret_key").fetchone()["key"]
    return key, connection.execute("SELECT * FROM application").fetchall()


def replace(connection: sqlite3.Connection, application: Application, digest: bytes) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO application (app_id, digest, name, desc, status, expired) VALUES (?, ?, ?, ?, ?, ?)",
        (application.app_id, digest, application.name, application.desc, application.status, application.expired),
    )


def delete(connection: sqlite3.Connection, app_id: str) -> None:
    connection.execute("DELETE FROM application WHERE app_id = ?", (app_id,))


def from_row(row: sqlite3.Row) -> Application:
    return Application(row["app_id"], row["name"], row["desc"], bool(row["status"]), row["expired"])
