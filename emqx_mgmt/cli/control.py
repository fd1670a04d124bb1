"""The broker that runs in this machine's data directory: the management API over its control socket."""

from __future__ import annotations

import functools
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import click

from emqx_mgmt.cli.configured import CONFIG, DATA_DIR, data_dir_of
from emqx_mgmt.cli.output import JSON, Output
from emqx_mgmt.listeners.control import connect

API = "/api/v3"
SELECTORS = {"_style": "envelope", "_names": "slashes"}
PAGE = 1000     # rows of one page
TIMEOUT_S = 60
REFUSED = 1
NONE: Mapping[str, Any] = MappingProxyType({})
# Sentences for the words by which the v3 API refuses.
SENTENCES = {
    **dict.fromkeys(("existed", "already_existed", "alread_existed", "username already exist"),
                    "This name exists already."),
    **dict.fromkeys(("not_found", "ont_found", "username_not_found", "Username Not Found"),
                    "This name does not exist."),
    "already_started": "It runs already.",
    "not_started": "It does not run.",
    "running_session": "The client is connected: see clients kick.",
    "session_not_found": "The client has no session.",
    "bad_topic": "The topic is not valid.",
    "Cannot delete admin": "The user admin cannot be deleted.",
}


class Control(http.client.HTTPConnection):
    """`data_dir` is the running broker's."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._data_dir = data_dir

    def connect(self) -> None:
        try:
            self.sock = connect(self._data_dir)
        except PermissionError:
            fail(f"Only root and the user that the broker runs as may use {self._data_dir}", os.EX_NOPERM)
        except OSError:
            fail(f"No broker runs with the data directory {self._data_dir}", os.EX_UNAVAILABLE)
        self.sock.settimeout(self.timeout)

    @staticmethod
    def runs(data_dir: Path) -> bool:
        """Whether a broker answers. Raises PermissionError where it belongs to another user."""
        try:
            connect(data_dir).close()
        except PermissionError:
            raise
        except OSError:
            return False
        return True

    def call(self, method: str, *path: str, absent: str = "", query: Mapping[str, Any] = NONE,
             body: Mapping[str, Any] = NONE) -> Any:
        """The data of the answer. Where the broker refuses, the process prints the broker's reason and exits with 1;
        where the path does not exist, it prints `absent`."""
        return self._read(self._request(method, path, query, body), absent).get("data")

    def rows(self, *path: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """All rows of a paged list."""
        page, seen = 1, 0
        while True:
            answer = self._read(self._request("GET", path, filters | {"_page": page, "_limit": PAGE}))
            yield from answer["data"]
            seen += len(answer["data"])
            if not answer["data"] or seen >= answer["meta"]["count"]:
                return
            page += 1

    def events(self, *path: str, **query: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Sends the request, and yields kind and members of server-sent events until the broker ends the stream. The
        request is sent at the call, before the first event is taken."""
        response = self._request("GET", path, query)
        if response.headers.get_content_type() != "text/event-stream":
            self._read(response)
        return self._events_of(response)

    @staticmethod
    def _events_of(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
        kind = ""
        try:
            for line in response:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)
        except (http.client.HTTPException, OSError) as error:
            fail(f"The broker has ended the connection: {error or type(error).__name__}", os.EX_UNAVAILABLE)

    def text(self, path: str) -> tuple[int, str]:
        """Status and body of a path outside of the API."""
        try:
            self.request("GET", path)
            response = self.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (http.client.HTTPException, OSError) as error:
            did_not_answer(error)

    @property
    def node(self) -> str:
        return str(self.call("GET", "nodes")[0]["name"])

    def _request(self, method: str, path: tuple[str, ...], query: Mapping[str, Any],
                 members: Mapping[str, Any] = NONE) -> http.client.HTTPResponse:
        url = "/".join([API, *(quote(part, safe="") for part in path)])
        try:
            body = json.dumps(members).encode() if members else None
            self.request(method, f"{url}?{urlencode({**SELECTORS, **query})}", body)
            return self.getresponse()
        except (http.client.HTTPException, OSError) as error:
            did_not_answer(error)

    def _read(self, response: http.client.HTTPResponse, absent: str = "") -> dict[str, Any]:
        try:
            body = response.read()
        except (http.client.HTTPException, OSError) as error:
            did_not_answer(error)
        if response.status == 404 and absent:
            fail(absent)
        if response.status != 200:
            fail(body.decode(errors="replace").strip())
        result: dict[str, Any] = json.loads(body)
        if result["code"]:
            word = result.get("message") or f"The broker refuses it with the code {result['code']}"
            fail(SENTENCES.get(word, word))
        return result


def did_not_answer(error: Exception) -> NoReturn:
    fail(f"The broker did not answer: {error or type(error).__name__}", os.EX_UNAVAILABLE)


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Decorates a command's function: it is called with the running broker and the output as its first arguments, and
    the command has the options that choose them."""

    @JSON
    @DATA_DIR
    @CONFIG
    @functools.wraps(command)
    def asking(config: str | None, data_dir: str | None, as_json: bool, **given: Any) -> None:
        command(Control(data_dir_of(config, data_dir)), Output(as_json), **given)

    return asking
