"""Authentication by a table of names and passwords, for user names and for client ids (behaviour, 22.1, 22.9).

About a name that is not in the table the plugin does not decide. A name that is in the table needs its password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct, defstruct

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.plugins.passwords import SCHEMES, SLOW, Hash, hashed, matches
from emqx_mgmt.plugins.plugin import Plugin, Refused, Route
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import PATH, STRING, enum
from emqx_mgmt.settings.regular_file import read_text
from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client

Text = Annotated[str, Meta(min_length=1)]
USERS_PER_TURN = 20  # users of a file that are hashed and stored together


class Password(Struct):
    password: Text


def settings_of(prefix: str, member: str) -> tuple[Key, ...]:
    return (
        Key(f"{prefix}.$n.{member}", STRING, "", f"A {member} to have from the start, with the password of the "
            "same number. Written at each load."),
        Key(f"{prefix}.$n.password", STRING, "", "Its password.", secret=True),
        Key(f"{prefix}.password_hash", enum(*SCHEMES), "sha256",
            "How passwords are hashed that are set from now on. Those that are there keep their scheme.", hot=True),
        Key(f"{prefix}.import_file", PATH, "",
            f"A file of {member}:password lines. At each load those that are new are added."),
    )


def table_of(name: str) -> str:
    return f"""
        CREATE TABLE {name} (
            name   TEXT PRIMARY KEY,
            scheme TEXT NOT NULL,
            salt   TEXT NOT NULL,
            hash   TEXT NOT NULL
        ) WITHOUT ROWID
    """


class PasswordAuth(Plugin):
    """`member` is the word for the name over REST and in the settings. The keys of settings begin with `prefix`.
    `overwrites` says whether adding an existing name replaces its password."""

    member: ClassVar[str]
    prefix: ClassVar[str]
    path: ClassVar[str]
    overwrites: ClassVar[bool]
    decides = ("client.authenticate",)

    def name_of(self, client: Client) -> str | None:
        raise NotImplementedError

    def load(self) -> None:
        self._users: dict[str, Hash] = dict(self.host.store.run(read_all, self.name))
        self._unhashed: dict[str, Hash] = {}  # names and passwords of the file, in plain text
        self._seed()
        file = self.host.settings[f"{self.prefix}.import_file"]
        if file:
            self._import(Path(file))
        self.host.hook("client.authenticate", self.authenticate, blocking=True)

    def _seed(self) -> None:
        """Writes the users of the settings, whose passwords replace those of the table."""
        passwords = self.host.settings.chosen(f"{self.prefix}.$n.password")
        for word, name in self.host.settings.chosen(f"{self.prefix}.$n.{self.member}").items():
            if word not in passwords:
                raise ValueError(f"{self.prefix}.{word}.{self.member} has no {self.prefix}.{word}.password")
            stored = self._users.get(name)
            if stored is None or not self._right(passwords[word].encode(), stored):
                self._set(name, passwords[word])

    def _import(self, file: Path) -> None:
        """Adds the new users of the file. They are accepted at once and hashed afterwards, since bcrypt may need hours
        for a long file."""
        for name, password in lines_of(file):
            if name not in self._users:
                self._unhashed.setdefault(name, hashed(password.encode(), "plain"))
        self._users.update(self._unhashed)
        self.host.log.info("%d new users from %s", len(self._unhashed), file)
        self.host.spawn(self._hash)

    def _hash(self) -> None:
        scheme = self.host.settings[f"{self.prefix}.password_hash"]
        while self._unhashed:
            some = list(islice(self._unhashed.items(), USERS_PER_TURN))
            hashes = {name: self._hashed(plain.text, scheme) for name, plain in some}
            # Leaves out users that were changed or deleted meanwhile.
            stored = {name: one for name, one in hashes.items() if self._unhashed.pop(name, None)}
            self.host.store.run(write, self.name, stored)
            self._users.update(stored)
            yield_to_loop()

    # -- the hook ---------------------------------------------------------------------------------------

    def authenticate(self, client: Client) -> bool | None:
        name = self.name_of(client)
        stored = None if name is None else self._users.get(name)
        if stored is None:
            return None
        return client.password is not None and self._right(client.password, stored)

    def _right(self, password: bytes, stored: Hash) -> bool:
        if stored.scheme in SLOW:
            return self.host.in_thread(matches, password, stored)
        return matches(password, stored)

    def _hashed(self, password: str, scheme: str) -> Hash:
        if scheme in SLOW:
            return self.host.in_thread(hashed, password.encode(), scheme)
        return hashed(password.encode(), scheme)

    def _set(self, name: str, password: str) -> None:
        self._unhashed.pop(name, None)
        user = self._hashed(password, self.host.settings[f"{self.prefix}.password_hash"])
        self.host.store.run(write, self.name, {name: user})
        self._users[name] = user

    # -- REST (v3.1) ------------------------------------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        kind, one = self.member, f"{self.path}/:{self.member}"
        new = defstruct(f"New_{kind}", [(kind, Text), ("password", Text)])
        return (
            Route(f"list_{kind}", "GET", self.path, f"List available {kind} in the cluster", self.list_users),
            Route(f"lookup_{kind}", "GET", one, f"Lookup {kind} in the cluster", self.lookup),
            Route(f"add_{kind}", "POST", self.path, f"Add {kind} in the cluster", self.add, takes=new),
            Route(f"update_{kind}", "PUT", one, f"Update {kind} in the cluster", self.update, takes=Password),
            Route(f"delete_{kind}", "DELETE", one, f"Delete {kind} in the cluster", self.delete),
        )

    def list_users(self) -> list[str]:
        return sorted(self._users)

    def lookup(self, **path: str) -> dict[str, str]:
        """The name, and the scheme and hash of its password."""
        name = path[self.member]
        return {self.member: name, "password_hash": self._known(name).scheme}

    def add(self, params: Struct) -> None:
        name: str = getattr(params, self.member)
        if name in self._users and not self.overwrites:
            raise Refused("existed", 113)  # a return code of the API: the user exists
        self._set(name, params.password)  # type: ignore[attr-defined]

    def update(self, params: Password, **path: str) -> None:
        self._known(path[self.member])
        self._set(path[self.member], params.password)

    def delete(self, **path: str) -> None:
        self._known(path[self.member])
        self._unhashed.pop(path[self.member], None)
        self.host.store.run(remove, self.name, path[self.member])
        del self._users[path[self.member]]

    def _known(self, name: str) -> Hash:
        if name not in self._users:
            raise Refused("not_found", 105)  # the user does not exist
        return self._users[name]


def lines_of(file: Path) -> Iterator[tuple[str, str]]:
    """`name:password`; a password may contain colons. Empty lines and lines that begin with # are skipped."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name or not password:
            raise ValueError(f"{file}:{number}: expected name:password")
        yield name, password


# Table names are constants of the plugins, never a caller's text.


def read_all(connection: sqlite3.Connection, table: str) -> list[tuple[str, Hash]]:
    rows = connection.execute(f"SELECT name, scheme, salt, hash FROM {table}")
    return [(row["name"], Hash(row["scheme"], row["salt"], row["hash"])) for row in rows]


def write(connection: sqlite3.Connection, table: str, users: dict[str, Hash]) -> None:
    rows = [(name, user.scheme, user.salt, user.text) for name, user in users.items()]
    with transaction(connection):
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", rows)


def remove(connection: sqlite3.Connection, table: str, name: str) -> None:
    connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
