"""The v3 management API over HTTP. A request passes, from top to bottom: paths, credentials, the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from emqx_mgmt.api import (
    acl,
    alarms,
    apps,
    audit,
    auth,
    banned,
    brokers,
    browsers,
    certificates,
    configs,
    connections,
    data,
    delayed,
    errors,
    events,
    explain,
    failed_logins,
    index,
    listeners,
    log_levels,
    logins,
    metrics,
    monitoring,
    mqtt,
    nodes,
    openapi,
    plugin_routes,
    plugins,
    rates,
    request_log,
    retained,
    routes,
    rules,
    scram_users,
    sessions,
    settings,
    slow_subscribers,
    source,
    stats,
    status,
    style,
    subscriptions,
    topic_metrics,
    topic_tree,
    trace,
    traces,
    transfer,
    try_it,
    users,
)
from emqx_mgmt.api.blueprint import blueprint
from emqx_mgmt.api.paths import ApiRequest, PathSegments, Segment
from emqx_mgmt.manage import Cluster

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

RESOURCES = (
    acl,
    alarms,
    apps,
    audit,
    banned,
    brokers,
    certificates,
    configs,
    connections,
    data,
    delayed,
    events,
    explain,
    listeners,
    log_levels,
    logins,
    metrics,
    mqtt,
    nodes,
    plugins,
    rates,
    retained,
    routes,
    rules,
    scram_users,
    sessions,
    settings,
    slow_subscribers,
    stats,
    subscriptions,
    topic_metrics,
    topic_tree,
    trace,
    traces,
    users,
)


def build(node: Node) -> Flask:
    app = Flask("emqx_mgmt", static_folder=None)
    app.request_class = ApiRequest
    app.config["MAX_CONTENT_LENGTH"] = node.settings["management.max_body_size"]
    app.config["BODY_TIMEOUT"] = node.settings["management.body_timeout"]
    app.config["MAX_ROW_LIMIT"] = node.settings["management.max_row_limit"]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters["segment"] = Segment
    app.wsgi_app = PathSegments(app.wsgi_app)  # type: ignore[method-assign]

    cluster = Cluster(node)
    app.extensions["cluster"] = cluster
    endpoints = [endpoint for resource in RESOURCES for endpoint in resource.ENDPOINTS]
    for resource in RESOURCES:
        app.register_blueprint(blueprint(resource.__name__.rpartition(".")[2], resource.ENDPOINTS))
    added = plugin_routes.PluginRoutes(node.plugins, endpoints)
    app.register_blueprint(added.blueprint())
    app.register_blueprint(index.blueprint(lambda: [*endpoints, *added.endpoints()]))
    app.register_blueprint(openapi.blueprint(lambda: [*endpoints, *added.endpoints()]))
    app.register_blueprint(try_it.blueprint)
    app.register_blueprint(status.blueprint)
    app.register_blueprint(monitoring.blueprint(node, cluster))

    request_log.install(app)  # first: each line about a request has its number
    monitoring.install_gate(app, cluster)
    source.install(app, node)
    browsers.install(app, node)  # before credentials: a preflight carries no credentials
    failed_logins.install(app, node)
    auth.install(app, node)
    style.install(app, node)
    errors.install(app)
    transfer.install(app)
    audit.install(app, node)
    return app
