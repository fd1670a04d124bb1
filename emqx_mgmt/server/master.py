"""The master process: checks the settings, takes the data directory, opens every socket, and hands them to workers.

Its state is in an imported module, because gunicorn runs its configuration file again on HUP, which would lose the
globals of that file.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gunicorn.sock import TCP6Socket, TCPSocket

from emqx_mgmt.listeners import (
    Listener,
    ListenError,
    adopt_sockets,
    close_listeners,
    declared,
    export,
    open_listeners,
    raise_descriptor_limit,
)
from emqx_mgmt.listeners.certificate import development_directory, make_certificate
from emqx_mgmt.server import service_manager
from emqx_mgmt.server.in_use import log_in_use, log_version
from emqx_mgmt.server.log import logging_config
from emqx_mgmt.server.log_line import one_line
from emqx_mgmt.settings import Settings, SettingsError, load
from emqx_mgmt.storage import DataDirError, DataDirLock, backup, migrate
from emqx_mgmt.storage.data_dir import require_room
from emqx_mgmt.storage.messages import check
from router_ext.net.tls import TlsError

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

log = logging.getLogger(__name__)

# Carries the descriptors over the exec of USR2, by listener identity.
HANDOVER = "_EMQX_MGMT_DESCRIPTORS"
LOCK = "lock"
RELOADED = "reloaded.json"
MEMORY = "/dev/shm"


class Master:
    """What outlives a worker: settings, listeners, the lock on the data directory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.listeners: list[Listener] = declared(settings)
        self.lock: DataDirLock | None = None

    @property
    def http(self) -> list[Listener]:
        """The listeners that gunicorn serves."""
        return [listener for listener in self.listeners if not listener.is_mqtt and not listener.is_https]

    @property
    def https(self) -> list[Listener]:
        """The listeners of the API over TLS."""
        return [listener for listener in self.listeners if listener.is_https]

    @property
    def http_addresses(self) -> list[str]:
        """The HTTP listeners in gunicorn's notation."""
        return [row.listen_on if row.endpoint.host else f"0.0.0.0:{row.listen_on}" for row in self.http]

    @property
    def heartbeat_dir(self) -> str:
        """The directory of the file by which gunicorn sees that a worker lives: in memory if possible, so that a slow
        disk does not make a worker seem stuck."""
        return MEMORY if os.access(MEMORY, os.W_OK) else os.path.abspath(self.settings["node.data_dir"])

    def open(self) -> None:
        """Does everything that can fail, before a worker exists. Raises DataDirError and ListenError."""
        inherited: dict[str, int] = json.loads(os.environ.pop(HANDOVER, "{}"))
        raise_descriptor_limit()
        data_dir = Path(self.settings["node.data_dir"])
        self.lock = DataDirLock(data_dir, inherited.pop(LOCK, None))
        backup.try_to_put_in_place(data_dir, log.warning)  # one that was cut short; else a worker does it
        migrate(data_dir)
        check(data_dir, synced=self.settings["durability"] == "fsync")
        prepare_tls(self.listeners, data_dir, self.settings["node.name"])
        open_listeners(self.listeners, inherited)
        log_version()
        log_in_use(self.settings, self.listeners)

    def handover(self) -> str:
        """The value of HANDOVER for the new master."""
        assert self.lock is not None
        return json.dumps({**export(self.listeners), LOCK: self.lock.export()})

    def reload(self) -> bool:
        """Reads the settings again for the next worker. False, with the reason in the log, where it could not start
        with them: nothing changes then."""
        try:
            settings = load()
            if settings["node.data_dir"] != self.settings["node.data_dir"]:
                raise SettingsError("node.data_dir cannot change while running")
            require_room(Path(settings["node.data_dir"]))
            listeners = declared(settings)
            moved = [row.identity for row in listeners] != [row.identity for row in self.listeners]
            if not moved:
                prepare_tls(listeners, Path(settings["node.data_dir"]), settings["node.name"])
        except (SettingsError, DataDirError, TlsError, OSError, ValueError) as error:
            complaints = error.complaints if isinstance(error, SettingsError) else (str(error),)
            for complaint in complaints:
                log.error("%s. The settings from before stay in effect, and the worker goes on.", complaint)
            self.leave_outcome(complaints)
            return False
        self.settings = settings
        if moved:
            log.warning("Listener addresses changed; that takes effect at the next start.")
        else:
            adopt_sockets(listeners, self.listeners)
            self.listeners = listeners
        log.info("The settings were read again.")
        logging.config.dictConfig(logging_config(settings))
        log_in_use(settings, self.listeners)
        self.leave_outcome(())
        return True

    def leave_outcome(self, complaints: Sequence[str]) -> None:
        """For `emqx-mgmt reload`, which sent the signal: what kept the settings from being read again."""
        file = Path(self.settings["node.data_dir"]) / RELOADED
        new = file.with_suffix(".new")
        try:
            new.write_text(json.dumps({"complaints": complaints, "at": time.monotonic_ns()}))
            new.replace(file)
        except OSError as error:    # a full disk: the command says that it has not heard
            log.warning("%s cannot be written: %s", file, error.strerror)

    def close(self) -> None:
        """Closes the listening sockets."""
        close_listeners(self.listeners)


_current: Master | None = None


def current() -> Master:
    """The master of this process. The first call reads the settings, and raises SettingsError where they are wrong."""
    global _current
    if _current is None:
        _current = Master(load())
    return _current


def current_or_exit() -> Master:
    """`current` at the start of the process: ends it with a sentence for each fault and exit code 78."""
    try:
        return current()
    except SettingsError as error:
        fail("\n".join(map(one_line, error.complaints)), os.EX_CONFIG)


def fail(sentence: str, code: int) -> NoReturn:
    """Ends the process with a sentence on stderr."""
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(code)


WORKER = "emqx_mgmt.server.worker.Worker"
# What gunicorn lets its command line change, and why this server cannot have it.
REFUSED: list[tuple[str, Any, str]] = [
    ("workers", 1, "One worker is one broker node: run with --workers 1."),
    ("max_requests", 0, "A worker that is recycled disconnects every client: run with --max-requests 0."),
    ("reuse_port", False, "The sockets are opened once, in the master: run without --reuse-port."),
    ("preload_app", False, "The node starts in the worker: run without --preload."),
]


def check_gunicorn(arbiter: Arbiter) -> None:
    """Ends the process where options of gunicorn would break the node."""
    if arbiter.cfg.worker_class_str != WORKER:
        fail("The broker needs its own gevent worker: run without --worker-class.", os.EX_CONFIG)
    if (arbiter.cfg.uid, arbiter.cfg.gid) != (os.geteuid(), os.getegid()):
        fail("The broker runs as the user who starts it: run without --user and --group, as that user.", os.EX_CONFIG)
    for name, wanted, sentence in REFUSED:
        if getattr(arbiter.cfg, name) != wanted:
            fail(sentence, os.EX_CONFIG)
    if arbiter.cfg.bind != current().http_addresses:
        fail("Addresses are settings (management.listener.http): run without --bind.", os.EX_CONFIG)


def prepare_tls(listeners: list[Listener], data_dir: Path, node_name: str) -> None:
    """Makes the development certificate where it is needed, and reads every TLS listener's files once."""
    secured = [(listener, listener.tls) for listener in listeners if listener.tls is not None]
    directory = development_directory(data_dir)
    bare = [str(listener) for listener, tls in secured if tls.certfile == str(directory / "cert.pem")]
    if bare:
        try:
            made = make_certificate(directory, node_name.rpartition("@")[2])
        except OSError as error:
            raise DataDirError(f"Cannot make a development certificate in {directory}: {error.strerror}",
                               os.EX_OSERR) from None
        if made:
            log.info("Made a development certificate in %s", directory)
        log.warning("No certificate is configured, and one that no client trusts is used: %s", ", ".join(bare))
    for listener, tls in secured:
        if listener.is_https:
            tls.http_context()
        else:
            tls.context()


class ClosesAll:
    """Mixed into gunicorn's sockets, which gunicorn closes first when it stops: the MQTT sockets have to be closed with
    them."""

    def close(self) -> None:
        """Closes all listening sockets of the master, not only gunicorn's."""
        super().close()  # type: ignore[misc]
        current().close()


class HandedSocket(ClosesAll, TCPSocket):
    """A socket that gunicorn gets from the master."""


class HandedSocket6(ClosesAll, TCP6Socket):
    """The same for IPv6."""


def on_starting(arbiter: Arbiter) -> None:
    """Hook of gunicorn, before the first worker: opens everything, or ends the process with a sentence and an exit
    code."""
    check_gunicorn(arbiter)
    master = current()
    try:
        master.open()
    except DataDirError as error:
        fail(str(error), error.code)
    except ListenError as error:
        fail(str(error), error.code)
    except (TlsError, OSError, ValueError) as error:
        fail(f"TLS cannot be set up: {error}", os.EX_CONFIG)
    for fd in filter(None, os.environ.pop("GUNICORN_FD", "").split(",")):
        os.close(int(fd))  # handed over by gunicorn as well; ours came with the other listeners
    if arbiter.master_pid:  # it ends once it is told to: systemd has to know by then who goes on
        service_manager.notify(service_manager.main_process(os.getpid()))
    arbiter.handle_hup = partial(reload, arbiter)
    arbiter.stop = partial(stop, arbiter, arbiter.stop)
    arbiter.reap_workers = partial(reap, arbiter, arbiter.reap_workers)
    # gunicorn would retry a busy port five times and exit 1; it takes sockets that are there already.
    arbiter.LISTENERS = [
        (HandedSocket6 if listener.sock.family == socket.AF_INET6 else HandedSocket)(
            listener.sock.getsockname(), arbiter.cfg, arbiter.log, fd=os.dup(listener.sock.fileno())
        )
        for listener in master.http
        if listener.sock
    ]


def reload(arbiter: Arbiter) -> None:
    """Handles HUP in place of gunicorn, which would end the worker also where no other can start."""
    service_manager.notify(*service_manager.reloading())
    try:
        can_be_done = current().reload()
    except Exception:  # else it would end the master
        log.exception("The settings cannot be read again: the worker goes on")
        can_be_done = False
    if can_be_done:
        arbiter.reload()
    else:
        service_manager.notify(service_manager.READY, service_manager.status(
            "The settings could not be read again, as the log says: those from before are in effect"))


def stop(arbiter: Arbiter, of_gunicorn: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """In place of gunicorn's own. Of two masters, the one that ends is not the service. gunicorn sees only within a
    second that the master before has ended."""
    has_predecessor = arbiter.master_pid == os.getppid()
    if not has_predecessor and not arbiter.reexec_pid:
        service_manager.notify(service_manager.STOPPING, service_manager.status("Stopping"))
    of_gunicorn(*args, **kwargs)


def reap(arbiter: Arbiter, of_gunicorn: Callable[[], None]) -> None:
    """In place of gunicorn's own. A successor that ends without having taken over may have been killed: the master that
    goes on reports that."""
    successor = arbiter.reexec_pid
    of_gunicorn()
    if successor and not arbiter.reexec_pid:
        service_manager.notify(service_manager.main_process(os.getpid()))


def post_fork(arbiter: Arbiter, worker: Any) -> None:
    """Hook of gunicorn, in the new worker: until it has its own handlers, a TERM would be lost in the queue of the
    master's."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def pre_exec(arbiter: Arbiter) -> None:
    """Hook of gunicorn on USR2, in the process that becomes the new master."""
    arbiter.cfg.env_orig[HANDOVER] = current().handover()
    service_manager.for_successor(arbiter.cfg.env_orig)


def nworkers_changed(arbiter: Arbiter, new: int, old: int | None) -> None:
    """Hook of gunicorn on TTIN and TTOU."""
    if old is not None and new != 1:
        log.warning("One worker is one broker node: the number of workers stays 1.")
        arbiter._num_workers = 1


def on_exit(arbiter: Arbiter) -> None:
    """Hook of gunicorn: the master ends."""
    current().close()
