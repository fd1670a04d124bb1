"""Settings from the environment: EMQX_LISTENER__TCP__EXTERNAL for listener.tcp.external."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emqx_mgmt.settings.file import ENVIRONMENT, Entry
from emqx_mgmt.settings.regular_file import read_text
from emqx_mgmt.settings.table import find

PREFIX = "EMQX_"
FILE_SUFFIX = "_FILE"
# Names of variables in EMQ X's released images.
ALIASES = {"EMQX_LOADED_PLUGINS": "plugins.loaded"}
CONFIG_VARIABLE = "EMQX_CONFIG"


def read_environment(environ: Mapping[str, str], unknown: list[str]) -> Iterator[Entry | str]:
    """The entries that variables give, and complaints about some; names without a meaning go to `unknown` (Kubernetes
    sets EMQX_PORT and such)."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in (CONFIG_VARIABLE, "EMQX_NAME", "EMQX_HOST"):
            continue
        name = key_of(variable)
        bare = name.removesuffix(FILE_SUFFIX.lower())
        secret = find(bare)
        if find(name):
            yield Entry(name, environ[variable].strip(), variable, ENVIRONMENT)
        elif secret and secret.secret:
            if variable.removesuffix(FILE_SUFFIX) in environ:
                continue  # the variable itself takes precedence over its _FILE form
            try:
                yield Entry(bare, read_secret(variable, environ[variable]), variable, ENVIRONMENT)
            except ValueError as error:
                yield str(error)
        else:
            unknown.append(variable)
    yield from node_name(environ)


def key_of(variable: str) -> str:
    """`EMQX_ZONE__EXTERNAL__MAX_INFLIGHT` is `zone.external.max_inflight`."""
    return ALIASES.get(variable) or variable.removeprefix(PREFIX).lower().replace("__", ".")


def read_secret(variable: str, path: str) -> str:
    """The content of the file that a variable `…_FILE` names. Raises ValueError."""
    try:
        return read_text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ValueError(f"{variable}: cannot read {path}: {reason}") from error


def node_name(environ: Mapping[str, str]) -> Iterator[Entry]:
    """node.name from EMQX_NAME and EMQX_HOST, its two halves in EMQ X's released images. A variable for node.name
    itself takes precedence."""
    name, host = environ.get("EMQX_NAME"), environ.get("EMQX_HOST")
    if (name or host) and "EMQX_NODE__NAME" not in environ:
        text = name if name and "@" in name else f"{name or 'emqx'}@{host or '127.0.0.1'}"
        yield Entry("node.name", text, "EMQX_NAME" if name else "EMQX_HOST", ENVIRONMENT)
