"""Chooses the style and the counter names of an answer.

Strongest first: the request (`?_style=`, `?_names=`, or the words of header `X-API-Style`), the record of the
calling application, the listener's settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask

from emqx_mgmt.api.errors import BadParameter

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

STYLES = frozenset(("bare", "envelope"))
NAMES = frozenset(("slashes", "dots"))
# Query parameters that choose the rendering; no handler sees them.
SELECTORS = {"_style": STYLES, "_names": NAMES}
HEADER = "X-API-Style"


def install(app: flask.Flask, node: Node) -> None:
    settings = node.settings

    @app.before_request
    def choose() -> None:
        listener = flask.g.listener
        caller = flask.g.get("caller")
        flask.g.style = getattr(caller, "style", None) or settings[f"{listener}.style"]
        flask.g.names = getattr(caller, "names", None) or settings[f"{listener}.names"]
        for word in flask.request.headers.get(HEADER, "").replace(",", " ").split():
            _apply(HEADER, word)
        for parameter in SELECTORS.keys() & flask.request.args.keys():
            _apply(parameter, flask.request.args[parameter])


def _apply(source: str, word: str) -> None:
    if word in STYLES and source != "_names":
        flask.g.style = word
    elif word in NAMES and source != "_style":
        flask.g.names = word
    else:
        words = sorted(SELECTORS.get(source, STYLES | NAMES))
        raise BadParameter(source, f"must be one of {', '.join(words)}")
