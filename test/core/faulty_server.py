# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that answers as a test wrote down: well, badly, late or never. It serves no model."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler"], None]


class FaultyServer:
    """Answers the n-th POST by its n-th step, and the last one for ever; GET /v1/models lists `models`.

    requests: the JSON bodies of the POSTs, headers: theirs. gone: set when a client hung up on a step that waited.
    signs: how often `keep_alive` gave a sign of life.
    """

    def __init__(self, *steps: Step, models: Iterable[str] | Step = ("big",), port: int = 0) -> None:
        self.steps = list(steps)
        self.models = models
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.signs = 0
        self.gone = threading.Event()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.faulty = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; steps that wait end."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FaultyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def held_port() -> Iterator[int]:
    """A port of loopback where nobody listens, held so that no other program gets it; a server of the test may."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    @property
    def faulty(self) -> FaultyServer:
        return self.server.faulty  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.close_connection = True
        faulty = self.faulty
        faulty.requests.append(body)
        faulty.headers.append({name.lower(): value for name, value in self.headers.items()})
        faulty.steps[min(len(faulty.requests), len(faulty.steps)) - 1](self)

    def do_GET(self) -> None:
        self.close_connection = True
        if callable(self.faulty.models):
            self.faulty.models(self)
        else:
            data = [{"id": name, "object": "model"} for name in self.faulty.models]
            status(200, {"object": "list", "data": data})(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's standard error."""

    def begin(self, kind: str = "text/event-stream", **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.flush()

    def send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, text: str | None, finish: str | None = None, **delta: Any) -> None:
        choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "big", "choices": [choice]}
        self.send(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def wait_for_hang_up(self) -> None:
        """Until the client closes the connection, or the test ends."""
        while not self.faulty.closing.is_set():
            ready, _, _ = select.select([self.connection], [], [], 0.02)
            if ready:
                try:
                    data = self.connection.recv(1024)
                except OSError:
                    data = b""
                if not data:
                    self.faulty.gone.set()
                    return


def say(*texts: str, finish: str = "stop") -> Step:
    """A good reply, one event a text."""

    def step(handler: Handler) -> None:
        handler.begin()
        handler.event("", role="assistant")
        for text in texts:
            handler.event(text)
        handler.event(None, finish)
        handler.send(b"data: [DONE]\n\n")
        handler.end()

    return step


def silence(handler: Handler) -> None:
    """The request is taken; nothing is ever said, no header either."""
    handler.wait_for_hang_up()


def stall(*texts: str) -> Step:
    """Begins a reply and stops in the middle."""

    def step(handler: Handler) -> None:
        handler.begin()
        for text in texts:
            handler.event(text)
        handler.wait_for_hang_up()

    return step


def keep_alive(handler: Handler) -> None:
    """Comments and empty events for ever, and no token; at a pace, or the bound on bytes would end it."""
    handler.begin()
    while not handler.faulty.closing.wait(0.05):
        try:
            handler.send(b": still here\n\n")
            handler.event("")
            handler.faulty.signs += 1
        except OSError:
            handler.faulty.gone.set()
            return


def die(*texts: str) -> Step:
    """Begins a reply, then its process is gone: the connection is reset."""

    def step(handler: Handler) -> None:
        handler.begin()
        for text in texts:
            handler.event(text)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return step


def cut_short(*texts: str) -> Step:
    """Begins a reply and ends the stream in good order, without a finish_reason."""

    def step(handler: Handler) -> None:
        handler.begin()
        for text in texts:
            handler.event(text)
        handler.end()

    return step


def raw(data: bytes, kind: str = "text/event-stream", **headers: str) -> Step:
    """These bytes, as a complete answer."""

    def step(handler: Handler) -> None:
        handler.begin(kind, **headers)
        handler.send(data)
        handler.end()

    return step


def endless(part: bytes) -> Step:
    """The same bytes again and again, as fast as they are taken."""

    def step(handler: Handler) -> None:
        handler.begin()
        while not handler.faulty.closing.is_set():
            try:
                handler.send(part)
            except OSError:
                handler.faulty.gone.set()
                return

    return step


def status(code: int, body: Any = None, **headers: str) -> Step:
    """An HTTP status with a JSON body."""

    def step(handler: Handler) -> None:
        data = json.dumps(body if body is not None else {"error": {"message": f"scripted {code}"}}).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return step
