# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page's routes. Files and pictures by GET, everything that does something by POST with JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    MalformedHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llavaseg_ros.errors import BadRequest, LLaVASegError
from llavaseg_ros.view.security import HEADERS, Refused
from llavaseg_ros.view.server import ViewServer, dump

log = logging.getLogger(__name__)

MAX_BODY = 16 * 1024
MAX_POINTS = 64
PICTURES = ("live", "result", "depth")
EVENT_PERIOD_S = 0.1  # between two events of one stream
STATE_PERIOD_S = 1.0  # a state goes out at least so often: ages and the node's silence change by themselves
WRITE_S = 10.0
ONCE = ("Host", "Origin", "Authorization", "Content-Length", "Content-Type", "Transfer-Encoding", "Sec-Fetch-Site")
_UNREADABLE = (FirstHeaderLineIsContinuationDefect, MalformedHeaderDefect, MissingHeaderBodySeparatorDefect)

# Everything that is served as a file; nothing is looked up by a path that a client sends.
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/view.css": ("view.css", "text/css; charset=utf-8"),
    "/view.js": ("view.js", "text/javascript; charset=utf-8"),
    "/pictures.js": ("pictures.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# To be seen before the token is known: no more than what makes the form that asks for it.
OPEN_FILES = ("/view.css", "/icon.svg")


def read_file(name: str) -> bytes:
    """A file of the page."""
    return resources.files("llavaseg_ros.view").joinpath("static").joinpath(name).read_bytes()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "llavaseg", ""
    timeout = WRITE_S  # of one read or write of the socket
    server: ViewServer

    def handle_one_request(self) -> None:
        """As the base class, with the server's eye on the time."""
        self.server.reading(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Files, pictures, state, events."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Commands."""
        self._answer(self._post)

    def _answer(self, act: Any) -> None:
        try:
            self._check_headers()
            self.server.gate.check_host(self.headers.get("Host"))
            act(urlsplit(self.path).path)
        except Refused as refused:
            self.close_connection = True
            self._json({"error": str(refused)}, refused.status)
            self._drain()
        except LLaVASegError as error:
            self._json({"error": str(error)}, 400 if isinstance(error, BadRequest) else 503)

    def _check_headers(self) -> None:
        """Raise Refused where two readers could see two different requests: a proxy before us, and we ourselves."""
        for name in ONCE:
            if len(self.headers.get_all(name, [])) > 1:
                raise Refused(400, f"more than one {name} header")
        if any(isinstance(defect, _UNREADABLE) for defect in self.headers.defects):
            raise Refused(400, "a header line that cannot be read")

    # --- GET ---

    def _get(self, path: str) -> None:
        self.server.has_read(self.connection)
        if self.headers.get("Content-Length", "0").strip() != "0" or "Transfer-Encoding" in self.headers:
            raise Refused(400, "a GET with a body")
        if not self.server.gate.knows(self.headers) and path not in OPEN_FILES:
            self._ask_for_token(path)
        elif path in FILES:
            if path == "/" and "token=" in self.path:  # known already: out of the address line
                self._redirect()
                return
            name, kind = FILES[path]
            self._send(read_file(name), kind)
        elif path.startswith("/frame/") and path.endswith(".jpg") and path[7:-4] in PICTURES:
            self._picture(path[7:-4])
        elif path == "/api/state":
            state = self.server.backend.state
            self._json({"state": state.snapshot(), "history": state.history()})
        elif path == "/api/events":
            self._events()
        else:
            raise Refused(404, f"there is nothing at {path[:200]}")

    def _ask_for_token(self, path: str) -> None:
        given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        if path != "/":
            raise Refused(401, "the token is missing or wrong; open the address that the viewer printed")
        if self.server.gate.is_token(given):
            self._redirect()
            return
        self._send(read_file("token.html"), "text/html; charset=utf-8", 401)

    def _redirect(self) -> None:
        """To the page itself, with the token as a cookie: it must not stay in the address line and the history."""
        self._head(303, [("Location", "/"), ("Set-Cookie", self.server.gate.set_cookie()), ("Content-Length", "0")])

    def _picture(self, name: str) -> None:
        picture = self.server.backend.picture(name)
        if picture is None:
            raise Refused(404, f"there is no picture {name!r} yet")
        size = str(len(picture.jpeg))
        self._head(200, [("Content-Type", "image/jpeg"), ("Content-Length", size), ("X-Mask", picture.mask)])
        self.wfile.write(picture.jpeg)

    def _events(self) -> None:
        """Server-sent events, until the client or the server goes: pictures, state, history."""
        if not self.server.open_page():
            raise Refused(503, f"{self.server.max_streams} pages are open already")
        try:
            self.close_connection = True
            self._head(200, [("Content-Type", "text/event-stream; charset=utf-8"), ("Connection", "close")])
            self._stream()
        finally:
            self.server.close_page()

    def _stream(self) -> None:
        state, sent = self.server.backend.state, (-1, -1)
        version, last = -1, 0.0
        pictures: dict[str, int] = {}
        while not self.server.closing.is_set():
            now = time.monotonic()
            parts = []
            if state.history_version != sent[1]:
                sent = (sent[0], state.history_version)
                parts.append(_event("history", state.history()))
            if state.state_version != sent[0] or now - last >= STATE_PERIOD_S:
                sent, last = (state.state_version, sent[1]), now
                parts.append(_event("state", state.snapshot()))
            numbers = state.pictures()
            if numbers != pictures:
                pictures = numbers
                parts.append(_event("pictures", numbers))
            if parts:
                self.wfile.write(b"".join(parts))
            version = state.wait(version, STATE_PERIOD_S)
            self.server.closing.wait(EVENT_PERIOD_S)

    # --- POST ---

    def _post(self, path: str) -> None:
        gate = self.server.gate
        gate.check_origin(self.headers)
        if path == "/token":
            self._take_token()
            return
        if not gate.knows(self.headers):
            raise Refused(401, "the token is missing or wrong; open the address that the viewer printed")
        act = {
            "/api/command": self._command,
            "/api/cancel": self._cancel,
            "/api/follow": self._follow,
            "/api/prompt": self._prompt,
        }.get(path)
        if act is None:
            raise Refused(404, f"there is nothing at {path[:200]}")
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, f"Content-Type {self.headers.get_content_type()}; expected application/json")
        try:
            body = json.loads(self._body())
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadRequest(f"the body is a JSON {type(body).__name__}; expected an object")
        self._json(act(body))

    def _body(self) -> bytes:
        """The body, which has to say how long it is. Raises Refused when it is too long."""
        text = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdecimal()):
            raise Refused(411, "Content-Length is missing")
        if int(text[:20]) > MAX_BODY:
            raise Refused(413, f"a body of {text[:20]} bytes; at most {MAX_BODY} are taken")
        data = self.rfile.read(int(text))
        if len(data) != int(text):
            raise Refused(400, f"a body of {len(data)} bytes; {text} were announced")
        self.server.has_read(self.connection)
        return data

    def _drain(self) -> None:
        """Read on in a refused body, if it is not huge: closing upon unread data would take the answer along."""
        self.server.reading(self.connection)
        with contextlib.suppress(OSError, ValueError):
            left = min(int(self.headers.get("Content-Length") or 0), 16 * MAX_BODY)
            while left > 0 and (data := self.rfile.read1(min(left, 65536))):  # type: ignore[attr-defined]
                left -= len(data)

    def _take_token(self) -> None:
        """The form that asks for the token."""
        given = parse_qs(self._body().decode("utf-8", "replace")).get("token", [""])[0].strip()
        if self.server.gate.is_token(given):
            self._redirect()
        else:
            self._send(read_file("token.html"), "text/html; charset=utf-8", 401)

    def _command(self, body: dict[str, Any]) -> dict[str, Any]:
        text = body.get("text")
        if not isinstance(text, str):
            raise BadRequest(f"text: {type(text).__name__}; expected a string")
        return {"id": self.server.backend.command(text)}

    def _cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"canceled": self.server.backend.cancel()}

    def _follow(self, body: dict[str, Any]) -> dict[str, Any]:
        enabled = body.get("enabled")
        if not isinstance(enabled, bool):
            raise BadRequest(f"enabled: {enabled!r:.40}; expected true or false")
        return {"message": self.server.backend.follow(enabled)}

    def _prompt(self, body: dict[str, Any]) -> dict[str, Any]:
        points = body.get("points")
        if not isinstance(points, list) or not 1 <= len(points) <= MAX_POINTS:
            raise BadRequest(f"points: expected a list of 1 to {MAX_POINTS} points")
        places, labels = [], []
        for number, point in enumerate(points):
            values: list[Any] = [point.get(name) for name in ("x", "y", "label")] if isinstance(point, dict) else []
            numbers = [float(v) for v in values if type(v) in (int, float) and 0 <= v <= 1]
            if len(numbers) != 3 or numbers[2] not in (0, 1):
                raise BadRequest(f"points[{number}]: expected x and y in [0, 1] and label 0 or 1")
            places.append((numbers[0], numbers[1]))
            labels.append(int(numbers[2]))
        self.server.backend.prompt(places, labels)
        return {}

    # --- answers ---

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(dump(value), "application/json", status)

    def _send(self, data: bytes, kind: str, status: int = 200) -> None:
        self._head(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
        self.wfile.write(data)

    def _head(self, status: int, headers: list[tuple[str, str]]) -> None:
        # As it stands after a request line that cannot be read: without a status line and headers, says the base class.
        self.request_version = "HTTP/1.1" if self.request_version == "HTTP/0.9" else self.request_version
        self.send_response(status)
        for name, value in (*HEADERS.items(), *headers):
            self.send_header(name, value)
        if self.close_connection and ("Connection", "close") not in headers:
            self.send_header("Connection", "close")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself (a malformed request, an unknown method), in our manner."""
        self.close_connection = True
        self._json({"error": message or HTTPStatus(code).phrase}, code)

    def log_message(self, format: str, *args: Any) -> None:
        """No line for each request, and none that would hold a token."""


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dump(value) + b"\n\n"
