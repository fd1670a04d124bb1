"""What runs the broker, in a browser: plugins and their settings, nodes and listeners."""

from __future__ import annotations

import re
import socket

import pytest
from playwright.sync_api import expect

from tests.broker_process import wait_until
from tests.dashboard.browser import Browsing, needs_browser

pytestmark = needs_browser


def is_active(at: Browsing, name: str) -> bool:
    return any(row["active"] for row in at.broker.api("GET", "plugins/").json()[0]["plugins"] if row["name"] == name)


def given(at: Browsing, plugin: str) -> dict[str, str]:
    node = at.broker.api("GET", "nodes/").json()[0]["name"]
    rows = at.broker.api("GET", f"nodes/{node}/plugin_configs/{plugin}").json()
    return {row["key"]: row["value"] for row in rows if row["required"]}


def test_a_plugin_is_loaded_and_unloaded(at: Browsing):
    """It runs and does not, as the API tells beside the page; unloading asks first."""
    watched = at.logged_in("administrator", "plugins")
    page = watched.page
    page.get_by_role("searchbox", name="Name").fill("auth_username")
    page.get_by_role("button", name="Load emqx_auth_username", exact=True).click()
    page.get_by_role("button", name="Unload emqx_auth_username").wait_for()
    assert is_active(at, "emqx_auth_username")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Reload emqx_auth_username").click()
    page.get_by_role("dialog").get_by_role("button", name="Reload").click()
    page.get_by_text("emqx_auth_username was restarted.").wait_for()
    watched.accessible()
    page.get_by_role("button", name="Unload emqx_auth_username").click()
    watched.accessible()
    page.get_by_role("dialog").get_by_role("button", name="Unload").click()
    page.get_by_role("button", name="Load emqx_auth_username", exact=True).wait_for()
    assert not is_active(at, "emqx_auth_username")


def test_a_setting_of_a_plugin_is_changed_and_refused_in_place(at: Browsing):
    """The server's sentence stands below the field that it names; then nothing is saved. As text as well."""
    watched = at.logged_in("administrator", "plugin?name=emqx_retainer", color_scheme="dark")
    watched.allowed.add(500)
    page = watched.page
    most = page.get_by_label("retainer.max_retained_messages")
    most.fill("12345")
    page.get_by_role("button", name="Save 1 change…").click()
    page.get_by_role("dialog").get_by_role("cell", name="12345").wait_for()
    watched.accessible()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_text("The settings are saved.").wait_for()
    assert given(at, "emqx_retainer")["retainer.max_retained_messages"] == "12345"
    page.get_by_role("button", name="As text").click()
    text = page.get_by_label("Settings, one a line")
    written = text.input_value()
    assert "retainer.max_retained_messages = 12345" in written.split("\n")
    text.fill(written.replace("12345", "many"))
    page.get_by_role("button", name="Save the text…").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("alert").filter(has_text=re.compile(r"retainer\.max_retained_messages .*must be")).wait_for()
    assert given(at, "emqx_retainer")["retainer.max_retained_messages"] == "12345"
    watched.accessible()


def test_settings_of_many_are_a_table(at: Browsing):
    """Keys with a `$word`: a row is added and removed, and the others stay."""
    watched = at.logged_in("administrator", "plugin?name=emqx_auth_username")
    page = watched.page
    for name in ("bob", "eve"):
        table = page.get_by_role("region", name="auth.user.")
        table.get_by_role("textbox", name="username").fill(name)
        table.get_by_label("password").fill(f"of-{name}")
        table.get_by_role("button", name="Add").click()
        table.get_by_role("row").filter(has_text=name).wait_for()
    assert {key: value for key, value in given(at, "emqx_auth_username").items() if "username" in key} == {
        "auth.user.1.username": "bob", "auth.user.2.username": "eve"}
    watched.accessible()
    table.get_by_role("button", name="Remove 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    table.get_by_role("row").filter(has_text="bob").wait_for(state="detached")
    assert [value for key, value in given(at, "emqx_auth_username").items() if "username" in key] == ["eve"]


@pytest.mark.parametrize("place", ["plugins", "plugin?name=emqx_retainer", "nodes"])
def test_a_viewer_is_offered_nothing_to_change(at: Browsing, place: str):
    page = at.logged_in("viewer", place).page
    main = page.get_by_role("main")
    main.get_by_text(re.compile("emqx_retainer|retainer.storage_type|mqtt:tcp:external")).first.wait_for()
    expect(main.get_by_role("button", name=re.compile("Save|oad|Stop|Collect"))).to_have_count(0)


def test_a_listener_is_stopped_and_counters_are_found(at: Browsing):
    """Nobody can connect to what is stopped, until it is started."""
    watched = at.logged_in("administrator", "nodes?counter=packets/connect")

    def connects() -> bool:
        try:
            socket.create_connection(("127.0.0.1", at.broker.mqtt_port), 5).close()
        except ConnectionRefusedError:
            return False
        return True

    page = watched.page
    page.get_by_role("cell", name="packets/connect", exact=True).wait_for()
    assert connects()
    page.get_by_role("button", name="Stop mqtt:tcp:external").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    start = page.get_by_role("button", name="Start mqtt:tcp:external")
    start.wait_for()
    wait_until(lambda: not connects())
    start.click()
    page.get_by_role("button", name="Stop mqtt:tcp:external").wait_for()
    wait_until(connects)
    page.get_by_role("button", name="Collect garbage").click()
    page.get_by_text(re.compile(r"collected; the loop stood still for [\d.]+ ms")).wait_for()
    assert at.broker.api("GET", "recon/memory").json()["latest_collection"] is not None
    watched.accessible()
