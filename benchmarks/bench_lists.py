"""What lists of 100,000 rows cost messages: for how long each piece of the work holds the loop, in CPU time.

    python benchmarks/bench_lists.py [rows]
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emqx_mgmt.broker import Broker
from emqx_mgmt.broker.loop import rounds
from emqx_mgmt.manage import listing, topic_tree
from emqx_mgmt.manage.clients import Clients
from emqx_mgmt.manage.listing import Paging, Sort
from emqx_mgmt.manage.retained import Retained
from emqx_mgmt.manage.topic_tree import RETAINED, ROUTES, TopicTree
from router_ext.message.message import Message
from router_ext.message.retained_store import RetainedStore
from router_ext.session.session import Session
from router_ext.session.zone import Zone

NODE = "emqx@127.0.0.1"
COLLECT_AFTER = (50_000, 20, 100)


class Pieces:
    """CPU seconds between two rounds of the loop."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._began = 0.0

    def measure(self, work: Callable[[], Any]) -> Any:
        self.times.clear()
        self._began = time.thread_time()
        result = work()
        self.round()
        return result

    def round(self) -> None:
        now = time.thread_time()
        self.times.append(now - self._began)
        self._began = time.thread_time()


def filled(rows: int) -> Broker:
    broker, zone = Broker(), Zone("bench")
    broker.engine.retained = RetainedStore()
    for number in range(rows):
        session = Session(f"client{number * 7919 % rows}", zone, username=f"user{number % 100}", clean_start=False,
                          created_at=time.time() - number)
        broker.engine.sessions[session.client_id] = session
        broker.router.subscribe(f"site/{number}/cmd".encode(), session, 0)
        broker.engine.retained.add(Message.create(f"many/{number}", b"x" * (number % 50), retain=True))
    return broker


def main(rows: int) -> None:
    broker, pieces = filled(rows), Pieces()
    gc.freeze()     # as the broker's worker does
    gc.set_threshold(*COLLECT_AFTER)
    for module in (rounds, listing, topic_tree):
        module.yield_to_loop = pieces.round  # type: ignore[attr-defined]
    clients, retained, tree = Clients(NODE, broker, None), Retained(broker), TopicTree(broker)  # type: ignore[arg-type]
    both = frozenset((RETAINED, ROUTES))
    works: dict[str, Callable[[], Any]] = {
        "sessions, _sort=client_id": lambda: clients.sessions(Paging(1, 100, sort=Sort("client_id", False))),
        "sessions, _sort=-created_at, page 50": lambda: clients.sessions(
            Paging(50, 100, sort=Sort("created_at", True))),
        "sessions, extended, _sort=-mqueue_len": lambda: clients.sessions(
            Paging(1, 100, sort=Sort("mqueue_len", True)), True),
        "sessions, username, counted": lambda: clients.sessions(Paging(1, 100, (lambda row: row.username == "user7",))),
        "sessions, username, _count=no": lambda: clients.sessions(
            Paging(1, 100, (lambda row: row.username == "user7",), counted=False)),
        "sessions, client_id": lambda: clients.sessions(Paging(1, 100, client_id="client17")),
        "subscriptions, _sort=-topic": lambda: clients.subscriptions(Paging(1, 100, sort=Sort("topic", True))),
        "retained, _sort=-payload_size, limit 10,000": lambda: retained.page(
            Paging(1, 10_000, sort=Sort("payload_size", True))),
        "topic_tree, first level": lambda: tree.branches(None, both, None, 200),
        "topic_tree, one level of all": lambda: tree.branches("many", both, None, 200),
    }
    print(f"{rows:,} rows; ms of CPU       longest piece   99 % below     in all   pieces")
    for name, work in works.items():
        pieces.measure(work)
        times = sorted(pieces.times)
        print(f"{name:45} {times[-1] * 1000:6.2f} {times[int(len(times) * 0.99) - 1] * 1000:12.2f}"
              f" {sum(times) * 1000:10.0f} {len(times):8}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
