"""How many descriptors the process may have, and how many of them connections may take."""

from __future__ import annotations

import resource

# Kept back for the store, logs, watchers, HTTP requests and accepts that are refused politely.
RESERVE = 256


def raise_descriptor_limit() -> int:
    """Raises the soft limit to the hard one; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connection_budget() -> int:
    """How many MQTT connections the descriptor limit leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - RESERVE, soft // 2)
