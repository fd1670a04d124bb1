"""The settings table: how values are written, where they come from, and what a zone falls back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from emqx_mgmt.settings import Endpoint, Rate, SettingsError, Threshold, load
from emqx_mgmt.settings.sample import sample
from tests.broker_process import CHECKOUT


def variable(key: str) -> str:
    return "EMQX_" + key.upper().replace(".", "__")


def value(key: str, text: str):
    return load({variable(key): text, "EMQX_CONFIG": "/dev/null"})[key]


def zone(**given: str):
    return load({variable(key.replace("__", ".")): text for key, text in given.items()}).zone("external")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("15", 15), ("1m", 60), ("2h", 7200), ("1d", 86400), ("1w", 604800), ("200ms", 0.2), ("1h30m", 5400),
     ("1m500ms", 60.5), ("0", 0)],
)
def test_durations_are_seconds(text, seconds):
    assert value("zone.external.retry_interval", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1y", "1.5h", "5s1m", "ms"])
def test_durations_refused(text):
    with pytest.raises(SettingsError, match="must be a duration"):
        value("zone.external.retry_interval", text)


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("64KB", 65536), ("1MB", 1 << 20), ("2gb", 2 << 30), ("10B", 10), ("0", 0)]
)
def test_byte_sizes(text, size):
    assert value("mqtt.max_packet_size", text) == size


@pytest.mark.parametrize(
    ("text", "endpoint", "listen_on"),
    [
        ("1883", Endpoint("", 1883), "1883"),
        ("127.0.0.1:1883", Endpoint("127.0.0.1", 1883), "127.0.0.1:1883"),
        ("[::1]:1883", Endpoint("::1", 1883), "[::1]:1883"),
        ("::1:1883", Endpoint("::1", 1883), "[::1]:1883"),
    ],
)
def test_endpoints(text, endpoint, listen_on):
    assert value("listener.tcp.external", text) == endpoint
    assert endpoint.listen_on == listen_on


@pytest.mark.parametrize("text", ["0", "off"])
def test_an_endpoint_can_be_off(text):
    assert value("listener.tcp.external", text) is None


@pytest.mark.parametrize("text", ["", "65536", "host:1883", "127.0.0.1", "127.0.0.1:0", "-1"])
def test_endpoints_refused(text):
    with pytest.raises(SettingsError):
        value("listener.tcp.external", text)


def test_rates_thresholds_and_priorities():
    assert value("zone.external.publish_limit", "10,1m") == Rate(10, 60.0)
    assert value("zone.external.publish_limit", "") is None
    assert value("zone.external.force_shutdown_policy", "1000|1MB") == Threshold(1000, 1 << 20)
    assert value("zone.external.mqueue_priorities", "topic/1=10,topic/2=8") == {"topic/1": 10, "topic/2": 8}
    assert value("zone.external.mqueue_priorities", "none") == {}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("zone.external.publish_limit", "10"),
        ("zone.external.publish_limit", "0,1m"),
        ("zone.external.publish_limit", "10,0s"),
        ("zone.external.force_shutdown_policy", "1000"),
        ("zone.external.mqueue_priorities", "a=256"),
        ("zone.external.mqueue_priorities", "a"),
        ("zone.external.mountpoint", "a/#"),
        ("zone.external.max_inflight", "65536"),
        ("zone.external.max_inflight", "1.5"),
        ("mqtt.max_qos_allowed", "3"),
        ("allow_anonymous", "yes"),
        ("acl_nomatch", "maybe"),
        ("node.name", "no-host"),
        ("management.bootstrap_app", "no-colon"),
        ("management.bootstrap_app", ":secret"),
    ],
)
def test_values_refused(key, text):
    with pytest.raises(SettingsError, match=f"^{variable(key)}: {key}"):
        value(key, text)


def test_a_zone_falls_back_to_the_global_key_and_then_to_the_default():
    assert zone().max_packet_size == 1 << 20
    assert zone(mqtt__max_packet_size="2MB").max_packet_size == 2 << 20
    assert zone(mqtt__max_packet_size="2MB", zone__external__max_packet_size="3MB").max_packet_size == 3 << 20


def test_zones_have_the_shipped_defaults_of_section_15_2():
    settings = load({"EMQX_ALLOW_ANONYMOUS": "false"})
    external, internal, other = (settings.zone(name) for name in ("external", "internal", "other"))
    assert (external.max_inflight, internal.max_inflight, other.max_inflight) == (32, 32, 0)
    assert (external.enable_acl, internal.enable_acl, other.enable_acl) == (True, False, False)
    assert (external.allow_anonymous, internal.allow_anonymous, other.allow_anonymous) == (False, True, False)
    assert (external.mqueue_default_priority, internal.mqueue_default_priority) == ("highest", "lowest")
    assert external.session_expiry_interval == 7200
    assert settings.zone("external") is external


def test_a_listener_of_ones_own():
    settings = load({"EMQX_LISTENER__TCP__MY_OWN": "1999", "EMQX_LISTENER__TCP__MY_OWN__ZONE": "internal"})
    assert settings.words("listener.tcp", ("external", "internal")) == ["external", "internal", "my_own"]
    assert settings["listener.tcp.my_own.zone"] == "internal"
    assert settings["listener.tcp.my_own.acceptors"] == 8


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"EMQX_LISTENER__TCP__EXTERNAL__ZONE": "externl"}, "names the zone externl, for which nothing is set"),
        ({"EMQX_LISTENER__TCP__EXTRENAL__BACKLOG": "5"}, "is set, but listener.tcp.extrenal is not"),
    ],
)
def test_mistyped_names_are_refused(environ, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load(environ)


def test_a_zone_of_ones_own():
    settings = load({"EMQX_LISTENER__TCP__EXTERNAL__ZONE": "slow", "EMQX_ZONE__SLOW__MAX_INFLIGHT": "1"})
    assert settings.zone(settings["listener.tcp.external.zone"]).max_inflight == 1


def test_words_with_a_double_underscore_or_capitals_are_not_keys():
    settings = load({"EMQX_LISTENER__TCP__MY__OWN": "1999"})
    assert settings.unknown_variables == ["EMQX_LISTENER__TCP__MY__OWN"]


def test_a_secret_can_come_from_a_file(tmp_path: Path):
    secret = tmp_path / "app"
    secret.write_text("app:from-file\n")
    key = "EMQX_MANAGEMENT__BOOTSTRAP_APP"
    assert load({f"{key}_FILE": str(secret)})["management.bootstrap_app"] == ("app", "from-file")
    with pytest.raises(SettingsError, match=f"{key}_FILE: cannot read {tmp_path}/none: No such file or directory"):
        load({f"{key}_FILE": f"{tmp_path}/none"})
    named = "EMQX_LISTENER__SSL__EXTERNAL__KEY_PASSWORD_FILE"
    assert load({named: str(secret)})["listener.ssl.external.key_password"] == "app:from-file"
    assert load({key: "app:direct", f"{key}_FILE": str(secret)})["management.bootstrap_app"] == ("app", "direct")


def test_only_secrets_have_a_file_form(tmp_path: Path):
    assert load({"EMQX_NODE__NAME_FILE": str(tmp_path)}).unknown_variables == ["EMQX_NODE__NAME_FILE"]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"EMQX_NAME": "a", "EMQX_HOST": "b"}, "a@b"),
        ({"EMQX_NAME": "a"}, "a@127.0.0.1"),
        ({"EMQX_HOST": "b"}, "emqx@b"),
        ({"EMQX_NAME": "a", "EMQX_NODE__NAME": "c@d"}, "c@d"),
    ],
)
def test_the_released_images_aliases_of_the_node_name(environ, name):
    assert load(environ)["node.name"] == name


def test_the_file_takes_comments_blanks_and_topics_with_a_hash(tmp_path: Path):
    path = tmp_path / "emqx.conf"
    path.write_text(
        "## a heading\n\n  node.name=a@b   # the name\nzone.external.mqueue_priorities = t/#=3\nnode.name = c@d\n"
    )
    settings = load({}, path)
    assert settings["node.name"] == "c@d"
    assert settings["zone.external.mqueue_priorities"] == {"t/#": 3}


def test_an_unknown_key_is_a_key_error():
    with pytest.raises(KeyError):
        load({})["no.such.key"]


def test_the_shipped_file_shows_every_key_and_changes_nothing():
    shipped = CHECKOUT / "etc/emqx.conf"
    assert shipped.read_text() == sample(), "run: emqx-mgmt defaults > etc/emqx.conf"
    assert load({}, shipped).zone("external") == load({}, Path("/dev/null")).zone("external")
