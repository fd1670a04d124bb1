"""Turns every error into its response. No other module does.

Four families: the caller's mistakes (`ParameterError`), refusals by the management functions (`RequestRefused`,
`Unknown`), a disk that refuses a change (`StoreUnusable`), and faults of the broker, which are logged and answered with
`Internal Error`.
"""

from __future__ import annotations

import logging

import flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from emqx_mgmt.api import render, request_log
from emqx_mgmt.manage.errors import (
    ADMIN_STAYS,
    MISSING_PARAMETER,
    NOT_JSON,
    UNKNOWN_ERROR,
    WRONG_PARAMETER,
    ConfigRefused,
    MessageRefused,
    MqttRefused,
    RequestRefused,
    Unknown,
)
from emqx_mgmt.storage import LastAdministrator, StoreUnusable

log = logging.getLogger(__name__)


class ParameterError(Exception):
    """Malformed or mistyped input. The bare style answers with HTTP status `status`, the envelope with `code`."""

    status = 422
    code = WRONG_PARAMETER


class BadParameter(ParameterError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"bad parameter {name}: {reason}")


class MissingParameter(ParameterError):
    code = MISSING_PARAMETER

    def __init__(self, name: str) -> None:
        super().__init__(f"missing required parameter {name}")


class Forbidden(Exception):
    """The caller's credentials are valid, but it may not make this call."""


class MalformedBody(ParameterError):
    status = 400
    code = NOT_JSON


def text(status: int, body: str) -> flask.Response:
    return flask.Response(body, status, content_type="text/plain")


def not_found(_error: Exception | None = None) -> flask.Response:
    """Unknown paths, methods and nodes get the same answer; there is no 405."""
    return text(404, "Not found.")


def install(app: flask.Flask) -> None:
    app.register_error_handler(ParameterError, _parameter_error)
    app.register_error_handler(Forbidden, _forbidden)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(RequestRefused, _refused)
    app.register_error_handler(MqttRefused, _mqtt_refused)
    app.register_error_handler(MessageRefused, _refused_message)
    app.register_error_handler(ConfigRefused, _config_refused)
    app.register_error_handler(LastAdministrator, _last_administrator)
    app.register_error_handler(StoreUnusable, _store_unusable)
    app.register_error_handler(Unknown, not_found)
    app.register_error_handler(NotFound, not_found)
    app.register_error_handler(MethodNotAllowed, not_found)
    app.register_error_handler(TimeoutError, _stalled)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _our_bug)


def _parameter_error(error: ParameterError) -> flask.Response:
    return render.failure(error.status, error.code, str(error), {"message": str(error), "errorCode": error.code})


def _forbidden(error: Forbidden) -> flask.Response:
    return render.failure(403, UNKNOWN_ERROR, str(error), {"message": str(error)})


def _refused(error: RequestRefused) -> flask.Response:
    return render.failure(500, error.code, error.message, {"message": error.message})


def _mqtt_refused(error: MqttRefused) -> flask.Response:
    return render.failure(200, error.code, error.message, {"code": error.code})


def _refused_message(error: MessageRefused) -> flask.Response:
    return render.failure(200, error.code, error.message, {"code": error.code, "message": error.message})


def _config_refused(error: ConfigRefused) -> flask.Response:
    return render.failure(500, error.code, error.message, {"code": error.code, "message": error.message})


def _last_administrator(_error: LastAdministrator) -> flask.Response:
    message = "Cannot take away the last administrator"
    return render.failure(500, ADMIN_STAYS, message, {"message": message})


def _store_unusable(error: StoreUnusable) -> flask.Response:
    log.error("%s %s failed: %s", flask.request.method, flask.request.path, error)
    return render.failure(500, UNKNOWN_ERROR, str(error), {"message": str(error)})


def _too_large(error: RequestEntityTooLarge) -> flask.Response:
    message = "the body is too large"
    return render.failure(413, NOT_JSON, message, {"message": message, "errorCode": NOT_JSON})


def _stalled(_error: TimeoutError) -> flask.Response:
    """The answer 408: the body did not arrive in time."""
    return text(408, "Request Timeout")


def _http_error(error: HTTPException) -> flask.Response:
    return text(error.code or 400, error.name)


def _our_bug(error: Exception) -> flask.Response:
    log.error("%s %s failed", flask.request.method, flask.request.path, exc_info=error,
              extra=request_log.members("request_failed"))
    return text(500, "Internal Error")
