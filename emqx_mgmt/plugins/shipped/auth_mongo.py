"""Users and rules from MongoDB (behaviour, 22.5)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule
from emqx_mgmt.plugins.lookup.database import DatabaseAuth, StoredUser, database_settings
from emqx_mgmt.plugins.lookup.servers import SERVERS
from emqx_mgmt.plugins.lookup.tls import NO_EFFECT, TlsFiles, renamed_tls_settings, tls_settings
from emqx_mgmt.plugins.placeholders import OF_CLIENTS, Template, Values
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import FLAG, STRING, Kind, enum, integer

PREFIX = "auth.mongo"
ARRAYS = {"publish": PUBLISH, "subscribe": SUBSCRIBE, "pubsub": PUBLISH | SUBSCRIBE}


@dataclass(frozen=True, slots=True)
class Selector:
    """Which documents are about a client: each field has to be equal to its value. Values are always texts: a user
    name is never an operator of a query."""

    text: str
    fields: tuple[tuple[str, Template], ...]

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset().union(*(value.placeholders for _, value in self.fields))

    def filled(self, values: Values) -> dict[str, Any]:
        return {field: {"$eq": value.fill(values)} for field, value in self.fields}


def parse_selector(text: str) -> Selector | None:
    if not text:
        return None
    pairs = [word.partition("=") for word in text.split(",")]
    if not all(field.strip() and equals and not field.strip().startswith("$") for field, equals, _ in pairs):
        raise ValueError("must be field=value, of several divided by commas")
    selector = Selector(text, tuple((field.strip(), Template.parse(value.strip())) for field, _, value in pairs))
    if not selector.placeholders <= OF_CLIENTS:
        raise ValueError(f"has {min(selector.placeholders - OF_CLIENTS)}, which a selector cannot have")
    return selector


SELECTOR = Kind("string", parse_selector, lambda selector: selector.text if selector else "")


def query_settings(word: str, collection: str, doc: str) -> tuple[Key, ...]:
    return (
        Key(f"{PREFIX}.{word}.collection", STRING, collection, doc),
        Key(f"{PREFIX}.{word}.selector", SELECTOR, "username=%u",
            "Which documents are meant: field=value, divided by commas: all of them have to be equal."),
        Key(f"{PREFIX}.{word}.selector.$n", SELECTOR, "", "Others that will do as well."),
    )


class AuthMongo(DatabaseAuth):
    name = "emqx_auth_mongo"
    description = "EMQ X Authentication/ACL with MongoDB"
    prefix = PREFIX
    driver = "pymongo"
    extra = "mongo"
    denies_unlisted = True
    hash_key = f"{PREFIX}.auth_query.password_hash"
    settings = (
        Key(f"{PREFIX}.type", enum("single", "rs", "sharded", "unknown"), "single", "What the servers are: one, a "
            "replica set, or the routers of a sharded cluster."),
        Key(f"{PREFIX}.rs_set_name", STRING, "", "The name of the replica set."),
        Key(f"{PREFIX}.server", SERVERS, "127.0.0.1:27017", "host:port; of several, divided by commas, any."),
        Key(f"{PREFIX}.srv", FLAG, "off", "The server is a name whose SRV record lists the servers."),
        Key(f"{PREFIX}.srv_record", FLAG, "off", "The same, as later versions of EMQ X name it."),
        Key(f"{PREFIX}.login", STRING, "", "The database's user."),
        Key(f"{PREFIX}.username", STRING, "", "The same, as later versions of EMQ X name it."),
        Key(f"{PREFIX}.password", STRING, "", "Its password.", secret=True),
        Key(f"{PREFIX}.auth_source", STRING, "", "The database that knows this user; empty: the one below."),
        Key(f"{PREFIX}.database", STRING, "mqtt", "The database."),
        Key(f"{PREFIX}.w_mode", STRING, "", NO_EFFECT, inert=True),
        Key(f"{PREFIX}.r_mode", enum("", "undef", "master", "slave_ok"), "", "slave_ok lets secondaries answer; else "
            "the primary does."),
        Key(f"{PREFIX}.ssl", FLAG, "off", "Connect over TLS."),
        *tls_settings(f"{PREFIX}.ssl"),
        *renamed_tls_settings(f"{PREFIX}.ssl_opts"),
        *query_settings("auth_query", "mqtt_user", "Where the users are."),
        Key(f"{PREFIX}.auth_query.password_field", STRING, "password", "The field with the password; with a comma "
            "behind it the field with the salt."),
        Key(f"{PREFIX}.super_query", FLAG, "on", "Ask who is a super user."),
        *query_settings("super_query", "mqtt_user", "Where that is said."),
        Key(f"{PREFIX}.super_query.super_field", STRING, "is_superuser", "The field that is true for them."),
        Key(f"{PREFIX}.acl_query", FLAG, "on", "Ask for rules."),
        *query_settings("acl_query", "mqtt_acl", "Where the rules are: documents with arrays publish, subscribe and "
                        "pubsub of topic filters."),
        Key(f"{PREFIX}.topology.connect_timeout_ms", integer(0), "2000", "How long connecting may take."),
        Key(f"{PREFIX}.topology.socket_timeout_ms", integer(0), "2000", "How long an answer may take."),
        Key(f"{PREFIX}.topology.server_selection_timeout_ms", integer(0), "1500", "How long a server is looked for."),
        Key(f"{PREFIX}.topology.wait_queue_timeout_ms", integer(0), "1000", "How long a connection is waited for."),
        Key(f"{PREFIX}.topology.heartbeat_frequency_ms", integer(500), "1000", "How often the servers are looked at."),
        *(Key(f"{PREFIX}.topology.{word}", STRING, "", NO_EFFECT, inert=True) for word in (
            "pool_size", "max_overflow", "overflow_ttl", "overflow_check_period", "local_threshold_ms",
            "min_heartbeat_frequency_ms")),
        *database_settings(PREFIX, "sha256", f"{PREFIX}.auth_query.password_hash"),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.errors.PyMongoError

    def open(self) -> None:
        settings = self.host.settings
        self._auth, self._super, self._acl = (
            self._selectors(word) for word in ("auth_query", "super_query", "acl_query"))
        field, _, salt = settings[f"{PREFIX}.auth_query.password_field"].partition(",")
        self._password_field, self._salt_field = field.strip(), salt.strip()
        self.pool_size = settings[f"{PREFIX}.pool"]
        self._in_use = 0
        self._client = self._new_client()
        self._database = self._client[settings[f"{PREFIX}.database"]]

    def _selectors(self, word: str) -> list[Selector]:
        settings = self.host.settings
        numbered = settings.chosen(f"{PREFIX}.{word}.selector.$n").values()
        return [selector for selector in (settings[f"{PREFIX}.{word}.selector"], *numbered) if selector is not None]

    @property
    def _is_named_by_srv(self) -> bool:
        return bool(self.host.settings[f"{PREFIX}.srv"] or self.host.settings[f"{PREFIX}.srv_record"])

    def _where(self) -> str | list[str]:
        servers = self.host.settings[f"{PREFIX}.server"]
        if self._is_named_by_srv:
            return f"mongodb+srv://{servers[0].host}"
        return [f"{server.host}:{server.port or 27017}" for server in servers]

    def _options(self) -> dict[str, Any]:
        settings = self.host.settings
        options: dict[str, Any] = {
            "appname": "emqx-mgmt", "maxPoolSize": self.pool_size,
            "unicode_decode_error_handler": "replace",
            "readPreference": "secondaryPreferred" if settings[f"{PREFIX}.r_mode"] == "slave_ok" else "primary",
        }
        for ours, theirs in (("connect_timeout_ms", "connectTimeoutMS"), ("socket_timeout_ms", "socketTimeoutMS"),
                             ("server_selection_timeout_ms", "serverSelectionTimeoutMS"),
                             ("wait_queue_timeout_ms", "waitQueueTimeoutMS"),
                             ("heartbeat_frequency_ms", "heartbeatFrequencyMS")):
            options[theirs] = settings[f"{PREFIX}.topology.{ours}"]
        if settings[f"{PREFIX}.type"] == "rs" and settings[f"{PREFIX}.rs_set_name"]:
            options["replicaSet"] = settings[f"{PREFIX}.rs_set_name"]
        if settings[f"{PREFIX}.type"] == "single" and not self._is_named_by_srv:
            options["directConnection"] = True
        user = settings[f"{PREFIX}.login"] or settings[f"{PREFIX}.username"]
        if user:
            options |= {"username": user, "password": settings[f"{PREFIX}.password"],
                        "authSource": settings[f"{PREFIX}.auth_source"] or settings[f"{PREFIX}.database"]}
        return options

    def _new_client(self) -> Any:
        """The driver takes a certificate and its key from one file, which it reads at once."""
        settings, options = self.host.settings, self._options()
        files = TlsFiles.of(settings, f"{PREFIX}.ssl", f"{PREFIX}.ssl_opts")
        with tempfile.NamedTemporaryFile("w") as both:
            if settings[f"{PREFIX}.ssl"]:
                options |= {"tls": True, "tlsAllowInvalidCertificates": not settings[f"{PREFIX}.ssl.verify"]}
                if files.authority:
                    options["tlsCAFile"] = files.authority
                if files.certificate:
                    both.write("".join(Path(file).read_text() for file in (files.certificate, files.key) if file))
                    both.flush()
                    options["tlsCertificateKeyFile"] = both.name
            try:
                return self.imported.MongoClient(self._where(), connect=False, **options)
            except (OSError, self.imported.errors.ConfigurationError) as error:
                raise ValueError(f"the settings {PREFIX}.* cannot be used: {error}") from None

    @property
    def pool_in_use(self) -> int:
        return self._in_use

    def ping(self) -> None:
        self._client.admin.command("ping")

    def shut(self) -> None:
        self._client.close()

    def _find(self, collection: str, selectors: list[Selector], client: Client) -> list[dict[str, Any]]:
        values = self.values_of(client)
        conditions = [selector.filled(values) for selector in selectors]
        if not conditions:
            return []
        self._in_use += 1
        try:
            found = self._database[self.host.settings[f"{PREFIX}.{collection}.collection"]].find({"$or": conditions})
            return list(found)
        finally:
            self._in_use -= 1

    # -- the questions ----------------------------------------------------------------------------------

    @property
    def auth_placeholders(self) -> frozenset[str]:
        """What each of the selectors has: one without it may find the client."""
        asked = [selector.placeholders for selector in self._auth]
        return frozenset.intersection(*asked) if asked else frozenset()

    def find_user(self, client: Client) -> StoredUser | None:
        found = self._find("auth_query", self._auth, client)
        if not found:
            return None
        password, salt = found[0].get(self._password_field), found[0].get(self._salt_field)
        return StoredUser(password if isinstance(password, str) else None, salt if isinstance(salt, str) else "",
                          self._says_super(found) if self._is_one_query else None)

    @property
    def _is_one_query(self) -> bool:
        """Whether the document with the password also says who is a super user."""
        settings = self.host.settings
        collections = {settings[f"{PREFIX}.{word}.collection"] for word in ("auth_query", "super_query")}
        return len(collections) == 1 and self._auth == self._super

    def ask_is_super(self, client: Client) -> bool:
        return self._says_super(self._find("super_query", self._super, client))

    def _says_super(self, found: list[dict[str, Any]]) -> bool:
        settings = self.host.settings
        return bool(settings[f"{PREFIX}.super_query"] and found
                    and found[0].get(settings[f"{PREFIX}.super_query.super_field"]) is True)

    def find_rules(self, client: Client) -> list[TopicRule]:
        if not self.host.settings[f"{PREFIX}.acl_query"]:
            return []
        return [TopicRule(True, access, topic, f"{array} of document {document.get('_id')}")
                for document in self._find("acl_query", self._acl, client)
                for array, access in ARRAYS.items()
                for topic in document.get(array) or () if isinstance(topic, str)]
