"""A real browser at the dashboard: Debian's Chromium, driven by Playwright.

Each page notes what may never happen: a violation of the Content-Security-Policy, an error of the page or on its
console, an answer of 4xx or 5xx that the test did not name, a request to another host. `Watched.check` fails for any.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.broker_process import CHECKOUT, BrokerProcess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = CHECKOUT / "emqx_mgmt" / "dashboard" / "dist" / "index.html"
AXE = CHECKOUT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
try:
    from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

missing = [name for name, there in {
    "chromium": CHROMIUM, "playwright": sync_playwright, "the built dashboard": PAGES.exists(),
    "axe-core": AXE.exists(),
}.items() if not there]
needs_browser = pytest.mark.skipif(bool(missing) and os.environ.get("BROWSER_TESTS") != "required",
                                   reason=f"not there: {', '.join(missing)}")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic", "--host-resolver-rules=MAP *.example 127.0.0.1"]
VIOLATIONS = """window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"""
FIRST_PASSWORD = "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD"
PASSWORD = "Of-the-tests-1"
ROLES = ("viewer", "operator", "administrator")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What Chromium writes to its console for an answer of 4xx or 5xx; the answers themselves are looked at.
NOT_LOADED = re.compile(r"Failed to load resource: .* (status of \d+|net::ERR_\w+)")
FOUND = """async ([within, rules]) => (await axe.run(document.querySelector(within),
  { runOnly: rules, resultTypes: ["violations"] })).violations.map(
    (one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`)"""


class Watched:
    """A page of a browser and what went wrong in it. `allowed`: statuses that the test provokes."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.allowed: set[int] = set()
        self.problems: list[str] = []
        self.answers: list[tuple[int, str]] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("response", self._answered)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not NOT_LOADED.search(message.text):
            self.problems.append(f"console: {message.text}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.base).netloc:
            self.problems.append(f"another host: {url}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400:
            self.answers.append((answer.status, answer.url))

    def go(self, place: str) -> Page:
        """To a place, `clients?page=2`, within the page or from nothing."""
        self.page.goto(f"{self.base}/#/{place}")
        return self.page

    def log_in(self, username: str, password: str = PASSWORD, place: str = "overview") -> Watched:
        self.go(place)
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("navigation", name="Places").wait_for()
        return self

    def accessible(self, within: str = "html", rules: list[str] = RULES) -> None:
        """axe-core finds nothing on the page as it stands, or in the part of it that a selector names."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(FOUND, [within, rules])
        assert found == [], f"{self.page.url}: {found}"

    def check(self) -> None:
        violations = [] if self.page.is_closed() else self.page.evaluate("window.violations ?? []")
        refused = [f"{status} {url}" for status, url in self.answers if status not in self.allowed]
        found = [*self.problems, *violations, *refused]
        assert found == [], found


class Browsing:
    """Chromium at one broker. Users `viewer`, `operator` and `administrator` have these roles; of all, and of `admin`,
    the password is PASSWORD."""

    def __init__(self, browser: Browser, broker: BrokerProcess) -> None:
        self.browser = browser
        self.broker = broker
        self.base = f"http://127.0.0.1:{broker.dash_port}"
        self.open_pages: list[tuple[BrowserContext, Watched]] = []
        for role in ROLES:
            answer = broker.api("POST", "users", auth=("admin", broker.env[FIRST_PASSWORD]), port=broker.dash_port,
                                json={"username": role, "password": PASSWORD, "role": role})
            assert answer.json() == "ok", answer.text

    def fresh(self, **options: Any) -> Watched:
        """A page of a browser in which nobody is logged in. `options`: of Playwright's new_context."""
        options = {"viewport": {"width": 1360, "height": 900}, "locale": "en-US", "timezone_id": "UTC"} | options
        context = self.browser.new_context(**options)
        context.add_init_script(VIOLATIONS)
        watched = Watched(context, self.base)
        self.open_pages.append((context, watched))
        return watched

    def logged_in(self, role: str = "administrator", place: str = "overview", **options: Any) -> Watched:
        return self.fresh(**options).log_in(role, place=place)

    def close_pages(self) -> None:
        """Also fails for whatever went wrong in any of them."""
        pages, self.open_pages = self.open_pages, []
        try:
            for _, watched in pages:
                watched.check()
        finally:
            for context, _ in pages:
                context.close()


@contextmanager
def browsing(place: Path, env: dict[str, str] | None = None) -> Iterator[Browsing]:
    """A broker of its own and a browser. `env`: FIRST_PASSWORD "public" for a broker that was never used."""
    broker = BrokerProcess(place, {FIRST_PASSWORD: PASSWORD} | (env or {})).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield Browsing(browser, broker)
            browser.close()
        assert broker.stop() == 0
        assert "Traceback" not in broker.stderr, broker.stderr
    finally:
        if broker.running.poll() is None:
            broker.kill9()
