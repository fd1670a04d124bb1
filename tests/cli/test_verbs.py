"""The verbs of `emqx_ctl` (behaviour, section 20) on a running broker: what they print, do and refuse."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from emqx_mgmt.cli import main
from tests.broker_process import CHECKOUT, BrokerProcess, wait_until
from tests.cli.command import PROGRAM, done, read, refused, run, table
from tests.clients.raw import Raw

HOSTILE = "evil\n\x1b[31m\u202e中文"


@contextmanager
def connected(broker: BrokerProcess, client_id: str, port: int = 0) -> Iterator[Raw]:
    client = Raw(socket.create_connection(("127.0.0.1", port or broker.mqtt_port), timeout=10))
    yield client.connect(client_id, session_expiry=3600)
    client.drop()


def test_status_says_that_it_serves(broker: BrokerProcess) -> None:
    assert done(broker, "status").splitlines() == [
        "Node emqx@127.0.0.1 is started", "emqx is running", "It serves clients."]
    assert read(broker, "status") == {"ready": True, "reasons": []}


def test_a_broker_that_serves_nobody_is_no_success(start_broker, tmp_path) -> None:
    broker = start_broker({"EMQX_PLUGINS__LOADED": "emqx_auth_nothing"})
    ended = run(broker, "status")
    assert (ended.returncode, "It serves no clients.\n" in ended.stdout) == (1, True)
    assert "emqx_auth_nothing" in ended.stdout.splitlines()[-1]
    assert "No broker runs" in refused(BrokerProcess(tmp_path / "none"), "status", code=69)


@pytest.mark.parametrize("words", [("broker",), ("cluster", "status"), ("vm",), ("broker", "metrics"),
                                   ("recon", "memory")])
def test_figures_are_tables(broker: BrokerProcess, words: tuple[str, ...]) -> None:
    assert done(broker, *words)


def test_the_figures_of_the_machine_are_those_of_the_process(broker: BrokerProcess) -> None:
    shown = read(broker, "vm", "io")
    assert abs(shown["io/active_fds"] - broker.worker.num_fds()) <= 3
    assert shown["disk/free"] < shown["disk/total"]
    assert read(broker, "vm", "memory")["memory/used"] == pytest.approx(broker.rss(), rel=0.2)


def test_names_of_clients_command_no_terminal(broker: BrokerProcess) -> None:
    with connected(broker, HOSTILE):
        listed = done(broker, "clients", "list")
        assert r"evil\n\x1b[31m\u202e中文" in listed
        assert not set(HOSTILE[:6]) & set(listed) - set("\nevil")
        (row,) = [row for row in read(broker, "clients", "list") if row["client_id"] == HOSTILE]
        assert row["ipaddress"] == "127.0.0.1"
        assert read(broker, "clients", "show", HOSTILE)["client_id"] == HOSTILE


def test_clients_are_kicked(broker: BrokerProcess) -> None:
    with connected(broker, "kicked") as client:
        assert done(broker, "clients", "kick", "kicked") == "The client kicked was disconnected\n"
        client.expect(14)   # DISCONNECT
        client.closed()
    assert refused(broker, "clients", "kick", "kicked") == "The client kicked is not connected"
    assert refused(broker, "clients", "show", "kicked") == "The client kicked is not connected"


def test_subscriptions_and_routes(broker: BrokerProcess) -> None:
    with connected(broker, "sub") as client:
        assert done(broker, "subscriptions", "add", "sub", "cli/+/a", "1") == "sub -> cli/+/a\n"
        assert table(done(broker, "subscriptions", "show", "sub"))[1:] == [["sub", "cli/+/a", "1"]]
        assert ["sub", "cli/+/a", "1"] in table(done(broker, "subscriptions", "list"))
        assert table(done(broker, "routes", "show", "cli/+/a"))[1:] == [["cli/+/a", "emqx@127.0.0.1"]]
        assert ["cli/+/a", "emqx@127.0.0.1"] in table(done(broker, "routes", "list"))
        assert "cli/+/a" in done(broker, "topics", "list").splitlines()
        (reached,) = read(broker, "topics", "show", "cli/b/a")["recipients"]
        assert (reached["client_id"], reached["outcome"]) == ("sub", "delivered")
        client.publish("cli/b/a", b"x", 0)
        assert client.message().topic == "cli/b/a"
        assert read(broker, "sessions", "show", "sub")["subscriptions_count"] == 1
        assert done(broker, "subscriptions", "del", "sub", "cli/+/a") == "sub -> cli/+/a was ended\n"
        assert refused(broker, "subscriptions", "del", "sub", "cli/+/a") == (
            "The client sub has no subscription to cli/+/a")
    assert refused(broker, "subscriptions", "add", "nobody", "a", "1") == "The client has no session."
    assert refused(broker, "subscriptions", "add", "sub", "a/#/b", "1") == "The topic is not valid."
    assert run(broker, "subscriptions", "add", "sub", "a", "3").returncode == 2


def test_queued_messages_and_the_end_of_a_session(broker: BrokerProcess) -> None:
    with connected(broker, "away") as client:
        client.subscribe(("away/#", 1))
        client.disconnect()
    wait_until(lambda: run(broker, "clients", "show", "away").returncode == 1)
    broker.api("POST", "mqtt/publish", json={"topic": "away/1", "qos": 1, "payload": "later"})
    (row,) = read(broker, "sessions", "messages", "away")
    assert (row["topic"], row["qos"]) == ("away/1", 1)
    assert done(broker, "sessions", "delete", "away") == "The session of away was deleted\n"
    assert refused(broker, "sessions", "show", "away") == "The client away has no session"


def test_retained_messages_are_listed_and_removed(broker: BrokerProcess) -> None:
    for topic in ("kept/1", "kept/2"):
        broker.api("POST", "mqtt/publish", json={"topic": topic, "retain": True, "payload": "x"})
    assert {"kept/1", "kept/2"} <= set(read(broker, "retainer", "topics"))
    assert read(broker, "retainer", "clean", "kept/1") == {"deleted": 1}
    assert run(broker, "retainer", "clean", given="n\n").returncode == 1
    assert "kept/2" in done(broker, "retainer", "topics").splitlines()
    assert read(broker, "retainer", "clean", "--yes")["deleted"] >= 1   # after a minute, those of $SYS too
    assert "kept/2" not in read(broker, "retainer", "topics")
    assert "retained/count" in read(broker, "retainer", "info")


def test_bans(broker: BrokerProcess) -> None:
    until = time.time() + 60
    assert done(broker, "banned", "add", "client_id", "bad", "--for", "60", "--reason", "loud")
    (row,) = read(broker, "banned", "list")
    assert (row["as"], row["who"], row["reason"]) == ("client_id", "bad", "loud")
    assert row["until"] == pytest.approx(until, abs=20)
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
        Raw(sock).connect("bad", code=0x8A)
    done(broker, "banned", "del", "client_id", "bad")
    assert read(broker, "banned", "list") == []
    assert "IPv4" in refused(broker, "banned", "add", "ip_address", "nowhere")


def test_a_listener_is_stopped_and_started(broker: BrokerProcess) -> None:
    with connected(broker, "other"), connected(broker, "inside", broker.internal_port) as inside:
        done(broker, "listeners", "stop", "mqtt:tcp:internal")
        assert inside.expect(14).code == 0x8B  # DISCONNECT, Server shutting down
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", broker.internal_port))
        running = {row["identifier"]: row["running"] for row in read(broker, "listeners", "list")}
        assert (running["mqtt:tcp:internal"], running["mqtt:tcp:external"], running["http:management"]) == (
            False, True, True)
        assert refused(broker, "listeners", "stop", "mqtt:tcp:internal") == "It does not run."
        assert read(broker, "clients", "show", "other")["client_id"] == "other"
    done(broker, "listeners", "start", "mqtt:tcp:internal")
    assert refused(broker, "listeners", "start", "mqtt:tcp:internal") == "It runs already."
    with connected(broker, "inside", broker.internal_port) as inside:
        done(broker, "listeners", "restart", "mqtt:tcp:internal")
        assert inside.expect(14).code == 0x8B
    with connected(broker, "inside", broker.internal_port):
        pass
    assert "only MQTT listeners" in refused(broker, "listeners", "stop", "http:management")
    assert "There is no listener nope" in refused(broker, "listeners", "stop", "nope")


def test_rules_are_read_again_and_stop_waits_for_the_end(start_broker, tmp_path) -> None:
    rules = tmp_path / "acl.conf"
    rules.write_text("{allow, all}.\n")
    broker = start_broker({"EMQX_ACL_FILE": str(rules)})
    rules.write_text('{deny, all, subscribe, ["secret"]}.\n{allow, all}.\n')
    assert done(broker, "acl", "reload") == f"Read 2 rules from {rules}\n"
    with connected(broker, "reader") as client:
        assert client.subscribe(("secret", 0), ("open", 0)) == [0x87, 0]
    rules.write_text("{deny")
    assert str(rules) in refused(broker, "acl", "reload")
    with connected(broker, "reader") as client:
        assert client.subscribe(("secret", 0), ("open", 0)) == [0x87, 0]
    assert done(broker, "stop") == "The broker has ended.\n"
    assert broker.wait(5) == 0
    assert refused(broker, "stop", code=69) == f"No broker runs with the data directory {broker.data_dir}"


def test_users_of_the_plugins(broker: BrokerProcess) -> None:
    absent = refused(broker, "users", "list")
    assert absent == "The plugin emqx_auth_username is not loaded: emqx-mgmt plugins load emqx_auth_username"
    done(broker, "plugins", "load", "emqx_auth_username")
    try:
        assert done(broker, "users", "add", "jo", given="pw\n") == "User name jo was added\n"
        assert refused(broker, "users", "add", "jo", "x") == "This name exists already."
        assert done(broker, "users", "list") == "jo\n"
        done(broker, "users", "update", "jo", "other")
        with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
            Raw(sock).connect("x", username="jo", password=b"other")
        done(broker, "users", "del", "jo")
        assert refused(broker, "users", "del", "jo") == "This name does not exist."
    finally:
        done(broker, "plugins", "unload", "emqx_auth_username")
    assert refused(broker, "plugins", "load", "nope") == "There is no plugin nope"


def test_applications(broker: BrokerProcess) -> None:
    secret = done(broker, "mgmt", "insert", "made", "Made here").removeprefix("AppSecret: ").strip()
    assert broker.api("GET", "brokers", auth=("made", secret)).ok
    row = read(broker, "mgmt", "lookup", "made")
    assert (row["name"], row["desc"], row["status"], row["expired"]) == (
        "Made here", "Application user", True, "undefined")
    done(broker, "mgmt", "update", "made", "false")
    assert broker.api("GET", "brokers", auth=("made", secret)).status_code == 401
    assert read(broker, "mgmt", "lookup", "made")["name"] == "Made here"
    assert "made" in done(broker, "mgmt", "list")
    done(broker, "mgmt", "delete", "made")
    assert refused(broker, "mgmt", "delete", "made") == "There is no application made"


def test_users_of_the_dashboard(broker: BrokerProcess) -> None:
    done(broker, "admins", "add", "jo", "pw", "ops", "--role", "viewer")
    assert ["jo", "viewer", "ops"] in table(done(broker, "admins", "list"))
    done(broker, "admins", "del", "jo")
    assert refused(broker, "admins", "del", "admin") == "The user admin cannot be deleted."


def test_log_levels(broker: BrokerProcess) -> None:
    assert read(broker, "log", "primary-level", "warning") == {"level": "warning"}
    assert ["broker", "warning", "no"] in table(done(broker, "log", "levels"))
    done(broker, "log", "primary-level", "info")
    assert refused(broker, "log", "set-level", "nope", "info") == "There is no component nope"


def test_a_trace_goes_on_behind_the_command(broker: BrokerProcess, tmp_path) -> None:
    file = tmp_path / "trace.txt"
    started = read(broker, "trace", "start", "topic", "traced/#", str(file))
    assert started == {"seconds": 3600}
    assert [row["topic"] for row in read(broker, "trace", "list")] == ["traced/#"]
    broker.api("POST", "mqtt/publish", json={"topic": "traced/1", "payload": "x"})
    wait_until(lambda: "traced/1" in file.read_text())
    assert done(broker, "trace", "stop", "topic", "traced/#") == "The topic traced/# is no longer traced\n"
    wait_until(lambda: '"reason": "stopped"' in file.read_text().splitlines()[-1])
    assert read(broker, "trace", "list") == []
    assert refused(broker, "trace", "stop", "client", "nobody") == "There is no trace of the client nobody"


def take_interrupts() -> None:
    """As in a terminal, also where the tests run in the background of a shell, which has its commands ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_trace_without_a_file_is_printed(broker: BrokerProcess) -> None:
    with subprocess.Popen([*PROGRAM, "trace", "start", "client", "seen"], env=broker.env, cwd=CHECKOUT,
                          stdout=subprocess.PIPE, text=True, preexec_fn=take_interrupts) as printing:
        assert printing.stdout is not None
        wait_until(lambda: read(broker, "trace", "list"))
        with connected(broker, "seen"):
            assert "connected client_id=seen" in printing.stdout.readline()
        printing.send_signal(signal.SIGINT)
        assert printing.wait(10) == 0
    wait_until(lambda: not read(broker, "trace", "list"))


def test_a_trace_that_cannot_be_written_does_not_run(broker: BrokerProcess, tmp_path) -> None:
    ended = run(broker, "trace", "start", "client", "c", str(tmp_path / "none" / "file"))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended
    assert "No such file or directory" in ended.stderr
    wait_until(lambda: not read(broker, "trace", "list"))


def test_there_is_no_cluster_to_join(broker: BrokerProcess) -> None:
    assert [row["name"] for row in read(broker, "cluster", "status")] == ["emqx@127.0.0.1"]
    for words in ("join", "emqx@10.0.0.2"), ("leave",), ("force-leave", "emqx@10.0.0.2"):
        assert "runs as one node" in refused(broker, "cluster", *words, code=69)


def test_every_command_and_option_has_a_help_text() -> None:
    def commands(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        yield names, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from commands(found, *names, name)

    for names, command in commands(main):
        assert command.help, names
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (names, parameter.name)


@pytest.mark.parametrize("words", [("-h",), ("clients", "list", "-h"), ("--version",), ("completion", "zsh")])
def test_help_version_and_completion(broker: BrokerProcess, words: tuple[str, ...]) -> None:
    assert done(broker, *words)


def test_completion_completes(broker: BrokerProcess) -> None:
    command = Path(sys.executable).with_name("emqx-mgmt")
    completed = subprocess.run([command], env=broker.env | {
        "_EMQX_MGMT_COMPLETE": "bash_complete", "COMP_WORDS": "emqx-mgmt clients k", "COMP_CWORD": "2"},
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert completed.stdout == "plain,kick\n", completed
