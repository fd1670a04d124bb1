"""A wall clock that can be set, for the process of the broker only."""

from __future__ import annotations

import time

from msgspec import Struct

from emqx_mgmt.plugins import Plugin, Route

real = time.time


class Jump(Struct):
    seconds: float


class Clock(Plugin):
    name = "test_clock"
    description = "Sets the wall clock"

    def routes(self):
        return (Route("set_clock", "PUT", "/test_clock", "Moves the clock", self.jump, takes=Jump),)

    def jump(self, params):
        time.time = lambda: real() + params.seconds
