"""gunicorn's settings for the broker, wherever it is started from."""

import signal

for _number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
    # Until gunicorn handles them, half a second later: there is nothing to reload, reopen or upgrade yet, and their
    # default action would end or stop the start.
    if signal.getsignal(_number) is signal.SIG_DFL:
        signal.signal(_number, signal.SIG_IGN)

from gevent import monkey  # noqa: E402

monkey.patch_all()

from typing import Any  # noqa: E402

from emqx_mgmt.server.log import logging_config  # noqa: E402
from emqx_mgmt.server.master import (  # noqa: E402, F401
    WORKER,
    current_or_exit,
    nworkers_changed,
    on_exit,
    on_starting,
    post_fork,
    pre_exec,
)
from emqx_mgmt.server.request_line import LONGEST_REQUEST_LINE  # noqa: E402

_master = current_or_exit()

wsgi_app = "emqx_mgmt.server.application:application()"
worker_class = WORKER
workers = 1
bind = _master.http_addresses
max_requests = 0
control_socket_disable = True
logconfig_dict = logging_config(_master.settings)
worker_tmp_dir = _master.heartbeat_dir
proc_name = _master.settings["node.name"]

# The watchdog for a loop that is stuck; and how long HTTP requests may take to finish after TERM.
timeout = 30
graceful_timeout = 15
keepalive = 1  # only that there is such a thing: how long is the worker's to say

# gunicorn believes no header that a proxy may have set; management.proxy_trusted names the proxies that are believed.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

limit_request_line = LONGEST_REQUEST_LINE


def post_worker_init(worker: Any) -> None:
    """Hook of gunicorn: in the worker, before it serves."""
    worker.start_node()


def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    """Hook of gunicorn: a request was answered."""
    if resp is not None:
        worker.answered(resp)


def worker_exit(arbiter: Any, worker: Any) -> None:
    """Hook of gunicorn: the worker ends."""
    worker.stop_node()
