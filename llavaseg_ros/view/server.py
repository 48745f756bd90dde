# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page's HTTP server: the standard library's, with bounds on everything that a client can make it do.

Pictures are fetched one by one when an event says that there are new ones, so that a slow client gets fewer pictures
and holds up nobody. Every connection has a thread of its own; their number, the time that one may take to send its
request, and the size of a body are bounded.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any, Protocol

from llavaseg_ros.errors import LLaVASegError
from llavaseg_ros.view.records import Picture
from llavaseg_ros.view.security import Gate
from llavaseg_ros.view.state import ViewState

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
MAX_STREAMS = 16
REQUEST_S = 10.0  # to send a whole request, or to begin the next one on a connection that is kept
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 2\r\n\r\n"


class ServerError(LLaVASegError):
    """The page cannot be served; the text names the address and says why."""


class Backend(Protocol):
    """What the page can ask for. All may raise LLaVASegError, whose text the person sees."""

    state: ViewState

    def picture(self, name: str) -> Picture | None:
        """ "live", "result" or "depth"; None when there is none."""

    def command(self, text: str) -> str:
        """Send a command; returns its id."""

    def cancel(self) -> int:
        """Cancel what was sent from here and still runs; returns how many."""

    def follow(self, enabled: bool) -> str:
        """Follow mode on or off; returns what the node says."""

    def prompt(self, points: list[tuple[float, float]], labels: list[int]) -> None:
        """Segment at points, x and y in [0, 1] of the image's width and height; label 1 = foreground."""


class ViewServer(ThreadingHTTPServer):
    """Listens from the moment that it is made; `start` serves. Raises ServerError when it cannot listen.

    port: 0 = any free one; `server_port` and `url` tell which. token and names: as in `Gate.make`.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, backend: Backend, host: str, port: int, *, token: str = "", names: tuple[str, ...] = ()) -> None:
        from llavaseg_ros.view.handler import Handler

        self.backend = backend
        self.closing = threading.Event()
        self.max_connections, self.max_streams, self.request_s = MAX_CONNECTIONS, MAX_STREAMS, REQUEST_S
        self.pages = 0
        # Socket of each connection -> since when it has owed a request (monotonic; None = it has sent one).
        self._connections: dict[socket.socket, float | None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ServerError(_why_not(host, port, error)) from error
        try:
            self.gate = Gate.make(host, self.server_port, token, names)
        except LLaVASegError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """As the base class does it, without asking a name server for this machine's full name."""
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        """What to open in a browser; with the token, if there is one."""
        host = str(self.gate.host)
        if host in ("0.0.0.0", "::", ""):
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self.server_port}/" + (f"?token={self.gate.token}" if self.gate.token else "")

    def start(self) -> ViewServer:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="view server", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.closing.set()
        self.backend.state.close()
        if self._thread is not None:
            self.shutdown()
            self._thread.join(2.0)
        self.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _cut(connection)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def reading(self, connection: socket.socket) -> None:
        """A request is awaited on this connection; it must have come in time."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection] = time.monotonic()

    def has_read(self, connection: socket.socket) -> None:
        """The request has come, body and all."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection] = None

    def open_page(self) -> bool:
        """A page wants a stream of events. False when there are too many; else `close_page` must follow."""
        with self._lock:
            if self.pages >= self.max_streams:
                return False
            self.pages += 1
            return True

    def close_page(self) -> None:
        """A stream of events has ended."""
        with self._lock:
            self.pages -= 1

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, unless there are too many."""
        with self._lock:
            full = len(self._connections) >= self.max_connections
            if not full:
                self._connections[request] = time.monotonic()
        if full:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(BUSY)
            super().shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Several times a second: cut the connections that dribble. A socket's time-out begins anew at each byte."""
        begun = time.monotonic() - self.request_s
        with self._lock:
            late = [request for request, since in self._connections.items() if since is not None and since < begun]
        for request in late:
            _cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in the middle all the time; anything else is worth a line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            log.warning("the page: error in a request: %r", error)


def dump(value: Any) -> bytes:
    """JSON without NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread reads or writes: that thread notices and cleans up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _why_not(host: str, port: int, error: OSError | OverflowError) -> str:
    place = f"port {port} of {host}"
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"{place} is in use, perhaps by another viewer; choose another port, or 0 for any free one"
    if number == errno.EACCES:
        return f"{place}: not permitted; ports below 1024 are root's"
    if number == errno.EADDRNOTAVAIL:
        return f"{place}: this machine has no such address; 127.0.0.1 is for this machine only, 0.0.0.0 for all"
    if isinstance(error, socket.gaierror):
        return f"host {host!r} is no address of this machine ({error.strerror or error})"
    return f"{place} cannot be listened on: {error}"
