"""The files of deploy/: the container's steps and process, Kubernetes and compose, and the proxies before a broker."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import requests
import trustme
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from emqx_mgmt.settings import load
from tests.broker_process import CHECKOUT, BrokerProcess, free_ports, wait_until

DEPLOY = CHECKOUT / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.exists(), reason="the files are those of a checkout")
COMMAND = Path(sys.executable).with_name("emqx-mgmt")


# -- the container --------------------------------------------------------------------------------------------------


def instructions() -> dict[str, list[str]]:
    """Of the last stage of the container file, by their words."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.rpartition("\nFROM ")[2].splitlines()[1:]:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest.strip())
    return found


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in re.findall(r"\w+=\S+", " ".join(instructions()["ENV"])))


def test_the_container_runs_its_command_and_ends_in_time(start_broker: Callable[..., BrokerProcess], tmp_path: Path,
                                                         ) -> None:
    """The command with the image's variables: its health check, and TERM within ten seconds while clients are there."""
    step = instructions()
    command = json.loads(step["ENTRYPOINT"][0]) + json.loads(step["CMD"][0])
    assert command[0] == COMMAND.name
    given = {name: text for name, text in environment().items() if name not in ("PATH", "EMQX_NODE__DATA_DIR")}
    broker = start_broker(given, command=[str(COMMAND), *command[1:]], directory=tmp_path)
    assert json.loads(broker.stderr.splitlines()[-1])["level"], "the image logs JSON"
    check = json.loads(re.search(r"CMD (\[.*\])", step["HEALTHCHECK"][0])[1])  # type: ignore[index]
    assert check[0] == "python"
    asked = [sys.executable, *(part.replace(":8080", f":{broker.api_port}") for part in check[1:])]
    assert subprocess.run(asked, check=False).returncode == 0
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as client, broker.http.get(
            f"{broker.base_url}/api/v3/events", auth=("tester", "tester-secret"), stream=True, timeout=10):
        client.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c")
        assert client.recv(4)[:1] == b"\x20"
        began = time.monotonic()
        assert broker.process is not None
        broker.process.send_signal(getattr(signal, step["STOPSIGNAL"][0]))
        assert broker.process.wait(10) == 0
        assert time.monotonic() - began < 10
    asked[-1] = asked[-1].replace("timeout=4", "timeout=1")
    assert subprocess.run(asked, check=False, capture_output=True).returncode != 0


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can mount")
def test_the_container_needs_to_write_nothing_but_its_data(tmp_path: Path) -> None:
    """The broker's own command in a mount namespace whose only writable directory is the data directory."""
    broker = BrokerProcess(tmp_path, {"PYTHONDONTWRITEBYTECODE": "1"})
    broker.data_dir.mkdir(mode=0o700)
    script = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
    broker.command = ["unshare", "--mount", "sh", "-c", script, str(broker.data_dir), str(COMMAND), "start"]
    try:
        broker.start()
        with pytest.raises(OSError, match="Read-only"):
            Path(f"/proc/{broker.process.pid}/root{tmp_path}/probe").touch()  # type: ignore[union-attr]
        assert broker.api("GET", "nodes").ok
        assert broker.stop() == 0
    finally:
        broker.kill9()


# -- Kubernetes and compose -------------------------------------------------------------------------------------------


def objects() -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def assert_settings(given: dict[str, str]) -> None:
    """Each is a setting whose value the broker takes; those ending with _FILE name a file to read it from."""
    texts = {name.removesuffix("_FILE"): "appid:secret" if name.endswith("_FILE") else text
             for name, text in given.items()}
    assert load(texts, CHECKOUT / "etc" / "emqx.conf").unknown_variables == []


def test_kubernetes_objects_fit_each_other_and_the_broker() -> None:
    found = objects()
    assert set(found) == {"Service", "StatefulSet", "PodDisruptionBudget", "ServiceMonitor"}
    spec = found["StatefulSet"]["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    container = pod["containers"][0]
    assert spec["replicas"] == 1
    assert spec["serviceName"] == found["Service"]["metadata"]["name"]
    for selector in (spec["selector"]["matchLabels"], found["Service"]["spec"]["selector"],
                     found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    monitor = found["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= found["Service"]["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["name"]: port["port"] for port in found["Service"]["spec"]["ports"]} == ports
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= set(ports)
    assert [endpoint["path"] for endpoint in monitor["endpoints"]] == ["/metrics"]
    for probe, path in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
        assert container[probe]["httpGet"] == {"path": f"/health/{path}", "port": "http-management"}
    user = instructions()["USER"][0].partition(":")[0]
    assert str(pod["securityContext"]["runAsUser"]) == user
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert instructions()["VOLUME"] == ["/data"]
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    assert_settings({one["name"]: one["value"] for one in container["env"]})


def test_compose_file_fits_the_image() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["broker"]
    assert service["read_only"]
    assert service["volumes"] == ["data:/data"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert_settings(service["environment"])


# -- proxies ----------------------------------------------------------------------------------------------------------


def settings_in(config: str) -> dict[str, str]:
    """The broker's side, which a proxy's file begins with."""
    return dict(re.findall(r"^#   (\S+) = (.+)$", config, re.MULTILINE))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


@contextmanager
def proxied(name: str, start_broker: Callable[..., BrokerProcess], place: Path, command: Callable[[Path], list[str]],
            certificates: dict[str, bytes]) -> Iterator[tuple[BrokerProcess, int, int]]:
    """The proxy with its file before a broker with that file's settings; the ports for MQTT over TLS and for HTTPS."""
    config = (DEPLOY / name).read_text()
    mqtts, https, websocket = free_ports(3)
    variables = {f"EMQX_{key.upper().replace('.', '__')}": text for key, text in settings_in(config).items()}
    listening = {key: text for key, text in variables.items() if re.fullmatch(r"[\d.]+:\d+", text)}
    broker = start_broker({key: text for key, text in variables.items() if key not in listening}
                          | {"EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{websocket}"})
    for old, new in ((1883, broker.mqtt_port), (8083, websocket), (8080, broker.api_port), (8883, mqtts), (443, https)):
        config = re.sub(rf"(?<=[ :]){old}\b", str(new), config)
    for file, content in certificates.items():
        (place / file).write_bytes(content)
    path = place / name
    path.write_text(config.replace("/etc/ssl/emqx-mgmt", str(place)))
    with (place / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command(path), stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(mqtts), 20, f"{name} listens")
        yield broker, mqtts, https
    finally:
        process.terminate()
        process.wait(15)


def published(port: int, ca: trustme.CA, transport: str = "tcp") -> mqtt.Client:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "behind", transport=transport)  # type: ignore[arg-type]
    client.tls_set_context(context)
    client.connect("localhost", port)
    client.loop_start()
    info = client.publish("a/b", b"x", 1)
    info.wait_for_publish(15)
    assert info.is_published()
    return client


def end(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.mark.skipif(not Path("/usr/lib/nginx/modules/ngx_stream_module.so").exists(), reason="nginx has no streams")
def test_nginx_before_the_broker(start_broker: Callable[..., BrokerProcess], ca: trustme.CA, tmp_path: Path) -> None:
    cert = ca.issue_cert("localhost")
    files = {"chain.pem": b"".join(blob.bytes() for blob in cert.cert_chain_pems),
             "key.pem": cert.private_key_pem.bytes(), "ca.pem": ca.cert_pem.bytes()}

    def command(path: Path) -> list[str]:
        options = f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr;"
        assert subprocess.run(["/usr/sbin/nginx", "-t", "-q", "-c", path, "-g", options], check=False).returncode == 0
        return ["/usr/sbin/nginx", "-c", str(path), "-g", options]

    with proxied("nginx.conf", start_broker, tmp_path, command, files) as (broker, mqtts, https):
        for port, transport in ((mqtts, "tcp"), (https, "websockets")):
            client = published(port, ca, transport)
            [row] = broker.api("GET", "connections", params={"client_id": "behind"}).json()["items"]
            assert row["ipaddress"] == "127.0.0.1"
            end(client)
        answer = requests.get(f"https://localhost:{https}/api/v3/nodes", auth=("tester", "tester-secret"), timeout=10,
                              verify=str(tmp_path / "ca.pem"))
        assert answer.ok
        assert requests.get(f"https://localhost:{https}/metrics", timeout=10, verify=str(tmp_path / "ca.pem")
                            ).status_code == 404, "through a proxy nobody is this machine"


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")
def test_haproxy_before_the_broker(start_broker: Callable[..., BrokerProcess], ca: trustme.CA, tmp_path: Path) -> None:
    cert = ca.issue_cert("localhost")
    files = {"haproxy.pem": cert.private_key_and_cert_chain_pem.bytes(), "ca.pem": ca.cert_pem.bytes()}

    def command(path: Path) -> list[str]:
        assert subprocess.run(["/usr/sbin/haproxy", "-c", "-q", "-f", path], check=False).returncode == 0
        return ["/usr/sbin/haproxy", "-f", str(path)]

    with proxied("haproxy.cfg", start_broker, tmp_path, command, files) as (broker, mqtts, https):
        client = published(mqtts, ca)
        assert len(broker.api("GET", "connections", params={"client_id": "behind"}).json()["items"]) == 1
        end(client)
        answer = requests.get(f"https://localhost:{https}/api/v3/nodes", auth=("tester", "tester-secret"), timeout=10,
                              verify=str(tmp_path / "ca.pem"))
        assert answer.ok
