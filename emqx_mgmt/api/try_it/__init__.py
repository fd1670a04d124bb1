"""GET /api-docs: a page to read the OpenAPI document on and to try what it describes, for whoever may log in.

Swagger UI comes with the package flask-swagger-ui; the page is our own, because that one's has scripts in it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import flask
from werkzeug.exceptions import NotFound

from emqx_mgmt.api import auth

OURS = Path(__file__).parent
SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
FILES = {
    "start.js": OURS,
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
}
# Swagger UI sets styles on its elements, and its icons are data.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

blueprint = flask.Blueprint("try_it", __name__)


@blueprint.get("/api-docs", provide_automatic_options=False)
def page() -> flask.Response:
    refused = auth.demand()
    if refused is not None:
        return refused
    path, mark, query = str(flask.request.environ["RAW_URI"]).partition("?")
    if path.endswith("/"):  # what the page loads is named from the folder above
        return flask.Response(status=302, headers={"Location": f"../api-docs{mark}{query}"})
    answer = flask.send_from_directory(OURS, "index.html")
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


@blueprint.get("/api-docs/<segment:name>", provide_automatic_options=False)
def asset(name: str) -> flask.Response:
    if name not in FILES:
        raise NotFound
    return auth.demand() or flask.send_from_directory(FILES[name], name)
