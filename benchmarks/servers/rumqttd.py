"""rumqttd in a process of its own, until TERM: `python rumqttd.py PORT`.

`max_inflight_count` stays at its default of 100, above the window of every load. The payload limit is raised, since the
default refuses 64 KiB; connections likewise, since 10,000 idle ones and a probe are more than 10,000.
"""

import signal
import sys

from iotcore import Broker


def main() -> None:
    broker = Broker(port=int(sys.argv[1]), listen="127.0.0.1", max_connections=20_000, max_payload_size=2 << 20)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    broker.start()
    try:
        signal.pause()
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
