"""Redis behind sentinels, and a cluster: users are found whichever server has them, and after a failover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.auth_backends.conftest import connack, place_for_servers
from tests.backends.redis import PASSWORD, ClusterNode, RedisServer, Sentinel
from tests.broker_process import BrokerProcess, wait_until
from tests.plugins.conftest import load

ENTERS, DENIED = 0, 0x87


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., BrokerProcess]]:
    with ExitStack() as stack:
        def start(**settings: str) -> BrokerProcess:
            env = {f"EMQX_AUTH__REDIS__{key}".upper(): value for key, value in settings.items()}
            broker = BrokerProcess(tmp_path, env | {"EMQX_ALLOW_ANONYMOUS": "false"}).start()
            stack.callback(broker.kill9)
            load(broker, "emqx_auth_redis")
            return broker

        yield start


def test_the_master_is_found_again_after_a_failover(start: Callable[..., BrokerProcess]):
    with place_for_servers() as place, ExitStack() as stack:
        def run(server: RedisServer) -> RedisServer:
            server.start()
            stack.callback(server.kill)
            return server

        master = run(RedisServer(place / "master"))
        replica = run(RedisServer(place / "replica"))
        replica.admin.replicaof("127.0.0.1", master.port)
        wait_until(lambda: replica.admin.info("replication")["master_link_status"] == "up")
        sentinel = run(Sentinel(place / "sentinel", master))
        master.add_user("joe", "secret")
        wait_until(lambda: sentinel.admin.sentinel_slaves("mymaster"), 20, "the sentinel's knowing of the replica")
        broker = start(server=f"127.0.0.1:{sentinel.port}", sentinel="mymaster", password=PASSWORD)
        assert [connack(broker.mqtt_port, "joe", word) for word in ("secret", "wrong")] == [ENTERS, DENIED]
        wait_until(lambda: replica.admin.hgetall("mqtt_user:joe"))
        master.kill()
        wait_until(lambda: connack(broker.mqtt_port, "joe", "secret") == ENTERS, 30, "the failover")
        assert connack(broker.mqtt_port, "joe", "wrong") == DENIED


def test_each_node_of_a_cluster_is_asked_about_its_own(start: Callable[..., BrokerProcess]):
    with place_for_servers() as place, ExitStack() as stack:
        nodes = [ClusterNode(place / f"node{number}") for number in range(3)]
        for node in nodes:
            node.start()
            stack.callback(node.kill)
        for number, node in enumerate(nodes):
            first, last = 16384 * number // 3, 16384 * (number + 1) // 3
            node.admin.cluster("ADDSLOTSRANGE", first, last - 1)
            node.admin.cluster("MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port)
        states = [node.admin for node in nodes]
        wait_until(lambda: all(one.cluster("INFO")["cluster_state"] == "ok" for one in states), 30, "the cluster")
        names = [f"user{number}" for number in range(9)]
        with redis.RedisCluster(host="127.0.0.1", port=nodes[0].port, password=PASSWORD) as client:
            for name in names:
                client.hset(f"mqtt_user:{name}", mapping={"password": "secret"})
        assert all(node.admin.dbsize() for node in nodes)
        broker = start(server=f"127.0.0.1:{nodes[1].port}", type="cluster", password=PASSWORD)
        assert {connack(broker.mqtt_port, name, "secret") for name in names} == {ENTERS}
        assert {connack(broker.mqtt_port, name, "wrong") for name in names} == {DENIED}
