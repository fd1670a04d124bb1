"""Users of the dashboard (behaviour, section 2.5)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

from emqx_mgmt.storage.logins import delete_of_user
from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.logins import BrowserLogins
    from emqx_mgmt.storage.transaction import Run

log = logging.getLogger(__name__)

# One lane each: two at a time are all that may take the machine's cores away from the loop.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
HASHING_THREADS = 2
REMEMBERED_LOGINS = 1024
TOKEN_BYTES = 24
# The first password of the default user, which everybody knows.
PUBLIC_PASSWORD = "public"
ADMINISTRATOR = "administrator"


class User(msgspec.Struct, frozen=True):
    """`tags` is a remark; `role` says what the user may do."""

    username: str
    tags: str
    role: str = ADMINISTRATOR


class FirstPassword(msgspec.Struct, frozen=True):
    """The default user has no password of its own yet: one can be chosen, once, with the token."""

    username: str
    token: str


class LastAdministrator(Exception):
    """Nothing was changed: no administrator would be left."""


class Users:
    """The table, and its copy in memory. Passwords are hashed on threads of their own. Basic credentials come with
    every request, so those that were verified are remembered by a keyed digest, beside the stored hash; a changed
    password makes the digest useless."""

    def __init__(self, run: Run, logins: BrowserLogins) -> None:
        self._run = run
        self._browser_logins = logins
        self._writing = BoundedSemaphore()
        self._hashing: ThreadPool | None = None
        self._hashes: dict[str, str] = {}
        self._records: dict[str, User] = {}
        self._login_key = secrets.token_bytes(32)
        self._logins: OrderedDict[bytes, str] = OrderedDict()
        # Verified against when there is no such user, so that both take as long.
        self._nobody = ""
        self.first_password: FirstPassword | None = None    # while the public one stands
        self.verifying = 0  # verifications that wait or go on

    def load(self) -> None:
        """Reads all into memory; called once the store is open."""
        self._hashing = ThreadPool(HASHING_THREADS)
        self._nobody = self._hash(secrets.token_hex())
        for row in self._run(select):
            self._records[row["username"]] = User(row["username"], row["tags"], row["role"])
            self._hashes[row["username"]] = row["hash"]

    def close(self) -> None:
        """Ends the threads that hash."""
        if self._hashing is not None:
            self._hashing.kill()

    def all(self) -> list[User]:
        """By user name."""
        return [self._records[username] for username in sorted(self._records)]

    def get(self, username: str) -> User | None:
        """None for an unknown user name."""
        return self._records.get(username)

    def version(self, username: str) -> str | None:
        """Changes with the password; None for an unknown name."""
        return self._hashes.get(username)

    def remembered(self, username: str, password: str) -> User | None:
        """The user, where these credentials were verified before and the password is the same. Does not switch
        greenlets."""
        stored = self._logins.get(self._login(username, password))
        return self._records[username] if stored and stored == self._hashes.get(username) else None

    def verify(self, username: str, password: str) -> User | None:
        """The user, where the password is right. Switches greenlets while it is hashed."""
        stored = self._hashes.get(username, self._nobody)
        self.verifying += 1
        try:
            right = self._pool().apply(is_right, (stored, password))
        finally:
            self.verifying -= 1
        # Nobody changed it meanwhile?
        if not right or self._hashes.get(username) != stored:
            return None
        self._logins[self._login(username, password)] = stored
        while len(self._logins) > REMEMBERED_LOGINS:
            self._logins.popitem(last=False)
        return self._records[username]

    def add(self, username: str, password: str, tags: str, role: str = ADMINISTRATOR) -> bool:
        """False when the name is taken."""
        hashed = self._hash(password)
        with self._writing:
            if username in self._records:
                return False
            self._write(User(username, tags, role), hashed)
            return True

    def update(self, username: str, *, tags: str | None = None, role: str | None = None,
               password: str | None = None, spared: int | None = None) -> bool:
        """Replaces the given members; False for an unknown name. A new role or password ends the user's log-ins, but
        for the one of number `spared`. Raises LastAdministrator."""
        hashed = None if password is None else self._hash(password)
        with self._writing:
            before = self._records.get(username)
            if before is None:
                return False
            if role is not None and role != ADMINISTRATOR:
                self._spare_last_administrator(before)
            after = User(username, before.tags if tags is None else tags, role or before.role)
            self._write(after, hashed or self._hashes[username], spared)
            return True

    def delete(self, username: str) -> bool:
        """False for an unknown name. Raises LastAdministrator."""
        with self._writing:
            if username not in self._records:
                return False
            self._spare_last_administrator(self._records[username])
            self._run(delete, username)
            del self._records[username], self._hashes[username]
            self._browser_logins.ended_with_user(username)
            self._password_is_gone(username)
            return True

    def choose_first(self, first: FirstPassword, password: str) -> None:
        """Sets the first password of the default user, in place of the well-known one."""
        self.first_password = None  # before anything switches
        try:
            self.update(first.username, password=password)
        except BaseException:
            self.first_password = first
            raise

    def bootstrap(self, username: str, password: str) -> None:
        """The default user of an empty table; none when either is empty. While the public password stands, another
        `password` takes its place; one that was chosen since counts."""
        if not username or not password:
            return
        if not self._records:
            self.add(username, password, ADMINISTRATOR)
        elif username in self._records and password != PUBLIC_PASSWORD and not self._is(username, password):
            if self._is(username, PUBLIC_PASSWORD):
                self.update(username, password=password)
                log.info("Dashboard user %r has the password of dashboard.default_user.password, no longer the default "
                         "one.", username)
            else:
                log.warning("dashboard.default_user.password differs from the stored password of dashboard user %r: "
                            "the stored one counts (emqx-mgmt admins passwd sets another).", username)
        if username in self._records and self._is(username, PUBLIC_PASSWORD):
            self.first_password = FirstPassword(username, secrets.token_urlsafe(TOKEN_BYTES))
            log.warning("Dashboard user %s still has the default password: it is accepted from this machine only",
                        username)

    def _is(self, username: str, password: str) -> bool:
        """Whether this is the password of a user who is there."""
        right: bool = self._pool().apply(is_right, (self._hashes[username], password))
        return right

    def _spare_last_administrator(self, user: User) -> None:
        if [one.username for one in self._records.values() if one.role == ADMINISTRATOR] == [user.username]:
            raise LastAdministrator

    def _write(self, user: User, hashed: str, spared: int | None = None) -> None:
        before = self._records.get(user.username)
        has_other_password = self._hashes.get(user.username) != hashed
        ends_logins = has_other_password or before is None or before.role != user.role
        self._run(replace, user, hashed, ends_logins, spared)
        self._records[user.username] = user
        self._hashes[user.username] = hashed
        if ends_logins:
            self._browser_logins.ended_with_user(user.username, spared)
        if has_other_password:
            self._password_is_gone(user.username)

    def _password_is_gone(self, username: str) -> None:
        if self.first_password is not None and self.first_password.username == username:
            self.first_password = None

    def _hash(self, password: str) -> str:
        hashed: str = self._pool().apply(HASHER.hash, (password,))
        return hashed

    def _login(self, username: str, password: str) -> bytes:
        return hmac.digest(self._login_key, f"{username}\0{password}".encode(), hashlib.sha256)

    def _pool(self) -> ThreadPool:
        assert self._hashing is not None, "the store is not open"
        return self._hashing


def is_right(stored: str, password: str) -> bool:
    """Whether the hash is the password's. Slow on purpose: call it on a thread."""
    try:
        return HASHER.verify(stored, password)
    except VerificationError:
        return False


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows."""
    return connection.execute("SELECT * FROM user").fetchall()


def replace(connection: sqlite3.Connection, user: User, hashed: str, ends_logins: bool, spared: int | None) -> None:
    """Adds the row or replaces it; `ends_logins` also ends the user's log-ins, but for the one of number `spared`."""
    with transaction(connection):
        connection.execute(
            "INSERT OR REPLACE INTO user (username, hash, tags, role) VALUES (?, ?, ?, ?)",
            (user.username, hashed, user.tags, user.role),
        )
        if ends_logins:
            delete_of_user(connection, user.username, spared)


def delete(connection: sqlite3.Connection, username: str) -> None:
    """Removes the row, if there is one, and the user's log-ins."""
    with transaction(connection):
        connection.execute("DELETE FROM user WHERE username = ?", (username,))
        delete_of_user(connection, username)
