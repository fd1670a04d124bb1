"""The frame of the dashboard: log-in, first password, places, stream, theme, language, and the overview."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.broker_process import CHECKOUT, wait_until
from tests.dashboard.browser import FIRST_PASSWORD, PASSWORD, ROLES, Browsing, browsing, needs_browser

pytestmark = needs_browser


def test_the_first_password_is_chosen_before_anything_else(tmp_path: Path):
    """`admin` still has `public`: nothing but the choice is offered, and with it the password counts."""
    with browsing(tmp_path, {FIRST_PASSWORD: "public"}) as at:
        watched = at.fresh()
        page = watched.go("overview")
        page.get_by_role("heading", name="Choose a password").wait_for()
        watched.accessible()
        page.get_by_label(re.compile("New password")).fill(PASSWORD)
        page.get_by_label("The same password again").fill(PASSWORD)
        page.get_by_role("button", name="Choose this password").click()
        page.get_by_role("heading", name="Overview").wait_for()
        assert at.broker.api("GET", "stats/", auth=("admin", PASSWORD), port=at.broker.dash_port).ok
        at.close_pages()


def test_a_wrong_password_is_answered_in_the_servers_words(at: Browsing):
    watched = at.fresh()
    watched.allowed.add(401)
    page = watched.go("overview")
    page.get_by_label("User name").fill("viewer")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").filter(has_text="The user name or the password is wrong.").wait_for()
    watched.accessible()


@pytest.mark.parametrize("role", ROLES)
def test_places_are_those_of_the_role(at: Browsing, role: str):
    places = at.logged_in(role).page.get_by_role("navigation", name="Places")
    assert places.get_by_role("link", name="Clients", exact=True).count() == 1
    assert places.get_by_role("link", name="Audit").count() == (role == "administrator")


def test_the_address_survives_the_log_in(at: Browsing):
    watched = at.logged_in("viewer", place="overview?span=1h")
    assert watched.page.get_by_role("button", name="1 h").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_overview_shows_what_the_api_says(at: Browsing, scheme: str):
    """Figures beside those of the API, charts with their latest value, rates by the stream."""
    watched = at.logged_in("viewer", color_scheme=scheme)
    page = watched.page
    with subprocess.Popen(["mosquitto_sub", "-p", str(at.broker.mqtt_port), "-t", "a/#", "-i", "listener"]) as client:
        try:
            page.get_by_role("link", name=re.compile(r"^Connections\s*1\b")).wait_for()
            page.get_by_role("figure", name=re.compile(r"Clients: Connections 1,")).wait_for()
        finally:
            client.kill()
    page.get_by_text("● live").wait_for()
    page.get_by_role("button", name="As a table").first.click()
    page.get_by_role("columnheader", name="Time").wait_for()
    watched.accessible()


def test_a_refused_client_is_seen(at: Browsing):
    """The client id is shown as it is, whatever it contains."""
    page = at.logged_in("viewer").page
    page.get_by_text("No client was refused.").wait_for()
    hostile = '<img src=x onerror="alert(1)">/../%2F'
    banned = at.broker.api("POST", "banned", json={"who": hostile, "as": "client_id", "reason": "", "desc": "",
                                                   "until": 4_000_000_000})
    assert banned.ok, banned.text
    subprocess.run(["mosquitto_pub", "-p", str(at.broker.mqtt_port), "-t", "a", "-m", "b", "-i", hostile], check=False,
                   capture_output=True)
    page.get_by_role("link", name=hostile).wait_for()


def test_the_dialog_opens_over_the_page_and_it_goes_on(at: Browsing):
    """The log-in is ended from elsewhere: the page stays, and the stream is back after another log-in."""
    watched = at.logged_in("operator", place="overview?span=1h")
    watched.allowed.add(401)
    page = watched.page
    page.get_by_text("● live").wait_for()
    asked = {"auth": ("operator", PASSWORD), "port": at.broker.dash_port}
    for login in at.broker.api("GET", "logins/", **asked).json():
        at.broker.api("DELETE", f"logins/{login['id']}", **asked)
    dialog = page.get_by_role("dialog", name="The log-in is over")
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    watched.accessible()
    dialog.get_by_role("button", name="Log in").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("● live").wait_for()
    assert page.get_by_role("button", name="1 h").get_attribute("aria-pressed") == "true"


def test_the_palette_goes_to_a_place_by_keys_alone(at: Browsing):
    watched = at.logged_in("viewer")
    page = watched.page
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("plant/1")
    watched.accessible()
    page.get_by_role("option", name="who gets this topic").wait_for()
    page.get_by_role("combobox", name="Go to").fill("alar")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Alarms", level=1).wait_for()
    wait_until(lambda: page.evaluate("document.activeElement.tagName") == "H1")


def test_theme_and_language_are_kept(at: Browsing):
    watched = at.logged_in("viewer")
    page = watched.page
    page.get_by_role("button", name="viewer").click()
    watched.accessible()
    page.get_by_role("button", name="Dark").click()
    page.get_by_label("Language").select_option("zh")
    page.get_by_role("heading", name="概览").wait_for()
    page.reload()
    page.get_by_role("heading", name="概览").wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(16, 22, 27)"


def test_nothing_goes_sideways_at_320_pixels(at: Browsing):
    page = at.logged_in("viewer", viewport={"width": 320, "height": 640}).page
    page.get_by_role("figure").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_windows_of_a_browser_share_one_stream(at: Browsing):
    """A browser has six connections to a server: with a stream for each window, the seventh would not load."""
    first = at.logged_in("viewer")
    for _ in range(7):
        window = first.page.context.new_page()
        window.goto(f"{at.base}/#/overview")
        window.get_by_text("● live").wait_for(timeout=15_000)
        window.close()


def test_who_logs_out_is_asked_to_log_in(at: Browsing):
    watched = at.logged_in("viewer")
    watched.allowed.add(401)  # to what the page asks while the log-in ends
    page = watched.page
    page.get_by_role("button", name="viewer").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("User name").wait_for()
    wait_until(lambda: not [row for row in at.broker.api("GET", "logins/", auth=("viewer", PASSWORD),
                                                          port=at.broker.dash_port).json() if row["current"]])


def test_all_texts_are_in_all_languages_and_used():
    """A key that no source names is a text that nobody sees; keys made of parts are found by their beginning."""
    source = "\n".join(path.read_text() for path in (CHECKOUT / "dashboard" / "src").rglob("*.ts*")
                       if "generated" not in path.parts)
    by_language = {language: {key for path in (CHECKOUT / "dashboard" / "locales" / language).glob("*.json")
                              for key in json.loads(path.read_text())} for language in ("en", "zh")}
    assert by_language["en"] == by_language["zh"]
    made = tuple(set(re.findall(r"t\(`([\w.-]+\.)\$\{", source)) | {
        f"{prefix}." for prefix in re.findall(r'known\("([\w.-]+)"', source)})
    unused = [key for key in by_language["en"] if f'"{key}"' not in source and not key.startswith(made)]
    assert unused == []
