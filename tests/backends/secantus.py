"""SecantusDB: a server that speaks MongoDB's protocol, with users, TLS and storage. The test set-up installs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pymongo

from tests.backends.server import Server, needs

PROGRAM = Path(sys.prefix) / "secantusdb/bin/secantusd-py"
ADMIN = "admin"


class Secantus(Server):
    """It serves plain connections or TLS, not both: over TLS another one has the same documents."""

    name = "secantusdb"
    plugin = "emqx_auth_mongo"
    prefix = "auth.mongo"
    password = "its\\own'secret"
    user, user_group = "root", "root"   # it does not mind, and its place may be closed to others
    denies = False
    denies_unlisted = True

    def __init__(self, directory: Path, is_secure: bool = False) -> None:
        super().__init__(directory)
        needs(str(PROGRAM))
        self.certify()
        self.is_secure = is_secure
        self.has_users = False
        self.secured: Secantus | None = None
        self._client: Any = None

    def command(self) -> list[str]:
        return [str(PROGRAM), "--host", "127.0.0.1", "--port", str(self.port), "--storage-path",
                f"{self.directory}/data", "--standalone", "--log-level", "WARNING", "--cache-size", "64M",
                "--sync-on-commit",
                *(["--auth"] if self.has_users else []),
                *(["--tls-cert-file", f"{self.directory}/cert.pem", "--tls-key-file", f"{self.directory}/key.pem"]
                  if self.is_secure else [])]

    def settings(self) -> dict[str, str]:
        return {"server": f"127.0.0.1:{self.port}", "login": "broker", "password": self.password}

    def secure_settings(self, authority: Path) -> dict[str, str]:
        if self.secured is None:
            self.secured = other = Secantus(self.directory / "secured", is_secure=True)
            other.start()
            other.set_up()
            for name in ("mqtt_user", "mqtt_acl"):
                if documents := list(self.database[name].find()):
                    other.database[name].insert_many(documents)
        trusted = authority if authority.name != "ca.pem" else self.secured.directory / "ca.pem"
        return self.secured.settings() | {"ssl": "on", "ssl.cafile": str(trusted)}

    def kill(self) -> None:
        self._hang_up()
        super().kill()
        if self.secured is not None:
            self.secured.kill()
            self.secured = None

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def database(self) -> Any:
        if self._client is None:
            self._client = self._connected()
        return self._client["mqtt"]

    def _connected(self) -> Any:
        known: dict[str, Any] = {"username": ADMIN, "password": ADMIN, "authSource": ADMIN} if self.has_users else {}
        if self.is_secure:
            known |= {"tls": True, "tlsCAFile": f"{self.directory}/ca.pem"}
        return pymongo.MongoClient("127.0.0.1", self.port, directConnection=True, **known)

    def set_up(self) -> None:
        """The first users are made by anybody; the server asks who one is from then on."""
        self.database.client[ADMIN].command("createUser", ADMIN, pwd=ADMIN, roles=["root"])
        self.database.command("createUser", "broker", pwd=self.password, roles=[{"role": "read", "db": "mqtt"}])
        self.kill()
        self.has_users = True
        self.start()

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        fields = {"username": username, "password": password, "salt": salt, "is_superuser": is_super}
        self.database.mqtt_user.replace_one({"username": username}, {
            field: value for field, value in fields.items() if value is not None}, upsert=True)

    def add_rule(self, allow: int, topic: str, access: int = 3, username: str = "") -> None:
        assert allow, "a document has no rules that deny"
        array = {1: "subscribe", 2: "publish", 3: "pubsub"}[access]
        self.database.mqtt_acl.update_one({"username": username}, {"$push": {array: topic}}, upsert=True)
