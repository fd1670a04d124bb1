"""The message store: sessions, their queues, retained and delayed messages, in SQLite, written by a process of its
own."""

from emqx_mgmt.storage.integrity import Damaged
from emqx_mgmt.storage.messages.link import StoreEnded, StoreLink
from emqx_mgmt.storage.messages.recovery import Recovered, read_back
from emqx_mgmt.storage.messages.tables import FILE_NAME, check

__all__ = ["FILE_NAME", "Damaged", "Recovered", "StoreEnded", "StoreLink", "check", "read_back"]
