"""mqtt.js, in Chromium over WebSocket and in Node.js over every transport.

Needs chromium, Node.js, and `npm install` in this directory; `.ci/run` sees to them and sets BROWSER_TESTS=required.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.broker_process import BrokerProcess
from tests.listeners.secured import Secured, certificates, settings

HERE = Path(__file__).parent
MQTT_JS = HERE / "node_modules" / "mqtt" / "dist" / "mqtt.min.js"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
OUTCOME = {"granted": 2, "came": 6, "same": True}
PAGE = """<!doctype html><meta charset="utf-8"><script src="/mqtt.js"></script><script src="/exchange.js"></script>
<script>
const asked = JSON.parse(decodeURIComponent(location.hash.slice(1)));
Promise.all(asked.map(({ url, options }) => exchange(mqtt, url, options).catch((error) => ({ error: String(error) }))))
  .then((outcomes) => fetch("/outcomes", { method: "POST", body: JSON.stringify(outcomes) }));
</script>"""

needed = {"chromium": BROWSER, "node": shutil.which("node"), "mqtt.js": MQTT_JS.exists()}
missing = [name for name, there in needed.items() if not there]
pytestmark = pytest.mark.skipif(bool(missing) and os.environ.get("BROWSER_TESTS") != "required",
                                reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = certificates(tmp_path_factory.mktemp("certificates"))
    env, ports = settings(made)
    for name in ("SSL", "WSS"):
        env[f"EMQX_LISTENER__{name}__EXTERNAL__VERIFY"] = "verify_none"
    process = BrokerProcess(tmp_path_factory.mktemp("broker"), env).start()
    yield Secured(process, made, **ports)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr


@pytest.fixture
def site() -> Iterator[tuple[str, queue.Queue[list[dict]]]]:
    """A page that runs the exchanges its address asks for, and what it reports."""
    outcomes: queue.Queue[list[dict]] = queue.Queue()
    files = {"/": PAGE.encode(), "/mqtt.js": MQTT_JS.read_bytes(), "/exchange.js": (HERE / "exchange.js").read_bytes()}

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path, b"")
            self.answer(200 if body else 404, "text/html" if self.path == "/" else "text/javascript", body)

        def do_POST(self) -> None:
            outcomes.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(204, "text/plain", b"")

        def answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", outcomes
    server.shutdown()
    thread.join()
    server.server_close()


def fingerprint(pem: str) -> str:
    """Of the server's public key, as Chromium wants it to trust a certificate that no authority it knows has signed."""
    certificate = x509.load_pem_x509_certificate(Path(pem).read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def exchanges(secured: Secured, ports: dict[str, int]) -> list[dict]:
    """One over each of these schemes and ports, and in either version of MQTT."""
    return [
        {"url": f"{scheme}://localhost:{port}/mqtt", "ca": secured.certificates.ca,
         "options": {"protocolVersion": version, "clientId": f"{scheme}-{version}"}}
        for scheme, port in ports.items() for version in (4, 5)
    ]


@pytest.mark.timeout(120)
def test_in_a_browser(secured, site, tmp_path):
    """[MQTT-6.0.0-1] [MQTT-6.0.0-3] [MQTT-6.0.0-4], as a browser insists on them."""
    address, outcomes = site
    asked = exchanges(secured, {"ws": secured.ws, "wss": secured.wss})
    trusted = fingerprint(secured.certificates.server)
    browser = subprocess.Popen(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         f"--user-data-dir={tmp_path}", f"--ignore-certificate-errors-spki-list={trusted}",
         f"{address}#{json.dumps(asked)}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert outcomes.get(timeout=100) == [OUTCOME] * len(asked)
    finally:
        browser.terminate()
        browser.wait(20)


@pytest.mark.timeout(120)
def test_in_node(secured):
    asked = exchanges(secured, {"mqtt": secured.broker.mqtt_port, "mqtts": secured.ssl, "ws": secured.ws,
                                "wss": secured.wss})
    done = subprocess.run(["node", HERE / "node.js", json.dumps(asked)], capture_output=True, text=True, timeout=100,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [OUTCOME] * len(asked)
