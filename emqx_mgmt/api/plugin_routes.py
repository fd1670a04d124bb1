"""Routes of loaded plugins. The API's own routes take precedence.

Flask allows no new routes once it has served a request. So plugins' routes have their own map, which is made anew when
a plugin is loaded or unloaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import flask
import msgspec
from msgspec import Raw
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from emqx_mgmt.api.blueprint import view_of
from emqx_mgmt.api.endpoint import PREFIX, Endpoint
from emqx_mgmt.api.paths import Segment
from emqx_mgmt.api.render import Done
from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.plugins import Plugins, Refused, Route
from emqx_mgmt.plugins.config import MASK
from emqx_mgmt.plugins.host import Host
from emqx_mgmt.plugins.plugin import METHODS, shape_of
from emqx_mgmt.storage import StoreUnusable

log = logging.getLogger(__name__)


class PluginRoutes:
    """`own` are the API's endpoints, which take precedence."""

    def __init__(self, plugins: Plugins, own: Sequence[Endpoint]) -> None:
        self._plugins = plugins
        self._own = {shape_of(endpoint.method, endpoint.path) for endpoint in own}
        self._generation = -1
        self._endpoints: list[Endpoint] = []
        self._map = Map()

    def blueprint(self) -> flask.Blueprint:
        mounted = flask.Blueprint("plugin_routes", __name__)
        mounted.add_url_rule(f"{PREFIX}/<path:_path>", endpoint="any", view_func=self._serve, methods=METHODS,
                             provide_automatic_options=False)
        return mounted

    def endpoints(self) -> list[Endpoint]:
        """The endpoints of the plugins that are loaded now."""
        if self._generation != self._plugins.generation:
            self._generation = self._plugins.generation
            self._endpoints = [_endpoint(route, host) for route, host in self._plugins.routes() if self._is_free(route)]
            rules = [Rule(one.rule, endpoint=one, methods=[one.method]) for one in self._endpoints]
            self._map = Map(rules, converters={"segment": Segment}, strict_slashes=False, merge_slashes=False,
                            redirect_defaults=False)
        return self._endpoints

    def _is_free(self, route: Route) -> bool:
        if route.shape in self._own:
            log.warning("The route %s %s of a plugin is never used: the API has the same route", route.method,
                        route.path)
        return route.shape not in self._own

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
            raise RequestRefused(str(failed)) from None
        if isinstance(result, RequestRefused):
            raise result
        return Done() if result is None else result

    return Endpoint(route.name, route.method, route.path, route.descr, handler, takes=route.takes,
                    listed=route.listed, fails=True, conceals=_names_alone)


def _names_alone(_cluster: Cluster, given: dict[str, Any], **_path: str) -> dict[str, Any]:
    """The names of the parameters, for the audit record. Any of their values may be secret."""
    return dict.fromkeys(given, MASK)


def _refusing(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a plugin's handler. A refusal and a full disk are answers, not faults of the plugin; a result that cannot
    be written as JSON is a fault."""

    def answer(**named: Any) -> Raw | RequestRefused | None:
        try:
            result = call(**named)
        except Refused as refused:
            return RequestRefused(str(refused.message), int(refused.code))
        except StoreUnusable as error:
            return RequestRefused(str(error))
        return None if result is None else Raw(msgspec.json.encode(result))

    return answer
