"""OpenLDAP, from Debian's slapd."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from tests.backends.server import Server, needs
from tests.broker_process import free_ports

BASE = "dc=emqx,dc=io"
ADMIN = f"cn=root,{BASE}"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.1.3 NAME 'isEnabled' EQUALITY booleanMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.1 NAME 'mqttPublishTopic' EQUALITY caseExactMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.2 NAME 'mqttSubscriptionTopic' EQUALITY caseExactMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.3 NAME 'mqttPubSubTopic' EQUALITY caseExactMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4 NAME 'mqttUser' AUXILIARY
    MAY ( mqttPublishTopic $ mqttSubscriptionTopic $ mqttPubSubTopic $ isEnabled $ userPassword ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {directory}/slapd.pid
TLSCACertificateFile {directory}/ca.pem
TLSCertificateFile {directory}/cert.pem
TLSCertificateKeyFile {directory}/key.pem
database mdb
suffix "dc=emqx,dc=io"
rootdn "cn=root,dc=emqx,dc=io"
rootpw public
directory {directory}/data
maxsize 10485760
"""


class OpenLdap(Server):
    name = "slapd"
    plugin = "emqx_auth_ldap"
    prefix = "auth.ldap"
    password = "public"
    secret = "bind_password"
    has_supers = has_hashes = denies = False
    rules_come_with_user = asks_by_name = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        needs("/usr/sbin/slapd", "/usr/bin/ldapadd")
        (directory / "data").mkdir()
        self.tls_port = free_ports(1)[0]
        self.certify()
        (directory / "slapd.conf").write_text(CONFIGURATION.replace("{directory}", str(directory)))

    def command(self) -> list[str]:
        addresses = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        return ["/usr/sbin/slapd", "-d", "0", "-h", addresses, "-f", f"{self.directory}/slapd.conf"]

    def settings(self) -> dict[str, str]:
        return {"servers": f"127.0.0.1:{self.port}", "bind_password": self.password}

    def secure_settings(self, authority: Path) -> dict[str, str]:
        return {"servers": f"127.0.0.1:{self.tls_port}", "ssl": "on", "ssl.cafile": str(authority)}

    def change(self, ldif: str, program: str = "ldapadd") -> None:
        subprocess.run([program, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", "public"],
                       input=ldif, text=True, check=True, capture_output=True)

    def set_up(self) -> None:
        self.change(f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: emqx\no: emqx\n\n"
                    f"dn: ou=device,{BASE}\nobjectClass: organizationalUnit\nou: device\n")

    def add_entry(self, name: str, **attributes: str | list[str]) -> None:
        lines = [f"dn: {name_of(name)}", "objectClass: account", "objectClass: mqttUser", row("uid", name)]
        for attribute, values in attributes.items():
            lines += [row(attribute, value) for value in ([values] if isinstance(values, str) else values)]
        self.change("\n".join(lines) + "\n")

    def add_user(self, username: str, password: str | None, salt: str | None = None, is_super: bool = False) -> None:
        """`password` is its SHA-256, in hex."""
        assert not is_super
        if self.search(username):
            self.change(f"dn: {name_of(username)}\nchangetype: delete\n", "ldapmodify")
        stored = {"userPassword": f"{{SHA256}}{base64.b64encode(bytes.fromhex(password)).decode()}"} if password else {}
        self.add_entry(username, **stored)

    def search(self, username: str) -> bool:
        done = subprocess.run(["ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w",
                               self.password, "-s", "base", "-b", name_of(username)], check=False, capture_output=True)
        return done.returncode == 0

    def add_rule(self, allow: int, topic: str, access: int = 3, username: str = "") -> None:
        assert allow, "a directory has no rules that deny"
        attribute = {1: "mqttSubscriptionTopic", 2: "mqttPublishTopic", 3: "mqttPubSubTopic"}[access]
        self.change(f"dn: {name_of(username)}\nchangetype: modify\nadd: {attribute}\n{row(attribute, topic)}\n",
                    "ldapmodify")


def name_of(user: str) -> str:
    """The distinguished name, every odd octet escaped (RFC 4514, 2.4)."""
    plain = [octet < 128 and chr(octet).isalnum() for octet in user.encode()]
    escaped = "".join(chr(octet) if is_plain else f"\\{octet:02x}"
                      for octet, is_plain in zip(user.encode(), plain, strict=True))
    return f"uid={escaped},ou=device,{BASE}"


def row(attribute: str, value: str) -> str:
    return f"{attribute}:: {base64.b64encode(value.encode()).decode()}"
