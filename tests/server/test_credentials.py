"""Credentials and the record store: what the first start makes, what survives, and what the files give away."""

from __future__ import annotations

import os
import re
import sqlite3

import pytest

from tests.broker_process import APP, BrokerProcess

FIRST_START = re.compile(r"Created the application admin with the secret (\w{52}) \(shown only now\)")


def works(broker: BrokerProcess, auth: tuple[str, str]) -> bool:
    status = broker.api("GET", "/brokers/", auth=auth).status_code
    assert status in (200, 401)
    return status == 200


def again(start_broker, broker: BrokerProcess, **env: str) -> BrokerProcess:
    """Another start on the same data directory."""
    if broker.running.poll() is None:
        assert broker.stop() == 0
    return start_broker({"EMQX_NODE__DATA_DIR": str(broker.data_dir)} | env)


def test_the_first_start_makes_an_application_and_shows_it_once(start_broker):
    first = start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": ""})
    (secret,) = FIRST_START.findall(first.stderr)
    assert works(first, ("admin", secret))
    assert not works(first, ("admin", secret + "x"))
    second = again(start_broker, first, EMQX_MANAGEMENT__BOOTSTRAP_APP="")
    assert not FIRST_START.search(second.stderr)
    assert works(second, ("admin", secret))


def test_a_given_application_is_made_and_nothing_is_shown(broker):
    assert works(broker, APP)
    assert "secret" not in broker.stderr


def test_a_given_application_that_is_there_keeps_its_secret(start_broker):
    """It may have been rotated since."""
    first = start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": "poller:one"})
    assert works(first, ("poller", "one"))
    second = again(start_broker, first, EMQX_MANAGEMENT__BOOTSTRAP_APP="poller:two")
    assert works(second, ("poller", "one"))
    assert not works(second, ("poller", "two"))


def test_a_secret_may_hold_a_colon(start_broker):
    assert works(start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": "poller:a:b"}), ("poller", "a:b"))


def test_an_application_survives_kill_9(start_broker):
    first = start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": "poller:one"})
    first.kill9()
    assert works(again(start_broker, first, EMQX_MANAGEMENT__BOOTSTRAP_APP=""), ("poller", "one"))


def test_files_are_private_and_hold_no_secret(broker):
    files = [path for path in broker.data_dir.rglob("*") if path.is_file()]
    assert files
    assert broker.data_dir.stat().st_mode & 0o077 == 0
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
        assert APP[1].encode() not in path.read_bytes(), path


def test_a_store_of_a_newer_version_ends_the_start(start_broker, tmp_path):
    with sqlite3.connect(tmp_path / "management.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(tmp_path)}, ready=False)
    assert broker.wait() == os.EX_CONFIG
    assert broker.stderr.strip().endswith("was written by a newer version of the broker (schema 999)")


def test_a_store_that_is_not_one_ends_the_start(start_broker, tmp_path):
    (tmp_path / "management.db").write_bytes(b"not a database" * 100)
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(tmp_path)}, ready=False)
    assert broker.wait() == os.EX_DATAERR
    assert re.match(r"The record store \S+management\.db is damaged: the header of \S+ is not one of SQLite's",
                    broker.stderr)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_cannot_be_written_ends_the_start(start_broker, tmp_path):
    tmp_path.chmod(0o500)
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(tmp_path / "data")}, ready=False)
    assert broker.wait() == os.EX_OSERR


def test_a_data_directory_that_is_a_file_ends_the_start(start_broker, tmp_path):
    place = tmp_path / "file"
    place.touch()
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(place)}, ready=False)
    assert broker.wait() == os.EX_OSERR
    assert broker.stderr.strip() == f"Cannot use the data directory {place}: File exists"
