"""`python -m tests.fuzz TARGET SECONDS [keep]`: fuzzes a target, guided by the coverage of the extension.

The extension has to be built with counters and this process to run under the sanitizers: `make fuzz` does both. It ends
with an error when an input breaks what the target states, and also when the coverage did not guide. With `keep` the
corpus becomes the fewest inputs, of the wire vectors, of itself and of what was found, that reach all that these reach.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import from_vectors, keep, kept
from tests.fuzz.targets import TARGETS

LONGEST = 1024      # bytes of an input
LOADED = re.compile(r"Loaded (\d+) modules\s+\((\d+) inline 8-bit counters\)")
PROGRESS = re.compile(r"^#(\d+)\s+(INITED|NEW|REDUCE|RELOAD|DONE)\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.M)
NO_COVERAGE = 500   # counters reached by the corpus: fewer means that the extension is not what is measured


def fuzz(target: str, *argv: str) -> None:
    """In a process of its own, which libFuzzer ends."""
    import atheris

    atheris.Setup(list(argv), TARGETS[target], enable_python_coverage=False)
    atheris.Fuzz()


def program(target: str, path: Path) -> str:
    """The target as a program, because libFuzzer starts itself again to reduce a corpus."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz --libfuzzer {target} "$0" "$@"\n')
    path.chmod(0o755)
    return str(path)


def run(fuzzer: str, *options: str) -> str:
    """What libFuzzer said; ends this process when it found something."""
    done = subprocess.run([fuzzer, *options], stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        sys.exit(f"{done.stderr[-20_000:]}\n{fuzzer}: an input breaks what has to hold (code {done.returncode})")
    return done.stderr


def unpack(inputs: set[bytes], folder: Path) -> str:
    folder.mkdir()
    for number, data in enumerate(sorted(inputs)):
        (folder / f"{number:05}").write_bytes(data)
    return str(folder)


def main(target: str, seconds: str, *words: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        fuzzer = program(target, Path(place, target))
        begin_with = set(kept(target)) if "keep" not in words else {*kept(target), *from_vectors(target)}
        seeds = unpack(begin_with, Path(place, "seeds"))
        found = unpack(set(), Path(place, "found"))
        report(target, run(fuzzer, f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20",
                           "-rss_limit_mb=4096", f"-artifact_prefix={place}/", found, seeds))
        if "keep" in words:
            fewest = unpack(set(), Path(place, "fewest"))
            run(fuzzer, "-merge=1", f"-max_len={LONGEST}", fewest, seeds, found)
            keep(target, {path.read_bytes() for path in Path(fewest).iterdir()})


def report(target: str, log: str) -> None:
    loaded, steps = LOADED.search(log), PROGRESS.findall(log)
    if not loaded or not steps:
        sys.exit(f"{log[-5000:]}\n{target}: no counters, so nothing guides: build the extension with EXT_SANITIZE=1")
    begun, ended = steps[0], steps[-1]
    print(f"{target}: {ended[0]} inputs; of {loaded[2]} counters in {loaded[1]} modules {begun[2]} were reached by the "
          f"corpus and {ended[2]} at the end, features {begun[3]} and {ended[3]}")
    if int(begun[2]) < NO_COVERAGE:
        sys.exit(f"{target}: the corpus reaches next to nothing")


if __name__ == "__main__":
    if sys.argv[1] == "--libfuzzer":
        fuzz(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
