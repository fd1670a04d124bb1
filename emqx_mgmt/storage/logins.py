"""Log-ins of browsers to the dashboard: the table, and a copy of it in memory."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run

COOKIE_BYTES = 32
# Of one user; beyond that the one that was used longest ago ends.
MOST_OF_ONE = 100


class Login(msgspec.Struct):
    """`digest` is SHA-256 of the cookie, which nobody keeps. `since` and `seen` (the latest request) are unix seconds;
    `address` and `browser` are those of the log-in."""

    number: int
    digest: bytes
    username: str
    since: int
    seen: int
    address: str
    browser: str


class BrowserLogins:
    """A login counts until it is unused for `idle_timeout` or as old as `lifetime`, both in seconds. Those of a user
    end with the password and the role that they were begun with: `Users` sees to it in the same transaction."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._by_digest: dict[bytes, Login] = {}
        self._written: dict[int, int] = {}  # by number: `seen` as it is on disk
        self.idle_timeout = self.lifetime = 0.0
        self.are_offered = False    # while the dashboard is there

    def load(self) -> None:
        """Reads all into memory; called once the store is open."""
        for row in self._run(select):
            self._keep(Login(*row))

    def all(self) -> list[Login]:
        """By number, also those that are over."""
        return sorted(self._by_digest.values(), key=lambda login: login.number)

    def current(self, now: float) -> list[Login]:
        """Those that are not over at `now`, unix seconds."""
        return [login for login in self.all() if self.left(login, now) > 0]

    def begin(self, username: str, version: str, address: str, browser: str, now: float) -> tuple[str, Login] | None:
        """The cookie and its login. `version` is the user's when the password was verified: None when there is another
        by now."""
        cookie = secrets.token_hex(COOKIE_BYTES)
        digest = digest_of(cookie)
        number = self._run(insert, (digest, username, int(now), int(now), address, browser), version)
        if number is None:
            return None
        login = self._keep(Login(number, digest, username, int(now), int(now), address, browser))
        own = sorted((one for one in self.all() if one.username == username), key=lambda one: (one.seen, one.number))
        for surplus in own[:-MOST_OF_ONE]:
            self.end(surplus)
        return cookie, login

    def find(self, cookie: str, now: float) -> Login | None:
        """The login of a cookie, and marks it as used. Does not switch greenlets."""
        login = self._by_digest.get(digest_of(cookie)) if self.are_offered else None
        if login is None or self.left(login, now) <= 0:
            return None
        login.seen = max(login.seen, int(now))
        return login

    def left(self, login: Login, now: float) -> float:
        """Seconds until it ends if it is not used again; 0 when it is over."""
        if login.digest not in self._by_digest:
            return 0.0
        return max(0.0, min(login.seen + self.idle_timeout, login.since + self.lifetime) - now)

    def end(self, login: Login) -> None:
        """The cookie is worth nothing any more. Raises StoreUnusable."""
        self._forget([login])
        self._run(delete, [login.number])

    def end_all(self) -> None:
        """Ends the log-ins of all users. Raises StoreUnusable."""
        self._forget(self.all())
        self._run(delete_all)

    def ended_with_user(self, username: str, spared: int | None = None) -> None:
        """They are off the disk already."""
        self._forget([one for one in self.all() if one.username == username and one.number != spared])

    def sweep(self, now: float) -> None:
        """Removes what is over, and writes down when the others were used last."""
        over = [login for login in self.all() if self.left(login, now) <= 0]
        self._forget(over)
        used = {login.number: login.seen for login in self.all() if login.seen != self._written[login.number]}
        if over or used:
            self._run(sweep, [login.number for login in over], used)
            self._written.update((number, seen) for number, seen in used.items() if number in self._written)

    def _keep(self, login: Login) -> Login:
        self._by_digest[login.digest] = login
        self._written[login.number] = login.seen
        return login

    def _forget(self, logins: list[Login]) -> None:
        for login in logins:
            self._by_digest.pop(login.digest, None)
            self._written.pop(login.number, None)


def digest_of(cookie: str) -> bytes:
    """What is stored of a cookie."""
    return hashlib.sha256(cookie.encode()).digest()


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows by number."""
    return connection.execute(
        "SELECT number, digest, username, since, seen, address, browser FROM login ORDER BY number").fetchall()


def insert(connection: sqlite3.Connection, values: tuple[bytes, str, int, int, str, str], version: str) -> int | None:
    """The number of the new row; None when the user or its password has changed meanwhile."""
    done = connection.execute(
        "INSERT INTO login (digest, username, since, seen, address, browser) SELECT ?, ?, ?, ?, ?, ?"
        " WHERE EXISTS (SELECT 1 FROM user WHERE username = ? AND hash = ?)", (*values, values[1], version))
    return done.lastrowid if done.rowcount else None


def delete(connection: sqlite3.Connection, numbers: list[int]) -> None:
    """Removes rows by number."""
    connection.executemany("DELETE FROM login WHERE number = ?", [(number,) for number in numbers])


def delete_all(connection: sqlite3.Connection) -> None:
    """Removes all rows."""
    connection.execute("DELETE FROM login")


def delete_of_user(connection: sqlite3.Connection, username: str, spared: int | None = None) -> None:
    """Removes the rows of a user, but for the one of number `spared`."""
    connection.execute("DELETE FROM login WHERE username = ? AND number IS NOT ?", (username, spared))


def sweep(connection: sqlite3.Connection, over: list[int], used: dict[int, int]) -> None:
    """Removes rows that are over, and notes when others were used last."""
    with transaction(connection):
        delete(connection, over)
        connection.executemany("UPDATE login SET seen = ? WHERE number = ?",
                               [(seen, number) for number, seen in used.items()])
