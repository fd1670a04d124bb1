"""What the log keeps of what strangers can have it say."""

from __future__ import annotations

import logging

from emqx_mgmt.server import log
from emqx_mgmt.server.log import LINES, PERIOD_S, Bounded


def test_of_many_alike_lines_a_few_are_written_and_the_rest_is_counted(monkeypatch, caplog):
    now = 1000.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    bounded, logger = Bounded(), logging.getLogger("test.strangers")
    logger.addFilter(bounded)
    for number in range(LINES + 100):
        logger.warning("bad request %d", number)
    logger.warning("of another kind")
    assert caplog.messages == [*(f"bad request {number}" for number in range(LINES)), "of another kind"]
    caplog.clear()
    now += PERIOD_S
    bounded.tell()
    assert caplog.messages == [f"100 more lines of test.strangers (warning) in {PERIOD_S:.0f} seconds"]
    logger.warning("bad request again")
    assert caplog.messages[1:] == ["bad request again"]
