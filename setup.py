"""Builds the routing core; everything else about the package is in pyproject.toml.

Environment: EXT_SANITIZE=1 (ASan, UBSan, and counters that guide a fuzzer; by clang, for a process that has the
sanitizers' library preloaded: see `make sanitize`), EXT_DEBUG=1 (line tracing), EXT_ANNOTATE=1 (annotated HTML).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

SANITIZE = os.environ.get("EXT_SANITIZE") == "1"
DEBUG = os.environ.get("EXT_DEBUG") == "1"
ANNOTATE = os.environ.get("EXT_ANNOTATE") == "1"

compile_args = ["-O1", "-g"] if SANITIZE or DEBUG else ["-O3", "-g0", "-fno-semantic-interposition"]
if SANITIZE:
    os.environ |= {"CC": "clang", "LDSHARED": "clang -shared"}
    compile_args += ["-fsanitize=address,undefined,fuzzer-no-link", "-fno-sanitize-recover=undefined",
                     "-fno-omit-frame-pointer"]

# By its file name, which needs no development package: Python's own ssl module brings it.
LIBRARIES = {"tls": ["-l:libssl.so.3", "-l:libcrypto.so.3"]}

PAGES = Path("emqx_mgmt/dashboard/dist/index.html")


def demand_pages() -> None:
    if not PAGES.exists():
        raise SystemExit(f"{PAGES} is missing: build the dashboard first (make dashboard), no package goes without it.")


class Wheel(bdist_wheel):
    def run(self) -> None:
        demand_pages()
        super().run()


class SourceDistribution(sdist):
    def run(self) -> None:
        demand_pages()
        super().run()


class Build(build_ext):
    """Runs Cython when something is built: pip asks twice for metadata before that, and would wait for it."""

    def build_extensions(self) -> None:
        translated = cythonize(
            self.extensions,
            annotate=ANNOTATE,
            nthreads=2 if os.cpu_count() != 1 else 0,
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "embedsignature": True,
                "linetrace": DEBUG,
            },
        )
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        super().build_extensions()


extensions = [
    Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=compile_args,
        extra_link_args=LIBRARIES.get(source.stem, []),
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if DEBUG else [],
    )
    for source in sorted(Path("router_ext").rglob("*.pyx"))
]

setup(
    cmdclass={"bdist_wheel": Wheel, "build_ext": Build, "sdist": SourceDistribution},
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=extensions,
)
