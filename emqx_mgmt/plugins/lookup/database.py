"""Databases of users: a stored password for each, and rows of rules about topics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from emqx_mgmt.broker.auth.client import Client, Grant, Ruling
from emqx_mgmt.broker.auth.topic_rules import TopicRule, deciding
from emqx_mgmt.plugins.hash_forms import HASH_FORM, HashForm, octets
from emqx_mgmt.plugins.lookup.auth import BackendFailed
from emqx_mgmt.plugins.lookup.memory import ExpiringMap, keyed_digest
from emqx_mgmt.plugins.lookup.plugin import (
    MOST_REMEMBERED,
    LookupAuth,
    common_settings,
    dollar_users,
    identity,
)
from emqx_mgmt.plugins.placeholders import are_missing
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import integer

if TYPE_CHECKING:
    from emqx_mgmt.plugins.host import Host

# How long a password that matched a slow hash is known again. With bcrypt's cost of 10, ten thousand clients that
# reconnect would take ten minutes of a core otherwise.
REMEMBERED_S = 300.0


@dataclass(frozen=True, slots=True)
class StoredUser:
    """`password` as `password_hash` says; None or empty: the user has none, and is not let in.
    `is_super` None: to be asked for."""

    password: str | None
    salt: str = ""
    is_super: bool | None = None


def database_settings(prefix: str, password_hash: str, hash_key: str) -> tuple[Key, ...]:
    return (
        Key(f"{prefix}.pool", integer(1, 1000), "8", "Connections to the back-end at most."),
        Key(hash_key, HASH_FORM, password_hash, "How the stored passwords are hashed."),
        dollar_users(prefix),
        *common_settings(prefix),
    )


class DatabaseAuth(LookupAuth):
    """`denies_unlisted`: a client that has rules, none of which is about the topic, is denied (behaviour, 22).
    `hash_key`: the setting that says how passwords are hashed."""

    denies_unlisted: ClassVar[bool] = False
    hash_key: ClassVar[str]

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._matched: ExpiringMap[bytes, bool] = ExpiringMap(MOST_REMEMBERED)
        self._rules: ExpiringMap[Hashable, list[TopicRule]] = ExpiringMap(MOST_REMEMBERED)

    # -- what a database defines ------------------------------------------------------------------------

    @property
    @abstractmethod
    def auth_placeholders(self) -> frozenset[str]:
        """Of the query for a user: it is not asked about a client that lacks what they stand for."""

    @abstractmethod
    def find_user(self, client: Client) -> StoredUser | None:
        """None: the database does not know the client."""

    def ask_is_super(self, client: Client) -> bool:
        """Asked where `find_user` does not say it."""
        return False

    @abstractmethod
    def find_rules(self, client: Client) -> list[TopicRule]:
        """Those that are about this client, in the order in which they are asked."""

    # -- the decisions ----------------------------------------------------------------------------------

    def load(self) -> None:
        form: HashForm = self.host.settings[self.hash_key]
        if form.is_weak:
            self.host.log.warning("plugin %s: %s = %s protects no password: whoever reads the table can "
                                  "guess them; bcrypt, pbkdf2 and argon2 do protect them", self.name, self.hash_key,
                                  form.text)
        super().load()
        # What is known of a client's rules is that of one connection.
        self.host.hook("client.connected", self._forget_rules)
        self.host.hook("client.disconnected", self._forget_rules)

    def _forget_rules(self, client: Client, *_: object) -> None:
        self._rules.drop(identity(client))

    def identify(self, client: Client) -> bool | Grant | None:
        if are_missing(self.auth_placeholders, client):
            return None
        if self._has_no_rules(client) and not self.host.settings[f"{self.prefix}.dollar_users"]:
            return False
        user = self.ask(("user", *identity(client)), lambda: self.find_user(client))
        if user is None:
            return None
        if client.password is None or not user.password or not self._is_right(client.password, user):
            return False
        return Grant(self._is_super(client, user))

    def _is_super(self, client: Client, user: StoredUser) -> bool:
        if user.is_super is not None:
            return user.is_super
        return self.ask(("super", *identity(client)), lambda: self.ask_is_super(client))

    def find_is_super(self, client: Client) -> bool | None:
        if are_missing(self.auth_placeholders, client):
            return None
        user = self.ask(("user", *identity(client)), lambda: self.find_user(client))
        return None if user is None else self._is_super(client, user)

    def _is_right(self, password: bytes, user: StoredUser) -> bool:
        form: HashForm = self.host.settings[self.hash_key]
        stored = user.password or ""
        if form.needs_salt and not user.salt:
            raise BackendFailed(f"{self.hash_key} = {form.text} needs a salt, and the answer has none")
        if not form.is_slow:
            return form.matches(password, stored, user.salt)
        key = keyed_digest(form.text.encode(), octets(stored), octets(user.salt), password)
        if self._matched.get(key):
            return True
        matches = self.host.in_thread(form.matches, password, stored, user.salt)
        if matches:
            self._matched.put(key, True, REMEMBERED_S)
        return matches

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        if self._has_no_rules(client):
            return None
        rules = self._rules_of(client)
        found = deciding(rules, client, access, topic)
        if found is not None:
            return Ruling(found.allow, found.source)
        return Ruling(False, "no rule matches") if rules and self.denies_unlisted else None

    def _rules_of(self, client: Client) -> list[TopicRule]:
        """Fetched once and kept as long as verdicts are: they do not depend on the topic."""
        key = identity(client)
        rules = self._rules.get(key)
        if rules is None:
            rules = self.ask(("rules", *key), lambda: self.find_rules(client))
            if seconds := self.keep_for(client):
                self._rules.put(key, rules, seconds)
        return rules

    def _has_no_rules(self, client: Client) -> bool:
        """User names beginning with `$` skip the ACL, as in EMQ X."""
        return client.username is not None and client.username.startswith("$")

    def forget(self, client: Client | None = None) -> None:
        super().forget(client)
        if client is not None:
            self._forget_rules(client)
        else:
            self._matched.clear()
            self._rules.clear()
