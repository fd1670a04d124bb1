"""Reads the messages that the store has queued for a session, for the API."""

from __future__ import annotations

import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from emqx_mgmt.storage.messages.tables import FILE_NAME, connect_to_read
from emqx_mgmt.storage.messages.writer import QUEUED, body_of

# Of a body; router_ext/durable/journal.pyx has its layout.
HEAD = struct.Struct("<qIBBHHII")
RETAIN = 1          # of a place's flags
HAS_EXPIRY = 2      # of a body's, as in router_ext/message/message.pxd


@dataclass(slots=True)
class Queued:
    """`entry`: the place in the queue; `number`: the message's; `stored_at`: wall clock in ms; `expiry`: seconds from
    arrival, None for none."""

    entry: int
    number: int
    topic: str
    qos: int
    retain: bool
    payload_size: int
    stored_at: int
    expiry: int | None


def look(data_dir: Path, sid: int, after: int, skip: int, limit: int) -> list[Queued]:
    """The messages behind the place `after`, without the first `skip`, oldest first. Raises Damaged and
    sqlite3.Error."""
    with closing(connect_to_read(data_dir / FILE_NAME)) as connection:
        rows = connection.execute(f"{QUEUED} LIMIT ? OFFSET ?", (sid, after, limit, skip))
        return [queued(row[1], row[2], row[4], row[5], body_of(row)) for row in rows]


def queued(entry: int, number: int, qos: int, flags: int, body: bytes) -> Queued:
    """The message of a row of the queue, without its payload."""
    stored_at, expiry, _, of_body, topic, _, _, payload = HEAD.unpack_from(body)
    name = body[HEAD.size:HEAD.size + topic].decode()
    return Queued(entry, number, name, qos, bool(flags & RETAIN), payload, stored_at,
                  expiry if of_body & HAS_EXPIRY else None)
