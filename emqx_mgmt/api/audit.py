"""The audit record: for each change its author, address, parameters and result, and for each failed log-in its name and
address. A row is written before the answer is sent."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

import flask
import msgspec
from msgspec import Struct

from emqx_mgmt.api import source
from emqx_mgmt.api.auth import USER, whose
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.failed_logins import FailedLogin
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Page, Paging, page_of
from emqx_mgmt.plugins.config import MASK
from emqx_mgmt.storage import StoreUnusable
from emqx_mgmt.storage.audit import FAILED_LOGIN, Change

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

log = logging.getLogger(__name__)

SECRET = re.compile("pass|pwd|secret|token|credential|private", re.IGNORECASE)
LONGEST_PARAMS = 1000
LONGEST_TEXT = 300


class AuditRow(Struct, rename={"origin": "from"}):
    """`kind` says what `who` is: an application, a user of the dashboard, or a user of the broker's machine. The action
    `log_in` is a failed log-in under that name. `at_ts`: unix seconds."""

    at: str
    at_ts: int
    who: str
    kind: str
    origin: str
    action: str
    method: str
    path: str
    params: str
    status: int
    result: str


def list_audit(cluster: Cluster, params: Paging) -> Page:
    """Newest first."""
    return page_of(cluster.local.audit.all(), params, row_of)


def row_of(change: Change) -> AuditRow:
    members = msgspec.structs.asdict(change)
    return AuditRow(**members | {"at": datetime_text(change.at), "at_ts": change.at})


def install(app: flask.Flask, node: Node) -> None:
    kept: int = node.settings["management.audit_records"]

    @app.after_request
    def record(response: flask.Response) -> flask.Response:
        failed: FailedLogin | None = flask.g.get("failed_login")
        if failed is not None:
            put(change(FAILED_LOGIN, response, failed.kind, failed.name, "{}", failed.result))
        for action, user in flask.g.get("logged", ()):
            put(change(action, response, USER, user, "{}", "ok"))
        endpoint: Endpoint | None = flask.g.get("endpoint")
        if endpoint is not None and endpoint.method != "GET" and endpoint.audited:
            put(change_of(endpoint, response))
        return response

    def put(one: Change) -> None:
        if kept == 0:
            return
        try:
            node.store.audit.add(one, kept)
        # The change has taken effect. An error as the answer would say that it has not.
        except StoreUnusable as error:
            log.error("%s %s is not in the audit record: %s", one.method, one.path, error)
        except Exception:
            log.exception("%s %s is not in the audit record", one.method, one.path)


def change_of(endpoint: Endpoint, response: flask.Response) -> Change:
    params = msgspec.json.encode(shown(endpoint, flask.g.get("params", {}))).decode()
    return change(
        endpoint.name,
        response,
        *whose(),
        params if len(params) <= LONGEST_PARAMS else params[:LONGEST_PARAMS] + "…",
        flask.g.get("failure") or result_of(endpoint, response)[:LONGEST_TEXT],
    )


def change(action: str, response: flask.Response, kind: str, who: str, params: str, result: str) -> Change:
    request = flask.request
    return Change(int(time.time()), who, kind, source.address(), action, request.method, request.path[:LONGEST_TEXT],
                  params, response.status_code, result)


def result_of(endpoint: Endpoint, response: flask.Response) -> str:
    """`ok`, or the body of the answer: for an error, and for a batch, whose rows have a result each."""
    return "ok" if response.status_code < 400 and not endpoint.batch else response.get_data(as_text=True)


def shown(endpoint: Endpoint, given: Any) -> Any:
    """The parameters, with secrets masked: those that the endpoint names, and those whose names look like a secret.
    Parameters that the endpoint does not take are left out, since one of them may be a payload."""
    if isinstance(given, list):
        return [shown(endpoint, row) for row in given]
    if not isinstance(given, dict):
        return None
    if endpoint.conceals is not None:
        cluster: Cluster = flask.current_app.extensions["cluster"]
        return masked(endpoint.conceals(cluster, given, **(flask.request.view_args or {})))
    taken = endpoint.shape
    declared = {field.encode_name for field in msgspec.structs.fields(taken)} if taken is not None else set()
    return masked({name: value for name, value in given.items() if name in declared})


def masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if SECRET.search(name) else masked(one) for name, one in value.items()}
    return [masked(one) for one in value] if isinstance(value, list) else value


ENDPOINTS = (
    Endpoint("list_audit", "GET", "/audit/", "List what was changed", list_audit, takes=Paged(AuditRow), listed=False),
)
