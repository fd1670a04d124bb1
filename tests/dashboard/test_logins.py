"""Log-ins of browsers at /session: the cookie, what ends it, who may use it."""

from __future__ import annotations

import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from tests.broker_process import BrokerProcess, wait_until

ADMIN = ("admin", "public")
STRICT = {"X-Requested-With": "dashboard"}
IDLE_S, LIFETIME_S = 2, 4
ABROAD = {"X-Forwarded-For": "192.0.2.1"}
FIRST = re.compile(r"set the password of (\w+) at http://([\d.:]+)/#/first\?token=([\w-]+)")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"), {
        "EMQX_DASHBOARD__ALLOWED_ORIGINS": "https://seen.example.org",
    }).start()
    yield broker
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Log-ins end soon there."""
    broker = BrokerProcess(tmp_path_factory.mktemp("brief"), {
        "EMQX_DASHBOARD__LOGIN__IDLE_TIMEOUT": f"{IDLE_S}s", "EMQX_DASHBOARD__LOGIN__LIFETIME": f"{LIFETIME_S}s",
    }).start()
    yield broker
    assert broker.stop() == 0


class Browser:
    """Keeps cookies, and says of each request what a browser says over http to another machine: the Origin."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.http = requests.Session()
        self.http.headers["User-Agent"] = "Browser/1.0"
        self.go_to(broker)

    def go_to(self, broker: BrokerProcess) -> None:
        self.base = f"http://127.0.0.1:{broker.dash_port}"
        self.http.headers["Origin"] = self.base

    def ask(self, method: str, path: str, **kw: Any) -> requests.Response:
        return self.http.request(method, f"{self.base}/{path}", timeout=10, **kw)

    def api(self, method: str, path: str, **kw: Any) -> requests.Response:
        return self.ask(method, f"api/v3/{path}", **kw)

    def log_in(self, username: str, password: str) -> Browser:
        answer = self.ask("POST", "session", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return self

    @property
    def who(self) -> str | None:
        name: str | None = self.ask("GET", "session").json()["username"]
        return name


def user(broker: BrokerProcess, name: str, role: str = "administrator") -> Browser:
    """A browser in which a new user is logged in."""
    made = broker.api("POST", "users", auth=ADMIN, port=broker.dash_port,
                      json={"username": name, "password": "secret", "role": role})
    assert made.json() == "ok"
    return Browser(broker).log_in(name, "secret")


def change(broker: BrokerProcess, method: str, path: str, **members: Any) -> None:
    assert broker.api(method, path, auth=ADMIN, port=broker.dash_port, json=members).json() == "ok"


def audit(broker: BrokerProcess, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = broker.api("GET", f"audit?{query}").json()["items"]
    return rows


# -- logging in and out ---------------------------------------------------------------------------------


def test_log_in_and_out(broker: BrokerProcess) -> None:
    browser = Browser(broker)
    nobody = browser.ask("GET", "session")
    assert (nobody.status_code, nobody.json()) == (200, {"username": None, "choose_password": True})
    answer = browser.ask("POST", "session", json={"username": "admin", "password": "public"})
    shown = answer.json()
    assert (shown["username"], shown["role"], shown["must_change"]) == ("admin", "administrator", True)
    assert 8 * 3600 - 10 < shown["expires_in"] <= 8 * 3600
    assert (shown["node"], shown["nodes"], shown["websockets"]) == ("emqx@127.0.0.1", ["emqx@127.0.0.1"], [])
    name, flags = answer.headers["Set-Cookie"].split("=", 1)
    assert re.fullmatch(r"dashboard_[0-9a-f]{8}", name)
    assert re.fullmatch(r"[0-9a-f]{64}; HttpOnly; SameSite=Strict", flags)
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.who == "admin"
    assert browser.api("GET", "brokers").status_code == 200
    copy = dict(browser.http.cookies)
    assert browser.ask("DELETE", "session").json()["username"] is None
    assert not browser.http.cookies
    browser.http.cookies.update(copy)
    assert browser.who is None
    assert browser.api("GET", "brokers").status_code == 401
    assert [row["result"] for row in audit(broker, "action=logged_out")] == ["ok"]
    assert audit(broker, "action=logged_in")[0]["who"] == "admin"
    assert "Dashboard: logged in: user 'admin', from 127.0.0.1" in broker.stderr


def test_the_store_has_no_cookie(broker: BrokerProcess) -> None:
    browser = Browser(broker).log_in(*ADMIN)
    [cookie] = browser.http.cookies.values()
    with closing(sqlite3.connect(broker.data_dir / "management.db")) as connection:
        rows = connection.execute("SELECT * FROM login").fetchall()
    assert rows
    assert not any(cookie in str(row) or bytes.fromhex(cookie) in row for row in rows)


@pytest.mark.parametrize("given", [("admin", "wrong"), ("nobody", "public"), ("admin", ""), ("", "")])
def test_a_wrong_log_in(broker: BrokerProcess, given: tuple[str, str]) -> None:
    """One sentence for all causes, and no dialog of the browser."""
    answer = Browser(broker).ask("POST", "session", json={"username": given[0], "password": given[1]})
    assert (answer.status_code, answer.json()) == (401, {"message": "The user name or the password is wrong."})
    assert "WWW-Authenticate" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    row = audit(broker, "action=log_in")[0]
    assert (row["who"], row["status"], row["path"]) == (given[0], 401, "/session")


@pytest.mark.parametrize(("body", "status"), [
    ("{", 400), ("[]", 400), ("{}", 422), ('{"username":"admin"}', 422), ('{"username":1,"password":2}', 422),
])
def test_a_malformed_log_in(broker: BrokerProcess, body: str, status: int) -> None:
    assert Browser(broker).ask("POST", "session", data=body).status_code == status


def test_the_public_password_from_elsewhere(broker: BrokerProcess) -> None:
    answer = Browser(broker).ask("POST", "session", json={"username": "admin", "password": "public"}, headers=ABROAD)
    assert answer.status_code == 401
    assert "accepted from this machine only" in answer.json()["message"]


def test_too_many_at_a_time(broker: BrokerProcess) -> None:
    """Eight wait for their passwords to be verified; more are told to come back."""
    user(broker, "ruth")    # whoever logs in is not slowed down for what went wrong before
    change(broker, "DELETE", "users/ruth")
    statuses: list[int] = []

    def guess(number: int) -> None:
        answer = Browser(broker).ask("POST", "session", json={"username": f"guess{number}", "password": "x"})
        statuses.append(answer.status_code)
        assert answer.status_code == 401 or answer.headers["Retry-After"] == "1"

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 20
    assert set(statuses) == {401, 429}


def test_it_is_not_on_the_other_port(broker: BrokerProcess) -> None:
    for path in ("session", "", "assets/x.js"):
        assert requests.get(f"{broker.base_url}/{path}", timeout=5).status_code == 404
    browser = Browser(broker).log_in(*ADMIN)
    [(name, value)] = browser.http.cookies.items()
    answer = broker.api("GET", "brokers", auth=None, cookies={name: value})
    assert answer.status_code == 401


def test_no_dialog_for_pages(broker: BrokerProcess) -> None:
    """A browser opens its own where a 401 asks for credentials."""
    url = f"http://127.0.0.1:{broker.dash_port}/api/v3/brokers"
    assert "WWW-Authenticate" in requests.get(url, timeout=5).headers
    assert "WWW-Authenticate" not in requests.get(url, headers=STRICT, timeout=5).headers
    browser = Browser(broker).log_in(*ADMIN)
    [(name, _)] = browser.http.cookies.items()
    assert "WWW-Authenticate" not in requests.get(url, cookies={name: "over"}, timeout=5).headers


# -- who may do what ------------------------------------------------------------------------------------


def test_a_cookie_has_the_role_of_its_user(broker: BrokerProcess) -> None:
    viewer = user(broker, "view", "viewer")
    assert viewer.ask("GET", "session").json()["role"] == "viewer"
    assert viewer.api("GET", "brokers").status_code == 200
    assert viewer.api("DELETE", "connections/x").status_code == 403
    assert viewer.api("GET", "audit").status_code == 403
    change(broker, "DELETE", "users/view")


@pytest.mark.parametrize(("headers", "status"), [
    ({"Origin": "http://127.0.0.1:{port}"}, 200),
    ({"Origin": "https://seen.example.org"}, 200),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:1"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Origin": "null"}, 403),
    ({}, 403),
], ids=str)
def test_changes_by_cookie(broker: BrokerProcess, headers: dict[str, str], status: int) -> None:
    """A page of another port of this machine has the cookie as well (SameSite knows no ports)."""
    browser = Browser(broker).log_in(*ADMIN)
    sent = {"Origin": None} | {name: value.format(port=broker.dash_port) for name, value in headers.items()}
    answer = browser.api("DELETE", "slow_subscribers", headers=sent)
    assert answer.status_code == status
    if status == 403:
        assert f"Host '127.0.0.1:{broker.dash_port}'" in answer.text
        assert browser.ask("DELETE", "session", headers=sent).status_code == 403
    assert browser.who == "admin"
    assert browser.api("GET", "brokers", headers=sent).status_code == 200


def test_logins_are_listed_and_ended(broker: BrokerProcess) -> None:
    view, other, admin = user(broker, "lena", "viewer"), Browser(broker), Browser(broker).log_in(*ADMIN)
    other.log_in("lena", "secret")
    rows = view.api("GET", "logins").json()
    assert [(row["username"], row["current"]) for row in rows] == [("lena", True), ("lena", False)]
    assert set(rows[0]) == {"id", "username", "since", "since_ts", "seen", "seen_ts", "address", "browser", "current"}
    assert (rows[0]["address"], rows[0]["browser"]) == ("127.0.0.1", "Browser/1.0")
    assert abs(rows[0]["seen_ts"] - time.time()) < 10
    every = admin.api("GET", "logins").json()
    assert {"admin", "lena"} == {row["username"] for row in every}
    of_admin = next(row["id"] for row in every if row["username"] == "admin")
    assert view.api("DELETE", f"logins/{of_admin}").status_code == 404
    assert view.api("DELETE", f"logins/{rows[1]['id']}").json() == "ok"
    assert (other.who, view.who) == (None, "lena")
    assert admin.api("DELETE", f"logins/{rows[0]['id']}").json() == "ok"
    assert view.who is None
    assert admin.api("DELETE", f"logins/{rows[0]['id']}").status_code == 404
    change(broker, "DELETE", "users/lena")


# -- what ends a log-in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "members"), [
    ("PUT", {"password": "other"}), ("PUT", {"role": "viewer"}), ("DELETE", {}),
], ids=str)
def test_a_change_of_the_user_ends_it_and_its_streams(
    broker: BrokerProcess, method: str, members: dict[str, str]
) -> None:
    browser = user(broker, "otto")
    with browser.api("GET", "events?types=connected", stream=True) as stream:
        pieces = stream.iter_content(None)
        assert next(pieces) == b":\n\n"
        change(broker, method, "users/otto", **members)
        assert browser.api("GET", "brokers").status_code == 401
        began = time.monotonic()
        assert not b"".join(pieces).replace(b":\n\n", b"")
        assert time.monotonic() - began < 3
    assert browser.who is None
    if method != "DELETE":
        change(broker, "DELETE", "users/otto")


def test_whoever_changes_the_own_password_stays(broker: BrokerProcess) -> None:
    browser, other = user(broker, "paul", "viewer"), Browser(broker)
    other.log_in("paul", "secret")
    answer = browser.api("PUT", "change_pwd/paul", json={"old_pwd": "secret", "new_pwd": "better"})
    assert answer.json() == "ok"
    assert (browser.who, other.who) == ("paul", None)
    change(broker, "PUT", "users/paul", tags="a remark")
    assert browser.who == "paul"
    change(broker, "DELETE", "users/paul")


def test_a_log_out_ends_streams(broker: BrokerProcess) -> None:
    browser = Browser(broker).log_in(*ADMIN)
    with browser.api("GET", "events?types=connected", stream=True) as stream:
        pieces = stream.iter_content(None)
        next(pieces)
        browser.ask("DELETE", "session")
        began = time.monotonic()
        list(pieces)
        assert time.monotonic() - began < 3


def test_logging_in_again_ends_the_log_in_before(broker: BrokerProcess) -> None:
    browser = user(broker, "rita")
    cookies = dict(browser.http.cookies)
    browser.log_in("rita", "secret")
    before = Browser(broker)
    before.http.cookies.update(cookies)
    assert (browser.who, before.who) == ("rita", None)
    change(broker, "DELETE", "users/rita")


def test_idle_timeout_and_lifetime(brief: BrokerProcess) -> None:
    idle, used = Browser(brief).log_in(*ADMIN), Browser(brief).log_in(*ADMIN)
    began = time.monotonic()
    over = wait_until(lambda: used.who is None and time.monotonic(), LIFETIME_S + 3, "the end of a log-in that is used")
    assert over - began > LIFETIME_S - 1.1     # seconds are whole
    assert idle.who is None


def test_a_hup_keeps_it_and_two_brokers_do_not_share_it(broker: BrokerProcess, brief: BrokerProcess) -> None:
    browser = Browser(broker).log_in(*ADMIN)
    names = set(browser.http.cookies.keys())
    browser.go_to(brief)
    browser.log_in(*ADMIN)
    assert len(names | set(browser.http.cookies.keys())) == 2
    worker = broker.worker.pid
    broker.signal(signal.SIGHUP)
    wait_until(lambda: broker.worker.pid != worker and broker.is_ready(), 30, "another worker")
    browser.go_to(broker)
    wait_until(lambda: browser.who == "admin", 15, "the log-in at the new worker")


def test_without_the_plugin_there_are_no_log_ins(broker: BrokerProcess) -> None:
    """The API stays on the port; loading it brings them back, and nobody is logged in."""
    browser = Browser(broker).log_in(*ADMIN)
    path = "nodes/emqx@127.0.0.1/plugins/emqx_dashboard"
    assert browser.api("PUT", f"{path}/unload", headers={"Origin": browser.base}).json() == "ok"
    for method, url in (("GET", "session"), ("POST", "session"), ("GET", ""), ("GET", "assets/x.js")):
        assert browser.ask(method, url).status_code == 404
    assert browser.api("GET", "brokers").status_code == 401
    assert broker.api("GET", "brokers", auth=ADMIN, port=broker.dash_port).status_code == 200
    change(broker, "PUT", f"{path}/load")
    assert browser.who is None
    assert browser.log_in(*ADMIN).who == "admin"


def test_a_page_or_a_sentence(broker: BrokerProcess) -> None:
    """The page where it was built; it has nothing of other hosts, no script inside, and may be kept only if checked."""
    answer = requests.get(f"http://127.0.0.1:{broker.dash_port}/", timeout=5)
    if answer.status_code == 503:
        assert "were not built" in answer.text
        assert "were not built" in broker.stderr
        return
    policy = answer.headers["Content-Security-Policy"]
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert "default-src 'self'; connect-src 'self';" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types live" in policy
    [script] = re.findall(r'src="(assets/[\w.-]+\.js)"', answer.text)
    packed = requests.get(f"http://127.0.0.1:{broker.dash_port}/{script}", timeout=5)
    assert (packed.headers["Content-Encoding"], packed.headers["Cache-Control"]) == (
        "gzip", "public, max-age=31536000, immutable")
    plain = requests.get(f"http://127.0.0.1:{broker.dash_port}/{script}", headers={"Accept-Encoding": ""}, timeout=5)
    assert plain.content == packed.content
    assert "Content-Encoding" not in plain.headers
    assert "javascript" in plain.headers["Content-Type"]


@pytest.mark.parametrize("name", ["../index.html", "..%2Findex.html", "nothing.js", "%00.js", "x/y.js", ".js", "x.gz"])
def test_only_what_was_built_is_served(broker: BrokerProcess, name: str) -> None:
    assert requests.get(f"http://127.0.0.1:{broker.dash_port}/assets/{name}", timeout=5).status_code == 404


# -- the first start ------------------------------------------------------------------------------------


def test_the_first_password(brief: BrokerProcess) -> None:
    name, at, token = FIRST.findall(brief.stderr)[-1]
    assert (name, at) == ("admin", f"127.0.0.1:{brief.dash_port}")
    browser = Browser(brief)

    def choose(headers: dict[str, str] | None = None, **given: str) -> int:
        return browser.ask("POST", "session/first", json=given, headers=headers).status_code

    assert browser.ask("GET", "session", headers=ABROAD).json()["choose_password"] is False
    assert choose(ABROAD, password="long enough") == 401
    assert choose(ABROAD, password="long enough", token="x" * 32) == 401
    assert choose(ABROAD, password="short", token=token) == 422
    assert choose(ABROAD, token=token) == 422
    assert choose(ABROAD, password="long enough", token=token) == 200
    assert choose(ABROAD, password="long enough 2", token=token) == 401
    assert choose(password="long enough 2") == 401
    assert browser.ask("GET", "session").json()["choose_password"] is False
    shown = browser.ask("POST", "session", json={"username": "admin", "password": "long enough"}, headers=ABROAD).json()
    assert shown["must_change"] is False
    assert "first_password" in {row["action"] for row in audit(brief, "who=admin")}
    assert token not in str(audit(brief, ""))
