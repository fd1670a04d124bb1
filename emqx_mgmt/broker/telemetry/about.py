"""Version, uptime and time of a node, for REST and for `$SYS`."""

from __future__ import annotations

import time
from functools import lru_cache

SYSDESCR = "EMQ X Broker"
VERSION = "3.0"


def datetime_text(unix: float) -> str:
    """Local time, no zone suffix."""
    return _second_text(int(unix))


@lru_cache(maxsize=65536)
def _second_text(unix: int) -> str:
    return moment_text(time.localtime(unix))


def moment_text(moment: time.struct_time) -> str:
    """Local time with four digits for the year, so that the texts sort by time up to the year 9999."""
    year, month, day, hour, minute, second = moment[:6]
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def uptime_text(seconds: int) -> str:
    """`3 days,18 hours, 25 minutes, 11 seconds`: no blank after `days,`, always plural."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} days,{hour} hours, {minute} minutes, {second} seconds"
    if hours:
        return f"{hour} hours, {minute} minutes, {second} seconds"
    if minutes:
        return f"{minute} minutes, {second} seconds"
    return f"{second} seconds"
