"""Applications: the credentials of programs that use the management API (behaviour, section 2.4)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import sqlite3
import string
import time
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run

log = logging.getLogger(__name__)

SECRET_LENGTH = 52
ALPHABET = string.ascii_letters + string.digits


class Application(msgspec.Struct, frozen=True):
    """An application without its secret, of which only a keyed digest is stored. `expired` in unix seconds, None for
    never. `style` and `names` choose the form of answers, None: the listener's. `scopes` are the resources that it may
    use, None for all."""

    app_id: str
    name: str
    desc: str = ""
    status: bool = True
    expired: int | None = None
    style: str | None = None
    names: str | None = None
    role: str = "administrator"
    scopes: tuple[str, ...] | None = None


class Digests(msgspec.Struct, frozen=True):
    """`digest` of the current secret; `former` of the previous one, accepted until `former_until` (unix seconds)."""

    digest: bytes = b""
    former: bytes = b""
    former_until: int = 0


class Applications:
    """The table, and its copy in memory, since credentials come with every request."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # The copy follows the table in the order of the writes.
        self._writing = BoundedSemaphore()
        self._key = b""
        self._digests: dict[str, Digests] = {}
        self._records: dict[str, Application] = {}

    def load(self) -> None:
        """Reads all into memory; called once the store is open."""
        self._key, rows = self._run(select)
        self._digests = {
            row["app_id"]: Digests(row["digest"], row["former_digest"] or b"", row["former_until"] or 0) for row in rows
        }
        self._records = {row["app_id"]: from_row(row) for row in rows}

    def all(self) -> list[Application]:
        """By app id."""
        return [self._records[app_id] for app_id in sorted(self._records)]

    def get(self, app_id: str) -> Application | None:
        """None for an unknown app id."""
        return self._records.get(app_id)

    def verify(self, app_id: str, secret: str) -> Application | None:
        """The application, where the secret is right and it may log in now. Takes as long for an unknown id as for a
        known one."""
        now = time.time()
        known, given = self._digests.get(app_id, Digests()), self._digest(secret)
        right = hmac.compare_digest(given, known.digest)
        right |= hmac.compare_digest(given, known.former) and now < known.former_until
        record = self._records.get(app_id)
        if not right or record is None or not record.status:
            return None
        return None if record.expired is not None and record.expired < now else record

    def add(self, application: Application, secret: str | None = None) -> str | None:
        """Stores a new application. Returns its secret, which cannot be read again, or None when the id is taken."""
        with self._writing:
            if application.app_id in self._records:
                return None
            return self._change_secret(application, secret or new_secret())

    def update(self, application: Application) -> bool:
        """Replaces everything but the secret; False for an unknown id."""
        with self._writing:
            if application.app_id not in self._records:
                return False
            self._write(application, self._digests[application.app_id])
            return True

    def rotate(self, app_id: str, overlap: int = 0) -> str | None:
        """Makes a new secret, and accepts the old one for `overlap` seconds more. None for an unknown id."""
        with self._writing:
            record = self._records.get(app_id)
            return None if record is None else self._change_secret(record, new_secret(), overlap)

    def delete(self, app_id: str) -> None:
        """Nothing happens for an unknown app id. Raises StoreUnusable."""
        with self._writing:
            self._run(delete, app_id)
            self._records.pop(app_id, None)
            self._digests.pop(app_id, None)

    def bootstrap(self, given: tuple[str, str] | None) -> None:
        """Makes the application of `management.bootstrap_app` where its id is not taken; without that setting, a random
        one for an empty table, whose secret is shown once. An existing application is left alone, since its secret may
        have been rotated."""
        if given:
            app_id, secret = given
            added = self.add(Application(app_id, app_id, "Application user"), secret)
            if added is None and not self._is(app_id, secret):
                log.warning("The secret of management.bootstrap_app differs from the stored secret of the application "
                            "%r: the stored one counts. Take the setting away, or rotate the secret.", app_id)
        elif not self._records:
            created = self.add(Application("admin", "admin", "Created at the first start"))
            # Past the levels of the log: nobody could use the API otherwise.
            log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, "Created the application admin with the "
                                      "secret %s (shown only now)", (created,), None,
                                      extra={"event": "application_created"}))

    def _is(self, app_id: str, secret: str) -> bool:
        """Whether this is the application's current secret."""
        return hmac.compare_digest(self._digest(secret), self._digests[app_id].digest)

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), hashlib.sha256)

    def _change_secret(self, application: Application, secret: str, overlap: int = 0) -> str:
        former = self._digests[application.app_id].digest if overlap else b""
        self._write(application, Digests(self._digest(secret), former, int(time.time()) + overlap if overlap else 0))
        return secret

    def _write(self, application: Application, digests: Digests) -> None:
        self._run(replace, application, digests)
        self._records[application.app_id] = application
        self._digests[application.app_id] = digests


def new_secret() -> str:
    """Random, from the system's source."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def select(connection: sqlite3.Connection) -> tuple[bytes, list[sqlite3.Row]]:
    """The key of the digests, and all rows."""
    key = connection.execute("SELECT key FROM secret_key").fetchone()["key"]
    return key, connection.execute("SELECT * FROM application").fetchall()


def replace(connection: sqlite3.Connection, application: Application, digests: Digests) -> None:
    """Adds the row or replaces it."""
    scopes = None if application.scopes is None else " ".join(application.scopes)
    connection.execute(
        "INSERT OR REPLACE INTO application (app_id, name, desc, status, expired, style, names, role, scopes,"
        " digest, former_digest, former_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*msgspec.structs.astuple(application)[:-1], scopes, *msgspec.structs.astuple(digests)),
    )


def delete(connection: sqlite3.Connection, app_id: str) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM application WHERE app_id = ?", (app_id,))


def from_row(row: sqlite3.Row) -> Application:
    """The application of a row."""
    return Application(
        row["app_id"],
        row["name"],
        row["desc"],
        bool(row["status"]),
        row["expired"],
        row["style"],
        row["names"],
        row["role"],
        None if row["scopes"] is None else tuple(row["scopes"].split()),
    )
