"""The pages of the back-ends, as a reader types them: schema and rows, settings, and what the example prints."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.auth_backends.conftest import place_for_servers
from tests.backends.ldap import OpenLdap
from tests.backends.mariadb import MariaDb
from tests.backends.postgres import Postgres
from tests.backends.redis import RedisServer
from tests.backends.secantus import Secantus
from tests.broker_process import CHECKOUT, BrokerProcess, free_ports, wait_until
from tests.plugins.conftest import unload

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("mosquitto_pub", "curl"))) or not (CHECKOUT / "docs").exists(),
    reason="mosquitto-clients, curl and the documents are needed")


class Page:
    """A page's blocks by their language. `port` is the back-end's usual one, and `actual` takes its place."""

    def __init__(self, name: str, port: int, actual: int) -> None:
        self.plugin = f"emqx_auth_{name}"
        text = (CHECKOUT / "docs" / f"auth-{name}.md").read_text()
        if port:
            text = re.sub(rf"\b{port}\b", str(actual), text)
        self.blocks: dict[str, list[str]] = {}
        for language, block in BLOCK.findall(text):
            self.blocks.setdefault(language, []).append(block)

    def __getitem__(self, language: str) -> str:
        (block,) = self.blocks[language]
        return block

    @property
    def shown(self) -> str:
        """What the example prints."""
        return self.blocks[""][-1]


def feed(command: list[str], text: str, cwd: Path) -> None:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def mysql(page: Page, server: MariaDb) -> None:
    feed(["mariadb", "--no-defaults", f"--socket={server.directory}/s", "--user=root"], page["sql"], server.directory)


def pgsql(page: Page, server: Postgres) -> None:
    server.execute("CREATE DATABASE mqtt", database="postgres")
    server.execute(page["sql"])


def redis(page: Page, server: RedisServer) -> None:
    feed(["redis-cli", "-p", str(server.port), "-e"], page["redis"], server.directory)


def mongo(page: Page, server: Secantus) -> None:
    """mongosh is none of Debian's: names without quotes are all that its documents have and JSON has not."""
    for target, text in re.findall(r"^db\.(\w+(?:\.insertOne)?)\((\{.*?\})\)$", page["js"], re.DOTALL | re.MULTILINE):
        members = json.loads(re.sub(r"(\w+): ", r'"\1": ', text))
        if target == "createUser":
            server.database.command("createUser", members.pop("user"), **members)
        else:
            server.database[target.removesuffix(".insertOne")].insert_one(members)
    server.kill()
    server.has_users = True
    server.start()


def ldap(page: Page, server: OpenLdap) -> None:
    assert page.blocks[""][0].strip() in (server.directory / "slapd.conf").read_text()
    server.change(page["ldif"])


class OpenRedis(RedisServer):
    """Without a password, as it is installed."""

    def command(self) -> list[str]:
        words = super().command()
        return [word for word in words if word not in ("--requirepass", "--masterauth", self.password)]


class Service:
    """The program of the page about HTTP."""

    def __init__(self, place: Path) -> None:
        self.directory = place
        self.port = free_ports(1)[0]

    def start(self) -> None:
        self.directory.mkdir()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def http(page: Page, service: Service) -> None:
    service.process = subprocess.Popen([sys.executable, "-c", page["python"]], stderr=subprocess.DEVNULL)

    def is_up() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", service.port), 1):
            return True
        return False

    wait_until(is_up, 60)


class Nothing(Service):
    def kill(self) -> None:
        """There is no back-end."""


def jwt(_page: Page, _nothing: Nothing) -> None:
    """Tokens need no server."""


PREPARED: dict[str, tuple[int, type, Callable[..., None]]] = {
    "mysql": (3306, MariaDb, mysql), "pgsql": (5432, Postgres, pgsql), "redis": (6379, OpenRedis, redis),
    "mongo": (27017, Secantus, mongo), "ldap": (389, OpenLdap, ldap), "http": (8991, Service, http),
    "jwt": (0, Nothing, jwt),
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    directory = tmp_path_factory.mktemp("broker")
    (directory / "plugins").mkdir()
    (directory / "acl.conf").touch()
    one = BrokerProcess(directory, {
        "EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny", "EMQX_ACL_FILE": str(directory / "acl.conf"),
        "EMQX_MANAGEMENT__BOOTSTRAP_APP": "appid:secret", "EMQX_PLUGINS__ETC_DIR": str(directory / "plugins")}).start()
    yield one
    assert one.stop() == 0


# `make test-backends` has all of them: two take their time to start.
PAGES = [name for name in PREPARED if os.environ.get("BACKEND_FAULTS") == "all" or name not in ("pgsql", "mongo")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_as_it_is_written(broker: BrokerProcess, name: str) -> None:
    port, kind, prepare = PREPARED[name]
    with place_for_servers() as place, ExitStack() as stack:
        server = kind(place / name)
        page = Page(name, port, server.port)
        server.start()
        stack.callback(server.kill)
        prepare(page, server)
        (broker.tmp_path / "plugins" / f"{page.plugin}.conf").write_text(page["ini"])
        wanted = ".*".join(map(re.escape, page.shown.strip().split("…")))
        for _ in range(3):  # a busy machine may be late with an answer to the broker
            printed = typed(page["sh"], broker)
            unload(broker, page.plugin, auth=("appid", "secret"))
            if re.fullmatch(wanted, printed.strip(), re.DOTALL):
                break
        else:
            pytest.fail(printed)


def typed(script: str, broker: BrokerProcess) -> str:
    """What the commands print, with the broker's ports in them."""
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{broker.api_port}")
    script = f'mosquitto_pub() {{ command mosquitto_pub -p {broker.mqtt_port} "$@"; }}\n{script}'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False, env=broker.env | {"PATH": path}, cwd=broker.tmp_path)
    return done.stdout
