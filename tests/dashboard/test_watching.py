"""That the fixture of these tests sees what must never happen; a broker is not needed for it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.broker_process import wait_until
from tests.dashboard.browser import CHROMIUM, FLAGS, VIOLATIONS, Browser, Watched, needs_browser, sync_playwright

pytestmark = needs_browser
POLICY = "default-src 'self'; require-trusted-types-for 'script'"
DONE = "fetch('/done').then(() => document.title = 'done')"
PAGE = b"<!doctype html><title>x</title><script src='/script.js'></script><p>shown</p>"


class Handler(http.server.BaseHTTPRequestHandler):
    """A page with one script, which a test chooses."""

    script = b""

    def do_GET(self) -> None:
        body = {"/": PAGE, "/script.js": type(self).script}.get(self.path, b"")
        self.send_response(404 if self.path == "/missing" else 500 if self.path == "/broken" else 200)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No access log."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.mark.parametrize(("script", "found"), [
    ("document.title = 'ready'", None),
    ("document.body.innerHTML = '<b>x</b>'", "require-trusted-types-for"),
    ("document.write('<script>1</script>')", "require-trusted-types-for"),
    ("const s = document.createElement('style'); s.textContent = 'p{}'; document.head.append(s)", "style-src-elem"),
    ("document.querySelector('p').setAttribute('style', 'color: red')", "style-src-attr"),
    ("const i = new Image(); i.src = 'http://localhost:1/x.png'", "another host: http://localhost:1/x.png"),
    ("setTimeout(() => { throw new Error('of the page') })", "page error: of the page"),
    ("Promise.reject(new Error('of a promise'))", "page error: of a promise"),
    ("console.error('said so')", "console: said so"),
    ("console.warn('warned')", "console: warned"),
    ("fetch('/missing')", "404 "),
    ("fetch('/broken')", "500 "),
], ids=str)
def test_what_must_not_happen_fails_a_test(browser: Browser, server: str, script: str, found: str | None):
    act = f"try {{ {script} }} finally {{ {DONE} }}"
    Handler.script = f"addEventListener('DOMContentLoaded', () => {{ {act} }})".encode()
    context = browser.new_context()
    context.add_init_script(VIOLATIONS)
    try:
        watched = Watched(context, server)
        watched.page.goto(server)
        wait_until(lambda: watched.page.title() == "done")
        if found is None:
            watched.check()
            return
        with pytest.raises(AssertionError) as failed:
            watched.check()
        assert found in str(failed.value)
    finally:
        context.close()
