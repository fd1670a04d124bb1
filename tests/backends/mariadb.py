"""MariaDB, from Debian's mariadb-server-core."""

from __future__ import annotations

from pathlib import Path

import pymysql

from tests.backends.server import Server, needs

SCHEMA = """
CREATE TABLE mqtt_user (id int AUTO_INCREMENT PRIMARY KEY, username varchar(100) UNIQUE, password varchar(200),
    salt varchar(60), is_superuser tinyint DEFAULT 0);
CREATE TABLE mqtt_acl (id int AUTO_INCREMENT PRIMARY KEY, allow int, ipaddr varchar(60), username varchar(100),
    clientid varchar(100), access int, topic varchar(100));
"""


class MariaDb(Server):
    name = "mariadb"
    plugin = "emqx_auth_mysql"
    prefix = "auth.mysql"
    password = "its\\own'secret"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        needs("/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db")
        self.certify()
        self.own()
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={directory}/data",
                 "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin")

    def command(self) -> list[str]:
        return ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.directory}/data", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--socket={self.directory}/s", "--innodb-flush-log-at-trx-commit=0",
                "--skip-name-resolve", f"--ssl-cert={self.directory}/cert.pem", f"--ssl-key={self.directory}/key.pem"]

    def set_up(self) -> None:
        quoted = self.password.replace("\\", "\\\\").replace("'", "\\'")
        self.execute("CREATE DATABASE mqtt", database=None)
        for statement in filter(str.strip, SCHEMA.split(";")):
            self.execute(statement)
        self.execute(f"CREATE USER broker@'127.0.0.1' IDENTIFIED BY '{quoted}'")
        self.execute("GRANT SELECT ON mqtt.* TO broker@'127.0.0.1'")

    def execute(self, statement: str, *parameters: object, database: str | None = "mqtt") -> list[tuple[object, ...]]:
        with pymysql.connect(unix_socket=f"{self.directory}/s", user="root", database=database, autocommit=True,
                             charset="utf8mb4") as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        self.execute("REPLACE INTO mqtt_user (username, password, salt, is_superuser) VALUES (%s, %s, %s, %s)",
                     username, password, salt, int(is_super))

    def add_rule(self, allow: int, topic: str, access: int = 3, username: str | None = None,
                 client_id: str | None = None, address: str | None = None) -> None:
        self.execute("INSERT INTO mqtt_acl (allow, ipaddr, username, clientid, access, topic) VALUES "
                     "(%s, %s, %s, %s, %s, %s)", allow, address, username, client_id, access, topic)

    def end_connections(self) -> None:
        """The broker's, as an administrator would."""
        for row in self.execute("SELECT id FROM information_schema.processlist WHERE user = 'broker'"):
            self.execute(f"KILL {row[0]}")
