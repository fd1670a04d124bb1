"""The dashboard by other ways than plain http from this machine: TLS, a sub path of a proxy, a name, two brokers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess, free_ports
from tests.dashboard.browser import FIRST_PASSWORD, PASSWORD, Browsing, Watched, browsing, needs_browser
from tests.listeners.nginx import needs_nginx, nginx

pytestmark = needs_browser
NAME = re.compile(r"dashboard_[0-9a-f]{8}_tls")
BELOW = """location /iot/broker-1/ {{
    proxy_pass http://127.0.0.1:{port}/;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_buffering off;
}}"""


@pytest.fixture(scope="module")
def shared_browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    env = {"EMQX_DASHBOARD__LISTENER__HTTPS": f"127.0.0.1:{free_ports(1)[0]}"}
    with browsing(tmp_path_factory.mktemp("browsing"), env) as made:
        yield made


@pytest.fixture
def tls(at: Browsing) -> str:
    return f"https://{at.broker.env['EMQX_DASHBOARD__LISTENER__HTTPS']}"


def cookies(watched: Watched) -> dict[str, dict[str, object]]:
    return {str(one["name"]): dict(one) for one in watched.page.context.cookies()}


def works(watched: Watched) -> None:
    """The stream is there, a list is, and so is what changes something, which looks at the page's origin."""
    page = watched.page
    page.get_by_text("● live").wait_for()
    watched.go("nodes")
    page.get_by_role("button", name="Collect garbage").click()
    page.get_by_text(re.compile(r"collected; the loop stood still for")).wait_for()


def test_over_tls_the_cookie_is_secure_and_has_a_name_of_its_own(at: Browsing, tls: str):
    """A browser does not let a page replace without TLS what was set with it: one name for both would lock out."""
    watched = at.fresh(ignore_https_errors=True)
    watched.base = tls
    watched.log_in("administrator")
    works(watched)
    [(secure, cookie)] = cookies(watched).items()
    assert NAME.fullmatch(secure)
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    other = Watched(watched.page.context, at.base).log_in("viewer")
    plain = secure.removesuffix("_tls")
    assert cookies(other).keys() == {secure, plain}
    assert (cookies(other)[plain]["secure"], cookies(other)[plain]["httpOnly"]) == (False, True)
    other.check()
    watched.page.reload()
    watched.page.get_by_role("button", name="administrator").wait_for()


@needs_nginx
def test_below_a_path_of_a_proxy(at: Browsing, tmp_path: Path):
    """All addresses are relative, and the cookie is for that path alone."""
    with nginx(tmp_path / "nginx", BELOW.format(port=at.broker.dash_port)) as port:
        watched = at.fresh()
        watched.base = f"http://127.0.0.1:{port}/iot/broker-1"
        watched.log_in("administrator")
        works(watched)
        assert [cookie["path"] for cookie in cookies(watched).values()] == ["/iot/broker-1"]
        watched.go("client?id=a%2F..%2Fb%252F").get_by_role("heading", name="a/../b%2F").wait_for()
        at.close_pages()


def test_by_a_name_over_plain_http(at: Browsing):
    """Not a secure context: no clipboard, no Sec-Fetch-Site; Origin and Host say that it is the own page."""
    watched = at.fresh()
    watched.base = at.base.replace("127.0.0.1", "broker.example")
    watched.log_in("administrator")
    assert watched.page.evaluate("isSecureContext") is False
    works(watched)


def test_two_brokers_of_a_host_do_not_log_each_other_out(at: Browsing, tmp_path: Path):
    other = BrokerProcess(tmp_path, {FIRST_PASSWORD: PASSWORD}).start()
    try:
        one = at.logged_in("administrator")
        two = Watched(one.page.context, f"http://127.0.0.1:{other.dash_port}").log_in("admin")
        assert len(cookies(one)) == 2
        works(two)
        works(one)
        two.check()
        at.close_pages()
        assert other.stop() == 0
    finally:
        other.kill9()
