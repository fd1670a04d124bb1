"""The text of configuration files: every key with its meaning and its default, commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import product

from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.table import GLOBAL, LISTENER, MODULE, SHIPPED, ZONE

HEAD = """\
# Configuration of the broker: key = value, one a line. What is commented out shows the default.
# A variable of the environment wins over this file: EMQX_LISTENER__TCP__EXTERNAL sets listener.tcp.external.
# Durations are written 200ms, 15s, 5m, 2h, 1d; sizes 64KB, 1MB; flags on, off, true, false.
"""
WORDS = {"$name": SHIPPED, "$zone": SHIPPED, "$n": ("1",), "$Name": ("X-Name",), "$Claim": ("sub",)}


def sample() -> str:
    """The text of etc/emqx.conf: every key with meaning and default."""
    sections = [("Node and protocol", GLOBAL), ("Modules", MODULE), ("Listeners", LISTENER), ("Zones", ZONE)]
    parts = [HEAD]
    for title, keys in sections:
        parts.append(f"\n## {title}\n")
        parts.extend(paragraph for key in keys for paragraph in paragraphs(key))
    return "\n".join(parts)


def plugin_sample(plugin: str, description: str, keys: Iterable[Key]) -> str:
    """The text of etc/plugins/<plugin>.conf."""
    head = f"# {plugin}, {description}.\n# key = value, one a line. What is commented out shows the default.\n"
    return "\n".join([head, *(paragraph for key in keys for paragraph in paragraphs(key))])


def paragraphs(key: Key) -> Iterator[str]:
    """The lines about one key."""
    yield "\n".join(textwrap.wrap(key.doc, 108, initial_indent="# ", subsequent_indent="# "))
    for name in names(key):
        default = key.default_for(name)
        shown = f"(as {key.twin})" if default is None else default
        yield f"# {name} = {shown}".rstrip()
    yield ""


def names(key: Key) -> list[str]:
    """The key under each shipped name of listeners and zones."""
    words = WORDS if key.name.startswith(("listener.tcp.", "zone.")) else WORDS | {"$name": SHIPPED[:1]}
    return [".".join(parts) for parts in product(*(words.get(part, (part,)) for part in key.name.split(".")))]
