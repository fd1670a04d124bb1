"""What the field's monitoring tools ask for, and how they read the answers.

Each test stands for a kind of tool: it makes the requests that such tools make, on the listener and in the style they
need, and parses as they do, strictness and laxness included.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.broker_process import APP, BrokerProcess
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"
ADMIN = ("admin", "public")
# Those of GA that have a counter in the document, as trappers and exporters list them.
STATS = [f"{name}/{end}" for name in ("connections", "retained", "routes", "sessions", "subscribers", "subscriptions",
                                      "topics", "sessions/persistent", "subscriptions/shared")
         for end in ("count", "max")]
METRICS = ["bytes/received", "bytes/sent", "messages/dropped", "messages/qos0/received", "messages/qos1/sent",
           "messages/qos2/dropped", "messages/received", "messages/retained", "messages/sent", "packets/connack",
           "packets/connect", "packets/disconnect/received", "packets/pingreq", "packets/pingresp",
           "packets/puback/missed", "packets/pubcomp/missed", "packets/publish/received", "packets/publish/sent",
           "packets/pubrec/missed", "packets/pubrel/missed", "packets/received", "packets/sent", "packets/suback",
           "packets/subscribe", "packets/unsuback", "packets/unsubscribe"]
DOTTED = ["bytes.received", "messages.qos1.received", "packets.connect.received", "packets.connack.sent",
          "packets.connack.error", "packets.connack.auth_error", "packets.publish.error", "packets.publish.auth_error",
          "packets.subscribe.received", "packets.subscribe.error", "packets.subscribe.auth_error",
          "packets.suback.sent", "packets.unsubscribe.received", "packets.unsubscribe.error", "packets.unsuback.sent",
          "packets.pingreq.received", "packets.pingresp.sent", "packets.auth.received", "packets.auth.sent",
          "auth.mqtt.anonymous", "messages.forward", "messages.retained"]



@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """With the releases' envelope on the dashboard's port, as most tools need it."""
    broker = BrokerProcess(tmp_path_factory.mktemp("released"), {"EMQX_DASHBOARD__STYLE": "envelope"}).start()
    yield broker
    assert broker.stop() == 0


@pytest.fixture
def poll(released: BrokerProcess) -> Callable[[str], Any]:
    def get(path: str) -> Any:
        url = f"http://127.0.0.1:{released.dash_port}{path}"
        answer = requests.get(url, auth=ADMIN, headers={"Accept": "application/json"}, timeout=5,
                              allow_redirects=False)
        assert answer.status_code == 200
        return answer.json()

    return get


@pytest.fixture
def client(released: BrokerProcess) -> Iterator[Client]:
    one = Client(released.mqtt_port, "observed")
    one.subscribe("a/b", 1)
    yield one
    one.close()


def number_of(value: Any) -> float | None:
    """As exporters read a member: numbers, texts that are numbers, and sizes like 77.45M."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    size = re.fullmatch(r"([0-9.]+)([KMG])", str(value))
    if size:
        return float(size[1]) * 1024 ** ("KMG".index(size[2]) + 1)
    try:
        return float(value)
    except ValueError:
        return None


def test_an_exporter_that_reads_one_node(poll: Callable[[str], Any], client: Client) -> None:
    """A table of three paths; `code` must be 0, and `data` one flat object of which all that is a number is taken."""
    taken: dict[str, float] = {}
    for path in (f"/api/v3/nodes/{NODE}/metrics/", f"/api/v3/nodes/{NODE}/stats/", f"/api/v3/nodes/{NODE}"):
        answer = poll(path)
        assert type(answer["code"]) is int
        assert answer["code"] == 0
        found = {name: number_of(value) for name, value in answer["data"].items()}
        taken |= {name.replace("/", "_"): value for name, value in found.items() if value is not None}
    assert taken["connections"] >= 1
    assert taken["connections_count"] >= 1
    assert taken["packets_connect"] >= 1
    assert {"load1", "load5", "load15", "max_fds", "memory_total", "memory_used", "process_used"} <= set(taken)
    assert all(name.replace("/", "_") in taken for name in METRICS + STATS)


def test_an_exporter_that_walks_the_cluster(poll: Callable[[str], Any], client: Client) -> None:
    """The brokers first; then, by the name each has in `node`, stats and metrics without a slash at the end."""
    brokers = poll("/api/v3/brokers")["data"]
    assert [broker["node"] for broker in brokers] == [NODE]
    for broker in brokers:
        merged = broker | poll(f"/api/v3/nodes/{broker['node']}/stats")["data"]
        merged |= poll(f"/api/v3/nodes/{broker['node']}/metrics")["data"]
        assert merged["node_status"] == "Running"
        assert all(isinstance(merged[name], int) for name in METRICS + STATS)


def test_a_trapper_script(poll: Callable[[str], Any], client: Client) -> None:
    """The cluster's lists; the first element has the stats flat and the metrics below `metrics`."""
    stats, metrics = poll("/api/v3/stats/")["data"][0], poll("/api/v3/metrics/")["data"][0]["metrics"]
    assert all(type(stats[name]) is int for name in STATS)
    assert all(type(metrics[name]) is int for name in METRICS)
    assert stats["connections/count"] >= 1


def test_a_collector_with_typed_nodes(poll: Callable[[str], Any]) -> None:
    """Memory of the list is text with a unit, loads are text, counts are whole numbers: decoders with types insist."""
    (node,) = poll("/api/v3/nodes/")["data"]
    for name in ("name", "otp_release", "node_status", "memory_total", "memory_used", "load1", "load5", "load15"):
        assert isinstance(node[name], str), name
    assert [type(node[name]) for name in ("process_available", "process_used", "max_fds", "connections")] == [int] * 4
    assert re.fullmatch(r"\d+\.\d\d[KMG]", node["memory_used"])
    assert all(float(node[name]) >= 0 for name in ("load1", "load5", "load15"))


def test_names_with_dots(poll: Callable[[str], Any], client: Client) -> None:
    """As 3.2 has them, chosen in the address: tools that take an address take its query too."""
    before = poll("/api/v3/nodes/" + NODE + "/metrics/?_names=dots")["data"]
    assert all(type(before[name]) is int for name in DOTTED)
    assert not [name for name in before if "/" in name]
    assert before["packets.connack.sent"] >= 1
    assert before["auth.mqtt.anonymous"] >= 1
    stats = poll("/api/v3/stats/?_names=dots")["data"][0]
    assert {name.replace("/", ".") for name in STATS} <= set(stats)
    assert {"suboptions.count", "suboptions.max"} <= set(stats)


def test_an_agent_without_any_style(released: BrokerProcess) -> None:
    """Agents that flatten whatever JSON they get, on the management port: bare lists and objects, one key a row."""
    url = f"http://127.0.0.1:{released.api_port}/api/v3/"
    (stats,) = requests.get(url + "stats", auth=APP, timeout=5).json()
    assert stats.pop("node") == NODE
    assert all(type(value) is int for value in stats.values())
    flat = requests.get(url + f"nodes/{NODE}/metrics/", auth=APP, timeout=5).json()
    assert list(flat) == list(requests.get(url + f"nodes/{NODE}/metrics/", auth=APP, timeout=5).json())


def test_a_script_that_asks_whether_a_device_is_online(poll: Callable[[str], Any], client: Client) -> None:
    assert [row["client_id"] for row in poll("/api/v3/connections/observed")["data"]] == ["observed"]
    assert poll("/api/v3/connections/elsewhere") == {"code": 0, "data": []}


def test_a_table_that_pages_with_a_stamp(poll: Callable[[str], Any], client: Client) -> None:
    """Grids add a parameter of their own against caches, and read how many there are from `meta`."""
    answer = poll("/api/v3/subscriptions?_page=1&_limit=10&_=1580000000000")
    assert {"page", "limit", "count"} == set(answer["meta"])
    assert answer["meta"]["count"] == len(answer["data"]) == 1
    assert answer["data"][0]["topic"] == "a/b"


def test_a_shell_script_that_publishes(released: BrokerProcess, client: Client) -> None:
    """curl's own Content-Type for `-d` is that of a form; the payload is JSON as text."""
    body = json.dumps({"qos": 0, "retain": False, "topic": "a/b", "client_id": "node1",
                       "payload": '{"server":"node1","load":"0.1 0.2 0.3"}'})
    url = f"http://127.0.0.1:{released.dash_port}/api/v3/mqtt/publish"
    done = subprocess.run(["curl", "-s", "--basic", "-u", ":".join(ADMIN), "-d", body, url], capture_output=True,
                          text=True, check=True)
    assert json.loads(done.stdout) == {"code": 0}


def test_a_provisioning_tool(released: BrokerProcess) -> None:
    """Loads the plugin, adds a device, changes it, deletes it; `code` decides, not HTTP."""
    url = f"http://127.0.0.1:{released.dash_port}/api/v3"

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, url + path, auth=ADMIN, json=body, timeout=10)
        assert answer.status_code == 200
        return answer.json()

    assert call("PUT", f"/nodes/{NODE}/plugins/emqx_auth_clientid/load") == {"code": 0}
    assert call("POST", "/auth_clientid", {"clientid": "device", "password": "p"}) == {"code": 0}
    assert call("PUT", "/auth_clientid/device", {"password": "q"}) == {"code": 0}
    assert call("PUT", "/auth_clientid/nobody", {"password": "q"})["code"] != 0
    assert call("GET", "/auth_clientid")["data"] == ["device"]
    assert call("DELETE", "/auth_clientid/device") == {"code": 0}
    assert call("PUT", f"/nodes/{NODE}/plugins/emqx_auth_clientid/unload") == {"code": 0}


def test_the_dashboard_of_the_releases_makes_an_application(released: BrokerProcess) -> None:
    """Its form sends an empty secret and a random id; its page of the application shows what it then looks up."""
    url = f"http://127.0.0.1:{released.dash_port}/api/v3"
    form = {"app_id": "5c2b8f30a1", "name": "meter", "desc": "", "secret": "", "status": True, "expired": None}
    made = requests.post(f"{url}/apps", auth=ADMIN, json=form, timeout=10).json()
    assert made["code"] == 0
    shown = requests.get(f"{url}/apps/5c2b8f30a1", auth=ADMIN, timeout=10).json()["data"]
    assert shown["secret"] == made["data"]["secret"]
    tried = requests.get(f"http://127.0.0.1:{released.api_port}/api/v3/brokers", auth=("5c2b8f30a1", shown["secret"]),
                         timeout=10)
    assert tried.status_code == 200
    assert requests.delete(f"{url}/apps/5c2b8f30a1", auth=ADMIN, timeout=10).json() == {"code": 0}


@pytest.mark.parametrize("path", ["/api/v3/rules", "/api/v3/resources"])
def test_the_menu_of_3_2_8(poll: Callable[[str], Any], path: str) -> None:
    """It asks for rules and their resources; there is no rule engine."""
    assert poll(path) == {"code": 0, "data": []}
    assert poll(f"{path}?_style=bare") == []


def test_the_pages_of_the_releases_dashboard(
    poll: Callable[[str], Any], released: BrokerProcess, client: Client
) -> None:
    """Whatever its places ask for, by Basic for each call: lists of a node and of the cluster by page, look-ups with
    encodeURIComponent, tables of nodes (behaviour, 21)."""
    assert requests.post(f"http://127.0.0.1:{released.dash_port}/api/v3/auth", timeout=10,
                         json=dict(zip(("username", "password"), ADMIN, strict=True))).json()["code"] == 0
    [name] = [row["name"] for row in poll("/api/v3/nodes")["data"]]
    node, nodes = f"/api/v3/nodes/{name}", f"/api/v3/nodes/{name.replace('@', '%40')}"
    for path in (f"/api/v3/brokers/{name}", "/api/v3/stats", "/api/v3/listeners", "/api/v3/plugins", "/api/v3/apps",
                 "/api/v3/users", "/api/v3/", f"{node}/metrics", f"{node}/listeners", f"{node}/plugins",
                 f"{node}/plugin_configs/emqx_retainer"):
        answer = poll(path)
        assert (answer["code"], bool(answer["data"])) == (0, True), path
    for kind in ("connections", "sessions", "subscriptions", "routes"):
        for before in ("/api/v3", node, nodes) if kind != "routes" else ("/api/v3",):
            page = poll(f"{before}/{kind}?_page=1&_limit=10")
            assert (page["code"], page["meta"]) == (0, {"page": 1, "limit": 10, "count": len(page["data"])})
    for kind in ("connections", "sessions", "subscriptions"):
        assert [row["client_id"] for row in poll(f"{nodes}/{kind}/observed")["data"]] == ["observed"]
    assert [row["topic"] for row in poll("/api/v3/routes/a%2Fb")["data"]] == ["a/b"]
    assert poll("/api/v3/connections/no%2Fbody")["data"] == []
