"""Coverage-guided fuzzing of a connection: `python fuzz_stream.py DIRECTORY CORPUS [libFuzzer options]`.

A client sends any bytes, cut in two at any place, behind a CONNECT of each version; the broker answers or closes, and
never fails itself. The first byte of an input chooses the version, the second the cut.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import instrumented

instrumented.load(Path(sys.argv.pop(1)))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from tests.fuzz.wired import Wired  # noqa: E402  it imports the instrumented build
from tests.load.client import connect_packet  # noqa: E402

WIRED = Wired()
GREETINGS = [b"", connect_packet("fuzz", version=4), connect_packet("fuzz", version=5)]


def one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    stream = GREETINGS[data[0] % 3] + data[2:]
    cut = data[1] * len(stream) // 255
    WIRED.exchange([stream[:cut], stream[cut:]])


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
