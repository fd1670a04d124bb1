"""Logging to stderr: one line for each event, and a bounded number of lines from each place in the code."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from typing import Any

import gevent

from emqx_mgmt.server.log_line import JsonFormatter, TextFormatter
from emqx_mgmt.settings import Rate, Settings

log = logging.getLogger(__name__)


class LogLimit(logging.Filter):
    """Lets `limit.count` lines of one place in the code through in `limit.seconds`; then a line says how many more
    there were."""

    def __init__(self, limit: Rate) -> None:
        super().__init__()
        self._limit = limit
        self._began = 0.0
        self._counts: Counter[tuple[str, str, str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        self.report()
        place = record.name, record.levelname.lower(), record.pathname, record.lineno
        self._counts[place] += 1
        return self._counts[place] <= self._limit.count

    def report(self) -> None:
        """Begins a new period once the old one is over. Called at intervals, so that the count of a flood that has
        ended is logged too."""
        now = time.monotonic()
        if now - self._began < self._limit.seconds:
            return
        counts, seconds = self._counts, now - self._began
        self._counts, self._began = Counter(), now
        for (name, level, _, _), count in counts.items():
            if count > self._limit.count:
                log.warning("%d more lines of %s (%s) in %d seconds", count - self._limit.count, name, level, seconds)


def limit_log(limit: Rate) -> LogLimit:
    """Limits every logger of this process, those of plugins and libraries included. Not used in the master or during
    the start: no client causes their lines."""
    log_limit = LogLimit(limit)
    for handler in logging.getLogger().handlers:
        handler.addFilter(log_limit)
    return log_limit


def log_what_nobody_catches() -> None:
    """Logs exceptions that end a greenlet or a thread, or cannot be raised, and warnings of libraries. Python and
    gevent would print them past the log, in many lines."""
    logging.captureWarnings(capture=True)
    gevent.get_hub().print_exception = _log_greenlet_error
    threading.excepthook = lambda args: _log_error("a thread", args.exc_value)
    sys.unraisablehook = lambda args: _log_error(args.object, args.exc_value)


def _log_greenlet_error(context: Any, _kind: Any, error: Any, _traceback: Any) -> None:
    _log_error(context, error)


def _log_error(context: Any, error: BaseException | None) -> None:
    log.error("%s ended by an exception", str(context), exc_info=error)


def logging_config(settings: Settings) -> dict[str, Any]:
    """For `logging.config.dictConfig`. gunicorn calls that at the start and after HUP."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": TextFormatter},
            "json": {"()": JsonFormatter},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": settings["log.format"]},
        },
        "root": {"level": settings["log.level"].upper(), "handlers": ["stderr"]},
        "loggers": {
            # What gunicorn says of its own life is ours to say.
            "gunicorn.error": {"level": "WARNING", "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
        },
    }
