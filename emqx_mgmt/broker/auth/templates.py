"""Values of a client in templates of topics: mountpoints, rules of the ACL file, automatic subscriptions.

What a client says of itself must not lead out of the place that a template gives it: a separator would be a level
more, a wildcard everybody's level, and a `$` at the beginning another mechanism of the broker ($SYS, $share, $delayed).
"""

from __future__ import annotations

from collections.abc import Callable

CLIENT_ID, USERNAME = "%c", "%u"


def is_level(value: str) -> bool:
    """Whether it is one level of a topic, and no wildcard."""
    return not any(sign in value for sign in "/+#\0")


def is_plain(value: str) -> bool:
    """Whether it may be put into a template."""
    return is_level(value) and not value.startswith("$") and value not in (CLIENT_ID, USERNAME)


def filled(template: str, client_id: str, username: str | None, fits: Callable[[str], bool] = is_plain) -> str | None:
    """`template` with `%c` and `%u`, where they are whole levels, as client id and user name; without a user name `%u`
    stays. None for a value that does not fit."""
    if "%" not in template:
        return template
    values = {CLIENT_ID: client_id, USERNAME: username}
    levels = template.split("/")
    used = [value for level in levels if (value := values.get(level))]
    return "/".join(values.get(level) or level for level in levels) if all(map(fits, used)) else None
