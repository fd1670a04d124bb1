"""`max_connections_per_user` of zones: Quota exceeded (MQTT 5.0, section 3.2.2.2)."""

from __future__ import annotations

import pytest

from emqx_mgmt.modules.user_quota import UserQuota
from tests.clients.raw import Raw
from tests.harness import Bench

QUOTA_EXCEEDED = 0x97


class Users(Bench):
    """Two connections a user."""

    def __init__(self) -> None:
        super().__init__()
        UserQuota(self.broker, {"test": 2}).start()
        self.connections: list[Raw] = []

    def connect(self, client_id: str, username: str | None = "jo", code: int = 0, version: int = 5) -> Raw:
        self.connections.append(self.open(version))
        return self.connections[-1].connect(client_id, code=code, username=username)


@pytest.fixture
def users() -> Users:
    return Users()


def test_a_user_has_as_many_connections_as_the_zone_says(users: Users) -> None:
    users.connect("a")
    second = users.connect("b")
    users.connect("c", code=QUOTA_EXCEEDED)
    users.connect("c", version=4, code=3)  # Server unavailable: MQTT 3 has no code for it
    users.connect("c", "other")
    for client_id in "d", "e", "f":
        users.connect(client_id, None)
    second.disconnect()
    users.connect("c2")
    users.connect("d2", code=QUOTA_EXCEEDED)


def test_a_client_takes_its_own_place(users: Users) -> None:
    users.connect("a")
    before = users.connect("b")
    users.connect("b")
    assert before.expect(14).code == 0x8E   # Session taken over
    users.connect("c", code=QUOTA_EXCEEDED)


def test_a_place_goes_with_the_user_who_takes_a_client_id_over(users: Users) -> None:
    users.connect("a")
    users.connect("b")
    users.connect("b", "other")
    users.connect("c")
    users.connect("d", code=QUOTA_EXCEEDED)
    users.connect("e", "other")
    users.connect("f", "other", code=QUOTA_EXCEEDED)


def test_those_that_were_let_in_at_once_are_counted_as_well(users: Users) -> None:
    """Enhanced authentication and decisions that wait come past the question."""
    users.broker.hooks._points["client.authenticate"].clear()
    users.connect("a")
    users.connect("b")
    surplus = users.connect("c")
    assert surplus.expect(14).code == QUOTA_EXCEEDED
    users.connect("d", "other")
