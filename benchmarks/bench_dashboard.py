"""What the dashboard costs the broker and its clients, and how soon it shows something.

    python benchmarks/bench_dashboard.py [pings] [windows] [pages] [--realtime]

pings: how long answers to PINGREQ take while somebody sorts and searches lists of 100,000 rows, in turns with a time in
which nobody asks. windows: CPU time of the worker for open and hidden windows, in turns with none, 10,000 clients
connected. pages: how soon log-in page, overview, a list and a tree of 200,000 topics are shown, how smoothly a list
scrolls, and what a window that was open for eight hours has in memory. Needs what the dashboard's tests need.
--realtime: broker and pings before all else on the machine, as the other benchmarks have it; a question is then asked
each 0.4 s, since the system takes 50 ms of each second from a real-time process that never waits.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import requests
from generator import PROGRAM, build

from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.raw import Raw
from tests.dashboard.browser import PASSWORD, Browsing, browsing

ROWS = 100_000
CLIENTS = 10_000
RETAINED = 200_000
PING, PONG = b"\xc0\0", b"\xd0\0"
PING_EACH_S, ASK_EACH_S, TURN_S, TURNS = 0.002, 0.4, 2.0, 6
QUESTIONS = {
    "sorted subscriptions": "subscriptions/?_sort=-topic&_limit=100",
    "sorted sessions, page 50": "sessions/?_sort=-created_at&_limit=100&_page=50",
    "searched, _count=no": "subscriptions/?_like_topic=site/99&_count=no&_limit=100",
    "searched for nothing, _count=no": "subscriptions/?_like_topic=nothing&_count=no&_limit=100",
    "sorted retained": "retained/?_sort=-payload_size&_limit=100",
    "a level of the tree": "topic_tree/?under=many&_limit=200",
}
EIGHT_HOURS = 8 * 3600


# -- what is there ---------------------------------------------------------------------------------------


def sent(client: Raw, count: int, packet: Callable[[int], bytes]) -> None:
    """So many packets that are acknowledged, a thousand in flight."""
    for first in range(0, count, 1000):
        client.send(b"".join(packet(number) for number in range(first, min(first + 1000, count))))
        for _ in range(first, min(first + 1000, count)):
            client.packet()


def fill(port: int) -> list[Raw]:
    """ROWS subscriptions of ROWS / 100 sessions that stay, RETAINED messages; the clients are gone, but one."""
    def connected(client_id: str) -> Raw:
        raw = Raw(socket.create_connection(("127.0.0.1", port)), 4)
        return raw.connect(client_id, clean=False)

    sender = connected("sender")
    sent(sender, RETAINED, lambda number: sender.publish_packet(
        f"many/{number % 1000}/{number}", b"x" * (number % 50 + 1), qos=1, retain=True, pid=number % 60_000 + 1))
    for number in range(ROWS // 100):
        client = connected(f"device-{number}")
        client.subscribe(*(f"site/{number}/{one}/cmd" for one in range(100)), qos=1)
        client.disconnect()
    return [sender]


@contextlib.contextmanager
def crowd(port: int, count: int) -> Iterator[None]:
    command = [str(PROGRAM), "idle", "--port", str(port), "--connections", str(count), "--subscribe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        yield
        assert holding.stdin is not None
        holding.stdin.close()


# -- pings -----------------------------------------------------------------------------------------------


def first_of_all(pid: int = 0) -> None:
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


def ping(port: int, seconds: float) -> list[float]:
    """Milliseconds of each, in order of length."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"pings-{time.monotonic_ns()}".encode()
        body = b"\0\4MQTT\4\2\0\0" + struct.pack("!H", len(name)) + name
        sock.sendall(bytes((0x10, len(body))) + body)
        assert sock.recv(4)[3] == 0
        times, end = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            sock.sendall(PING)
            assert sock.recv(2) == PONG
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(PING_EACH_S)
    return sorted(times)


def ask(url: str, asks: Any, counted: Any) -> None:
    """Each ASK_EACH_S while `asks` is set, or as often as it is answered."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with requests.Session() as http:
        while True:
            asks.wait()
            began = time.monotonic()
            answer = http.get(url, auth=APP, timeout=60)
            assert answer.status_code == 200, answer.text
            counted.value += 1
            time.sleep(max(0.0, began + ASK_EACH_S - time.monotonic()))


def p99(times: list[float]) -> float:
    return times[int(len(times) * 0.99)]


def pings(realtime: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        broker = BrokerProcess(Path(place), {"EMQX_DURABILITY": "off"}).start()
        try:
            fill(broker.mqtt_port)
            if realtime:
                first_of_all(broker.worker.pid)
                first_of_all()
            print(f"{ROWS:,} subscriptions, {RETAINED:,} retained; PINGREQ, ms   p50      p99      max     p50      p99"
                  "      max  p99 +  answers/s")
            for name, path in QUESTIONS.items():
                asks, counted = multiprocessing.Event(), multiprocessing.Value("i")
                asking = multiprocessing.Process(target=ask, args=(f"{broker.base_url}/api/v3/{path}", asks, counted))
                asking.start()
                quiet, busy, differences = [], [], []
                for _ in range(TURNS):
                    asks.clear()
                    alone = ping(broker.mqtt_port, TURN_S)
                    asks.set()
                    beside = ping(broker.mqtt_port, TURN_S)
                    quiet += alone
                    busy += beside
                    differences.append(p99(beside) - p99(alone))
                asking.kill()
                asking.join()
                quiet.sort()
                busy.sort()
                print(f"{name:47} {median(quiet):8.2f} {p99(quiet):8.2f} {quiet[-1]:8.2f} {median(busy):7.2f}"
                      f" {p99(busy):8.2f} {busy[-1]:8.2f} {median(differences):6.2f}"
                      f" {counted.value / TURNS / TURN_S:10.1f}", flush=True)
        finally:
            broker.kill9()


# -- windows ---------------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Processor time of a process in seconds, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def percent(pid: int, seconds: float) -> float:
    """Of one core."""
    before, began = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_s(pid) - before) / (time.monotonic() - began) * 100


def windows(at: Browsing, seconds: float = 8.0, turns: int = 3) -> None:
    """Each number of windows in turns with none. Windows of one browser share a stream: these are of one each."""
    pid = at.broker.worker.pid
    print(f"\n{CLIENTS:,} clients; % of a core, above what the broker takes without a window")
    for name, count, hidden in (("one window", 1, False), ("five windows", 5, False), ("one hidden window", 1, True)):
        more = []
        for _ in range(turns):
            alone = percent(pid, seconds)
            shown = [at.logged_in("viewer").page for _ in range(count)]
            for page in shown:
                page.get_by_text("● live").wait_for()
            if hidden:
                hide(shown[0])
            time.sleep(4)   # what the windows ask for once
            more.append(percent(pid, seconds) - alone)
            at.close_pages()
        print(f"{name:20} {median(more):6.3f}   ({', '.join(f'{one:.3f}' for one in more)})", flush=True)


def hide(page: Any) -> None:
    """As when another tab is in front."""
    page.evaluate("""() => { Object.defineProperty(document, "hidden", { value: true });
      Object.defineProperty(document, "visibilityState", { value: "hidden" });
      document.dispatchEvent(new Event("visibilitychange")); }""")


# -- pages -----------------------------------------------------------------------------------------------


def shown_after(act: Callable[[], Any], wait: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    wait()
    return time.perf_counter() - began


def smoothness(page: Any) -> float:
    """Frames a second while a table scrolls for two seconds."""
    return float(page.evaluate("""() => new Promise((done) => {
      const box = document.querySelector(".table.windowed"), began = performance.now();
      let frames = 0;
      const draw = (now) => {
        frames++;
        box.scrollTop = (box.scrollTop + 87) % (box.scrollHeight - box.clientHeight);
        now - began < 2000 ? requestAnimationFrame(draw) : done(frames / (now - began) * 1000);
      };
      requestAnimationFrame(draw);
    })"""))


def heap(page: Any) -> float:
    """MB in use once garbage is collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def eight_hours(at: Browsing) -> tuple[float, float]:
    """MB after the samples of a minute and of eight hours, sent as fast as the page takes them."""
    now = int(time.time())
    watched = at.fresh()
    watched.page.context.add_init_script("""delete window.SharedWorker;
      window.EventSource = class extends EventTarget { close() {}
        constructor() { super(); (window.streams ??= []).push(this); setTimeout(() => this.onopen?.(), 0); } };
      window.tell = (from, count) => { for (let ts = from; ts < from + count; ts++) for (const one of streams)
        one.dispatchEvent(new MessageEvent("rates", { data: JSON.stringify({ ts, received: ts % 97, sent: ts % 89,
          dropped: 0, unrouted: 0, received_bytes: 64, sent_bytes: 64, connects: 0, connections: 10000,
          subscriptions: 10000 }) })); };""")
    watched.log_in("viewer").page.get_by_role("figure").first.wait_for()
    page = watched.page
    page.evaluate("(from) => tell(from, 60)", now)
    before = heap(page)
    for first in range(60, EIGHT_HOURS, 600):
        page.evaluate("(from) => new Promise((done) => { tell(from, 600); requestAnimationFrame(done); })", now + first)
    return before, heap(page)


def pages(at: Browsing) -> None:
    def logged_in() -> Any:
        page.get_by_label("User name").fill("viewer")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        return page.get_by_role("button", name="Log in").click()

    print(f"\n{CLIENTS:,} clients, {RETAINED:,} retained; seconds until it is shown")
    watched = at.fresh()
    page = watched.page
    steps: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "log-in page": (lambda: watched.go("overview"), lambda: page.get_by_label("User name").wait_for()),
        "overview after the log-in": (logged_in, lambda: page.get_by_role("figure").first.wait_for()),
        "500 of 10,000 clients": (lambda: watched.go("clients"), lambda: page.locator("tbody tr").nth(20).wait_for()),
        "sorted by id": (lambda: page.get_by_role("button", name="Client id").click(),
                         lambda: page.locator("th[aria-sort=ascending]").wait_for()),
        "topics": (lambda: watched.go("topics"), lambda: page.locator("[role=row]", has_text="many").first.wait_for()),
        "a level of the tree": (
            lambda: page.locator("[role=row]", has_text="many").first.press("ArrowRight"),
            lambda: page.locator("[role=row][aria-level='2']").nth(199).wait_for()),
    }
    page.add_init_script("localStorage.setItem('dashboard.rows', '500')")
    for name, (act, wait) in steps.items():
        print(f"{name:30} {shown_after(act, wait):6.2f}", flush=True)
        if "clients" in name:
            print(f"{'it scrolls at':30} {smoothness(page):6.1f} frames/s", flush=True)
    print("heap after a minute, and after eight hours of overview: {:.1f} MB, {:.1f} MB".format(*eight_hours(at)))
    at.close_pages()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["pings", "windows", "pages"])
    parser.add_argument("--realtime", action="store_true")
    asked_for = parser.parse_args()
    if "pings" in asked_for.parts:
        pings(asked_for.realtime)
    if {"windows", "pages"} & set(asked_for.parts):
        build()
        with tempfile.TemporaryDirectory() as place, browsing(Path(place), {"EMQX_DURABILITY": "off"}) as at, \
                crowd(at.broker.mqtt_port, CLIENTS):
            wait_until(lambda: at.broker.api("GET", "stats/").json()[0]["connections/count"] >= CLIENTS, 60)
            if "windows" in asked_for.parts:
                windows(at)
            if "pages" in asked_for.parts:
                fill(at.broker.mqtt_port)
                pages(at)


if __name__ == "__main__":
    main()
