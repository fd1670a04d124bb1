"""Users and rules from an LDAP directory (behaviour, 22.4)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import math
import re
import ssl
from collections.abc import Callable
from typing import Any

from emqx_mgmt.broker.auth.client import Client, Grant, Ruling
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule, deciding
from emqx_mgmt.plugins.lookup.memory import ExpiringMap
from emqx_mgmt.plugins.lookup.plugin import MOST_REMEMBERED, LookupAuth, common_settings, dollar_users
from emqx_mgmt.plugins.lookup.pool import Pool
from emqx_mgmt.plugins.lookup.servers import SERVERS, Server, first_reachable
from emqx_mgmt.plugins.lookup.tls import TlsFiles, tls_settings
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, FLAG, STRING, enum, integer

PREFIX = "auth.ldap"
ENABLED = "isEnabled"
TOPICS = {"mqttPublishTopic": PUBLISH, "mqttSubscriptionTopic": SUBSCRIBE, "mqttPubSubTopic": PUBLISH | SUBSCRIBE}
# RFC 2307's schemes: the digest, then the salt where there is one.
DIGESTS = {"MD5": "md5", "SMD5": "md5", "SHA": "sha1", "SSHA": "sha1", "SHA256": "sha256", "SSHA256": "sha256",
           "SHA512": "sha512", "SSHA512": "sha512"}
SCHEME = re.compile(rb"\{([A-Za-z0-9-]+)\}(.*)", re.DOTALL)


class AuthLdap(LookupAuth):
    name = "emqx_auth_ldap"
    description = "EMQ X Authentication/ACL with LDAP"
    prefix = PREFIX
    driver = "ldap3"
    extra = "ldap"
    other_timeout = f"{PREFIX}.timeout"
    settings = (
        Key(f"{PREFIX}.servers", SERVERS, "127.0.0.1", "Hosts, or host:port, divided by commas: the first that takes "
            "a connection."),
        Key(f"{PREFIX}.port", integer(1, 65535), "389", "The port of servers that name none."),
        Key(f"{PREFIX}.pool", integer(1, 1000), "8", "Connections to the directory at most."),
        Key(f"{PREFIX}.bind_dn", STRING, "cn=root,dc=emqx,dc=io", "Who searches the directory."),
        Key(f"{PREFIX}.bind_password", STRING, "public", "Its password.", secret=True),
        Key(f"{PREFIX}.timeout", DURATION_KIND, "30s", "As query_timeout, in EMQ X: the shorter one counts."),
        Key(f"{PREFIX}.device_dn", STRING, "ou=device,dc=emqx,dc=io", "Where the users are."),
        Key(f"{PREFIX}.match_objectclass", STRING, "mqttUser", "What the users are."),
        Key(f"{PREFIX}.username.attributetype", STRING, "uid", "The attribute with the user name."),
        Key(f"{PREFIX}.password.attributetype", STRING, "userPassword", "The attribute with the password."),
        Key(f"{PREFIX}.method", enum("hash", "bind"), "hash", "hash compares the stored password; bind has the "
            "directory compare it."),
        Key(f"{PREFIX}.accept_without_password", FLAG, "off", "Let in users who have no password attribute, as EMQ X "
            "does."),
        dollar_users(PREFIX),
        Key(f"{PREFIX}.ssl", FLAG, "false", "Connect over TLS."),
        Key(f"{PREFIX}.starttls", FLAG, "off", "Change to TLS after connecting."),
        *tls_settings(f"{PREFIX}.ssl"),
        *common_settings(PREFIX),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.core.exceptions.LDAPException

    def open(self) -> None:
        settings = self.host.settings
        self.pool_size = settings[f"{PREFIX}.pool"]
        self._rules: ExpiringMap[str, list[TopicRule]] = ExpiringMap(MOST_REMEMBERED)
        self._searches = Pool(self._bound, self._end, self._is_lost, self.pool_size)
        self._binds = Pool(self._connect, self._end, self._is_lost, self.pool_size)

    @property
    def pool_in_use(self) -> int:
        return self._searches.in_use + self._binds.in_use

    def ping(self) -> None:
        self._searches.run(lambda connection: self._search(connection, "", "(objectClass=*)", []))

    def shut(self) -> None:
        self._searches.close()
        self._binds.close()

    # -- connections ------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        """Makes a new server object each time, because the library does not try a failed one again for seconds."""
        return first_reachable(self.host.settings[f"{PREFIX}.servers"], self._connect_to, self.errors)

    def _connect_to(self, where: Server) -> Any:
        settings, ldap = self.host.settings, self.imported
        seconds = self.query_timeout
        server = ldap.Server(where.host, port=where.port or settings[f"{PREFIX}.port"],
                             use_ssl=settings[f"{PREFIX}.ssl"], tls=self._tls(), get_info=ldap.NONE,
                             connect_timeout=seconds)
        connection = ldap.Connection(server, client_strategy=ldap.SAFE_SYNC, receive_timeout=math.ceil(seconds),
                                     raise_exceptions=False)
        connection.open()
        if settings[f"{PREFIX}.starttls"]:
            connection.start_tls()
        return connection

    def _tls(self) -> Any:
        settings = self.host.settings
        if not settings[f"{PREFIX}.ssl"] and not settings[f"{PREFIX}.starttls"]:
            return None
        files = TlsFiles.of(settings, f"{PREFIX}.ssl")
        return self.imported.Tls(
            validate=ssl.CERT_REQUIRED if settings[f"{PREFIX}.ssl.verify"] else ssl.CERT_NONE,
            ca_certs_file=files.authority or None, local_certificate_file=files.certificate or None,
            local_private_key_file=files.key or None)

    def _bound(self) -> Any:
        connection = self._connect()
        if not self._bind(connection, self.host.settings[f"{PREFIX}.bind_dn"],
                          self.host.settings[f"{PREFIX}.bind_password"]):
            self._end(connection)
            raise OSError(f"the directory refuses {PREFIX}.bind_dn and its password")
        return connection

    def _bind(self, connection: Any, name: str, password: str) -> bool:
        connection.user, connection.password, connection.authentication = name, password, self.imported.SIMPLE
        done, _, _, _ = connection.bind()
        return bool(done)

    def _end(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection.strategy.close()

    def _is_lost(self, error: Exception) -> bool:
        lost = self.imported.core.exceptions
        return isinstance(error, (lost.LDAPSocketSendError, lost.LDAPSessionTerminatedByServerError,
                                  lost.LDAPSocketOpenError)) or "socket" in str(error).lower()

    def _search(self, connection: Any, base: str, condition: str, attributes: list[str]) -> list[Any]:
        done, result, found, _ = connection.search(
            base, condition, search_scope=self.imported.SUBTREE if base else self.imported.BASE, attributes=attributes)
        if not done and result["description"] not in ("success", "noSuchObject"):
            raise OSError(f"the directory answered {result['description']} {result['message']}".strip())
        return [entry for entry in found or () if entry["type"] == "searchResEntry"]

    # -- the decisions ----------------------------------------------------------------------------------

    def identify(self, client: Client) -> bool | Grant | None:
        if not client.username:
            return None
        if client.username.startswith("$") and not self.host.settings[f"{PREFIX}.dollar_users"]:
            return False
        entry = self._entry(client, client.username)
        if entry is None:
            return None
        if [value.upper() for value in entry[1].get(ENABLED, ())] == [b"FALSE"]:
            return False
        if not client.password:
            return False  # a directory takes a bind without a password for an anonymous one (RFC 4513, 5.1.2)
        if self.host.settings[f"{PREFIX}.method"] == "bind":
            return self._binds_as(entry[0], client.password)
        stored = entry[1].get(self.host.settings[f"{PREFIX}.password.attributetype"], [])
        if not stored:
            return bool(self.host.settings[f"{PREFIX}.accept_without_password"])
        return any(matches(client.password, one) for one in stored)

    def _entry(self, client: Client, username: str) -> tuple[str, dict[str, list[bytes]]] | None:
        """The name of the user's entry, and its attributes. Its rules do not depend on the topic and are kept as long
        as verdicts are; a client that connects again gets the new rules."""
        settings = self.host.settings
        escape: Callable[[str], str] = self.imported.utils.conv.escape_filter_chars
        condition = (f"(&(objectClass={settings[f'{PREFIX}.match_objectclass']})"
                     f"({settings[f'{PREFIX}.username.attributetype']}={escape(username)}))")
        attributes = [settings[f"{PREFIX}.password.attributetype"], ENABLED, *TOPICS]
        found = self.ask(("entry", username), lambda: self._searches.run(
            lambda connection: self._search(connection, settings[f"{PREFIX}.device_dn"], condition, attributes)))
        if len(found) != 1:
            self._keep(client, username, [])
            return None  # no entry, or more than one
        name, attributes_of = found[0]["dn"], {key: list(values) for key, values in found[0]["raw_attributes"].items()}
        self._keep(client, username, rules_of(name, attributes_of))
        return name, attributes_of

    def _keep(self, client: Client, username: str, rules: list[TopicRule]) -> None:
        if seconds := self.keep_for(client):
            self._rules.put(username, rules, seconds)

    def _binds_as(self, name: str, password: bytes) -> bool:
        try:
            text = password.decode()
        except UnicodeDecodeError:
            return False
        return self.ask(("bind", name, password), lambda: self._binds.run(
            lambda connection: self._bind(connection, name, text)))

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        if not client.username or client.username.startswith("$"):
            return None
        rules = self._rules.get(client.username)
        if rules is None:
            entry = self._entry(client, client.username)
            rules = [] if entry is None else rules_of(*entry)
        found = deciding(rules, client, access, topic)
        return Ruling(True, found.source) if found else None

    def forget(self, client: Client | None = None) -> None:
        super().forget(client)
        if client is None:
            self._rules.clear()
        elif client.username:
            self._rules.drop(client.username)


def rules_of(name: str, attributes: dict[str, list[bytes]]) -> list[TopicRule]:
    """The rules of the entry `name`."""
    return [TopicRule(True, allowed, value.decode("utf-8", "replace"), f"{attribute} of {name}")
            for attribute, allowed in TOPICS.items() for value in attributes.get(attribute, ())]


def matches(password: bytes, stored: bytes) -> bool:
    """RFC 2307's `{SCHEME}base64`, which may be wrapped in base64 once more, or the password itself."""
    with contextlib.suppress(binascii.Error):
        unwrapped = base64.b64decode(stored, validate=True)
        if SCHEME.fullmatch(unwrapped):
            stored = unwrapped
    found = SCHEME.fullmatch(stored)
    if found is None:
        return hmac.compare_digest(password, stored)
    name = DIGESTS.get(found[1].decode().upper())
    if name is None:
        return False
    try:
        decoded = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return False
    size = hashlib.new(name).digest_size
    digest, salt = decoded[:size], decoded[size:]
    return hmac.compare_digest(hashlib.new(name, password + salt).digest(), digest)
