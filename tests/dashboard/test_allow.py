"""Who may do what, in a browser: users, applications, credentials, the audit record; settings, log levels, backups."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser import PASSWORD, Browsing, needs_browser

pytestmark = needs_browser

HOSTILE = '<img src=x onerror="alert(1)">/../%2F?#'


def asked(at: Browsing, path: str) -> Any:
    return at.broker.api("GET", path, auth=("administrator", PASSWORD), port=at.broker.dash_port).json()


def test_users_come_change_and_go(at: Browsing):
    """Another role ends the log-ins of a user; one's own password is changed with the one before."""
    watched = at.logged_in("administrator", "users")
    page = watched.page
    page.get_by_role("button", name="New user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("User", exact=True).fill(HOSTILE)
    dialog.get_by_label("New password").fill(PASSWORD)
    dialog.get_by_label("The same password again").fill("another")
    dialog.get_by_role("button", name="Add").click()
    dialog.get_by_role("alert").filter(has_text="The two passwords differ.").wait_for()
    watched.accessible()
    dialog.get_by_label("The same password again").fill(PASSWORD)
    dialog.get_by_role("button", name="Add").click()
    page.get_by_role("cell", name=HOSTILE, exact=True).wait_for()
    other = at.logged_in(HOSTILE, "users")
    other.allowed.update((401, 500))
    other.page.get_by_role("button", name="Change my password").click()
    mine = other.page.get_by_role("dialog")
    new = "Another-of-them-2"
    for label, text in (("Password now", "wrong"), ("New password", new), ("again", new)):
        mine.get_by_label(label).fill(text)
    mine.get_by_role("button", name="Save").click()
    mine.get_by_role("alert").filter(has_text="Password Error").wait_for()
    mine.get_by_label("Password now").fill(PASSWORD)
    mine.get_by_role("button", name="Save").click()
    other.page.get_by_text("Your password is changed.").wait_for()
    page.get_by_role("button", name=f"Change {HOSTILE}").click()
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("row").filter(has_text=HOSTILE).filter(has_text="operator").wait_for()
    other.page.get_by_role("dialog", name="The log-in is over").wait_for()
    page.get_by_role("button", name=f"Delete {HOSTILE}").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("is deleted.").wait_for()
    assert HOSTILE not in [user["username"] for user in asked(at, "users/")]


def test_an_application_gets_role_resources_and_another_secret(at: Browsing):
    """The secret that is shown counts, for those resources alone."""
    watched = at.logged_in("administrator", "apps")
    page = watched.page
    page.get_by_role("button", name="New application").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Application id").fill("reader")
    dialog.get_by_label("Name").fill("Reader")
    dialog.get_by_label("Resources").fill("nodes, stats")
    watched.accessible()
    dialog.get_by_role("button", name="Add").click()
    page.get_by_role("heading", name="Secret of reader").wait_for()
    first = dialog.locator("code").inner_text()
    dialog.get_by_role("button", name="Close").click()

    def status(secret: str, path: str) -> int:
        return at.broker.api("GET", path, auth=("reader", secret)).status_code

    assert (status(first, "nodes/"), status(first, "plugins/")) == (200, 403)
    page.get_by_role("row").filter(has_text="nodes, stats").filter(has_text="viewer").wait_for()
    page.get_by_role("button", name="New secret reader").click()
    dialog.get_by_role("button", name="New secret").click()
    page.get_by_role("heading", name="Secret of reader").wait_for()
    second = dialog.locator("code").inner_text()
    dialog.get_by_role("button", name="Close").click()
    assert (status(first, "nodes/"), status(second, "nodes/")) == (401, 200)
    watched.accessible()


def test_a_name_of_the_table_lets_a_client_in(at: Browsing):
    """A SCRAM user with a hostile name comes and goes; a user name lets a client in until it is deleted."""
    watched = at.logged_in("administrator", "credentials")
    page = watched.page
    page.get_by_role("link", name="emqx_auth_username").click()
    page.get_by_role("button", name="Load emqx_auth_username").click()
    page.get_by_text("emqx_auth_username runs.").wait_for()
    watched.go("credentials")

    def add(label: str, name: str) -> None:
        page.get_by_role("button", name="Add a name").click()
        page.get_by_role("dialog").get_by_label(label).fill(name)
        page.get_by_role("dialog").get_by_label("Password").fill("secret")
        page.get_by_role("dialog").get_by_role("button", name="Add").click()
        page.get_by_role("cell", name=name, exact=True).wait_for()

    def publishes(password: str) -> bool:
        command = ["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-u", HOSTILE, "-P", password, "-t", "a", "-m", "b"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    add("User names", HOSTILE)
    assert publishes("secret")
    assert not publishes("wrong")
    page.get_by_role("button", name=f"Delete {HOSTILE}").click()
    watched.accessible()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("The table is empty.").wait_for()
    assert asked(at, "auth_username") == []
    page.get_by_role("button", name="SCRAM users").click()
    add("SCRAM users", "meter")
    assert [row["username"] for row in asked(at, "scram_users/")] == ["meter"]


def test_settings_and_log_levels_change_at_once(at: Browsing):
    """A refused value is told below its field and stays; a level is taken back."""
    watched = at.logged_in("administrator", "settings", color_scheme="dark")
    watched.allowed.add(422)
    page = watched.page
    field = page.get_by_label("mqtt.max_clientid_len", exact=True)
    for text, told in (("1234", "1 of 1 saved."), ("-5", "0 of 1 saved.")):
        field.fill(text)
        page.get_by_role("main").locator("form").evaluate("(form) => (form.noValidate = true)")
        page.get_by_role("button", name="Save 1 change…").click()
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        page.get_by_text(told).wait_for()
    page.get_by_role("alert").filter(has_text="must be").wait_for()
    values = {row["key"]: row["value"] for row in asked(at, "configs/")[0]["config"]}
    assert values["mqtt.max_clientid_len"] == "1234"
    page.get_by_label("From", exact=True).select_option("REST")
    page.get_by_role("row").filter(has_text="1234").wait_for()
    watched.accessible()
    watched.go("logs")
    page.get_by_label("Level of api").select_option("debug")
    page.get_by_role("button", name="take back api").click()
    page.get_by_text("api logs as log.level says again.").wait_for()
    watched.accessible()
    assert {row["component"]: row["level"] for row in asked(at, "log/levels")}["api"] == "info"


def test_the_audit_record_is_searched(at: Browsing):
    """A row opens with its parameters, secrets masked."""
    at.broker.api("POST", "users", auth=("administrator", PASSWORD), port=at.broker.dash_port,
                  json={"username": "seen", "password": PASSWORD, "tags": HOSTILE})
    watched = at.logged_in("administrator", "audit?_like_action=create_user&_like_who=administrator")
    page = watched.page
    page.get_by_role("button", name="create_user").first.click()
    dialog = page.get_by_role("dialog")
    shown = json.loads(dialog.locator("pre").inner_text())
    assert shown == {"username": "seen", "password": "******", "tags": HOSTILE}
    watched.accessible()
    dialog.get_by_role("button", name="Close").click()
    watched.accessible()
    page.get_by_label("Status").select_option("400")
    page.get_by_text(re.compile("Nothing is found with")).wait_for()


def test_a_backup_is_made_and_another_file_refused(at: Browsing, tmp_path: Path):
    watched = at.logged_in("administrator", "backup")
    watched.allowed.update((400, 500))
    page = watched.page
    with page.expect_download() as download:
        page.get_by_role("button", name="Make and save").click()
    made = tmp_path / "made.zip"
    download.value.save_as(made)
    assert zipfile.ZipFile(made).testzip() is None
    page.get_by_label("Backup to import").set_input_files(
        {"name": "no.zip", "mimeType": "application/zip", "buffer": b"not a backup"})
    page.get_by_role("button", name="Import…").click()
    page.get_by_label("Type import to go on").fill("import")
    watched.accessible()
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    page.get_by_role("alert").filter(has_text="it is not a backup that can be read").wait_for()


@pytest.mark.parametrize("place", ["users", "apps", "credentials", "settings", "logs"])
def test_a_viewer_sees_and_changes_nothing(at: Browsing, place: str):
    page = at.logged_in("viewer", place).page
    main = page.get_by_role("main")
    main.get_by_text(re.compile("tester|log.level|operator|User names")).first.wait_for()
    expect(main.get_by_role("button", name=re.compile("New|Add|Delete|Save|take back"))).to_have_count(0)
