"""The number of descriptors of the process, and how many of them MQTT connections may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass

# Kept back for the store, logs, watchers and connections that are accepted only to be refused.
RESERVE = 128


@dataclass(slots=True)
class ConnectionBudget:
    """How many MQTT connections all listeners together may have, and how many there are."""

    limit: int
    taken: int = 0


def raise_descriptor_limit() -> int:
    """Raises the soft limit to the hard one, which it returns; child processes inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connection_budget(held_back: int = 0) -> ConnectionBudget:
    """The descriptor limit without the reserve and `held_back`, at least half of it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ConnectionBudget(max(soft - RESERVE - held_back, soft // 2))
