"""RabbitMQ with its MQTT and management plugins (Debian's rabbitmq-server), the peer of the REST benchmark.

Everything it keeps, its Erlang cookie and its port mapper included, is its own and in a scratch directory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from brokers import Placement, RunningBroker, free_ports

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CREDENTIALS = ("guest", "guest")
MISSING = None if SCRIPT.exists() else "apt-get install rabbitmq-server"
READY_WITHIN = 120.0

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}
mqtt.allow_anonymous = true
management.tcp.ip = 127.0.0.1
management.tcp.port = {api}
log.console = true
log.console.level = error
log.file = false
"""


class RabbitMq(RunningBroker):
    """`port` takes MQTT, `api_port` the management API's requests."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, api_port: int) -> None:
        self.name = "rabbitmq"
        self.port = port
        self.api_port = api_port
        self.process = process

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}/", timeout=1).close()
        except OSError:  # urllib's are of that kind
            return False
        return True

    def stop(self) -> None:
        """The script and the virtual machine below it: the port mapper stays while that one is known to it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        time.sleep(1)


@contextlib.contextmanager
def rabbitmq(placement: Placement) -> Iterator[RabbitMq]:
    """From its first answer to its end."""
    with tempfile.TemporaryDirectory(prefix="bench-rabbitmq-") as name:
        directory = Path(name)
        amqp, mqtt, api, distribution, mapper = free_ports(5)
        configuration = directory / "rabbitmq.conf"
        configuration.write_text(CONFIGURATION.format(amqp=amqp, mqtt=mqtt, api=api))
        plugins = directory / "plugins"
        plugins.write_text("[rabbitmq_management,rabbitmq_mqtt].\n")
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(SCRIPT)],
                cwd=directory,
                env=os.environ | {
                    "HOME": name,
                    "RABBITMQ_NODENAME": f"bench{mqtt}@localhost",
                    "RABBITMQ_CONFIG_FILE": str(configuration),
                    "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                    "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
                    "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
                    "RABBITMQ_LOG_BASE": str(directory / "logs"),
                    "RABBITMQ_DIST_PORT": str(distribution),
                    "ERL_EPMD_PORT": str(mapper),
                    "ERL_EPMD_ADDRESS": "127.0.0.1",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=placement,
                start_new_session=True,
            )
        broker = RabbitMq(process, mqtt, api)
        try:
            deadline = time.monotonic() + READY_WITHIN
            while not broker.is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"RabbitMQ did not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.5)
            yield broker
        finally:
            broker.stop()
            subprocess.run(["epmd", "-port", str(mapper), "-kill"], capture_output=True, check=False)
