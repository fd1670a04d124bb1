"""The routes of the plugins that are loaded, mounted behind those of the API itself.

Flask's own map is closed once the first request is served; these have a map of their own, made anew when a plugin comes
or goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from emqx_mgmt.api.endpoint import PREFIX, Endpoint, view_of
from emqx_mgmt.api.paths import Segment
from emqx_mgmt.api.render import Done
from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import Refused
from emqx_mgmt.plugins import Plugins, Route
from emqx_mgmt.plugins import Refused as PluginSaysNo
from emqx_mgmt.plugins.config import MASK
from emqx_mgmt.plugins.host import Host

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


class PluginRoutes:
    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._generation = -1
        self._endpoints: list[Endpoint] = []
        self._map = Map()

    def blueprint(self) -> flask.Blueprint:
        mounted = flask.Blueprint("plugin_routes", __name__)
        mounted.add_url_rule(f"{PREFIX}/<path:_path>", endpoint="any", view_func=self._serve, methods=METHODS,
                             provide_automatic_options=False)
        return mounted

    def endpoints(self) -> list[Endpoint]:
        """Those of the plugins that are loaded now."""
        if self._generation != self._plugins.generation:
            self._generation = self._plugins.generation
            self._endpoints = [_endpoint(route, host) for route, host in self._plugins.routes()]
            rules = [Rule(one.rule, endpoint=one, methods=[one.method]) for one in self._endpoints]
            self._map = Map(rules, converters={"segment": Segment}, strict_slashes=False, merge_slashes=False,
                            redirect_defaults=False)
        return self._endpoints

    def _serve(self, _path: str) -> flask.Response:
        if not self.endpoints():
            raise NotFound
        endpoint, path = self._map.bind_to_environ(flask.request.environ).match()
        return view_of(endpoint)(**path)


def _endpoint(route: Route, host: Host) -> Endpoint:
    watched = host.watched(f"{route.method} {route.path}", _refusing(route.handler))

    def handler(_cluster: Cluster, **named: Any) -> Any:
        try:
            result = watched(**named)
        except HandlerFailed as failed:
            raise Refused(str(failed)) from None
        if isinstance(result, Refused):
            raise result
        return Done() if result is None else result

    return Endpoint(route.name, route.method, route.path, route.descr, handler, takes=route.takes,
                    listed=route.listed, fails=True, conceals=_names_alone)


def _names_alone(_cluster: Cluster, given: dict[str, Any], **_path: str) -> dict[str, Any]:
    """For the audit record: nobody here knows what of it is secret."""
    return dict.fromkeys(given, MASK)


def _refusing(call: Callable[..., Any]) -> Callable[..., Any]:
    """A refusal is an answer, and no fault of the plugin."""

    def answer(**named: Any) -> Any:
        try:
            return call(**named)
        except PluginSaysNo as refused:
            return Refused(refused.message, refused.code)

    return answer
