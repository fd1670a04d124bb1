"""Chooses the style and the counter names of an answer, and whether it has more than the documented members.

The first of these that is given decides: the request (`?_style=`, `?_names=`, or the words of header `X-API-Style`),
the record of the application, the User-Agent, the listener's settings. Only the request can choose `?_fields=extended`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask

from emqx_mgmt.api.errors import BadParameter

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

STYLES = frozenset(("bare", "envelope"))
NAMES = frozenset(("slashes", "dots"))
FIELDS = frozenset(("documented", "extended"))
# Query parameters that choose the rendering; no handler sees them.
SELECTORS = {"_style": STYLES, "_names": NAMES, "_fields": FIELDS}
HEADER = "X-API-Style"


def install(app: flask.Flask, node: Node) -> None:
    settings = node.settings

    @app.before_request
    def choose() -> None:
        listener = flask.g.listener
        caller = flask.g.get("caller")
        preset = style_for_agent(settings[f"{listener}.envelope_agents"], settings[f"{listener}.style"])
        flask.g.style = getattr(caller, "style", None) or preset
        flask.g.names = getattr(caller, "names", None) or settings[f"{listener}.names"]
        flask.g.fields = "documented"
        for word in flask.request.headers.get(HEADER, "").replace(",", " ").split():
            _apply(HEADER, word)
        for parameter in SELECTORS.keys() & flask.request.args.keys():
            _apply(parameter, flask.request.args[parameter])


def style_for_agent(enveloped: tuple[str, ...], default: str) -> str:
    """The style that the settings give to a User-Agent. Common exporters cannot send a further header, and their
    User-Agent names only their HTTP library, so the operator says which of them need the envelope."""
    agent = flask.request.headers.get("User-Agent", "").lower()
    return "envelope" if any(agent.startswith(one.lower()) for one in enveloped) else default


def extended() -> bool:
    """Whether the request asks for members beyond the documented ones."""
    return bool(flask.g.fields == "extended")


def _apply(source: str, word: str) -> None:
    if word in STYLES and source in ("_style", HEADER):
        flask.g.style = word
    elif word in NAMES and source in ("_names", HEADER):
        flask.g.names = word
    elif word in FIELDS and source == "_fields":
        flask.g.fields = word
    else:
        words = sorted(SELECTORS.get(source, STYLES | NAMES))
        raise BadParameter(source, f"must be one of {', '.join(words)}")
