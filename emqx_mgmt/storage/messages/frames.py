"""Frames between the worker and the store process, kind by kind, as `router_ext/durable/journal.pxd` describes them."""

from __future__ import annotations

import struct

BATCH, LOAD, SETTLE = 1, 2, 3
COMMITTED, PAGE, FULL, ROOM, READY, FAILED, SETTLED, SHORT = range(16, 24)

ANSWER = struct.Struct("<IB3xQ")    # bytes behind this head, the kind, a number
