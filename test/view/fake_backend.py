# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A backend that notes what it is asked for, and a raw HTTP client that can be as rude as a test needs it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llavaseg_ros.errors import ModelNotReady
from llavaseg_ros.view.records import Picture
from llavaseg_ros.view.server import ViewServer
from llavaseg_ros.view.state import ViewState

Serve = Callable[..., ViewServer]

JPEG = b"\xff\xd8 not really \xff\xd9"


@dataclass
class NotingBackend:
    """Takes everything, except a command that says "nobody"."""

    state: ViewState = field(default_factory=lambda: ViewState("/llavaseg"))
    calls: list[Any] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=lambda: {"live": JPEG})

    def picture(self, name: str) -> Picture | None:
        return Picture(self.pictures[name], "old") if name in self.pictures else None

    def command(self, text: str) -> str:
        if text == "nobody":
            raise ModelNotReady("/llavaseg is not there")
        self.calls.append(("command", text))
        return "id1"

    def cancel(self) -> int:
        self.calls.append(("cancel",))
        return 1

    def follow(self, enabled: bool) -> str:
        self.calls.append(("follow", enabled))
        return "following"

    def prompt(self, points: list[tuple[float, float]], labels: list[int]) -> None:
        self.calls.append(("prompt", points, labels))


@dataclass
class Reply:
    """What came back. headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(server: ViewServer, timeout_s: float = 60.0) -> socket.socket:
    """A connection to the server."""
    host = str(server.server_address[0])
    return socket.create_connection((host, server.server_port), timeout=timeout_s)


def exchange(server: ViewServer, data: bytes) -> Reply:
    """Send bytes, read one reply."""
    with connect(server) as connection:
        connection.sendall(data)
        return read_reply(connection)


def read_reply(connection: socket.socket) -> Reply:
    """One reply with a Content-Length."""
    file = connection.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Reply(status, headers, file.read(int(headers.get("content-length", "0"))))


def request(
    server: ViewServer, method: str, path: str, *, body: Any = None, drop: tuple[str, ...] = (), **headers: str
) -> Reply:
    """A well-behaved browser's request; headers (with _ for -) are put in or replaced, those in `drop` left out."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    host = f"127.0.0.1:{server.server_port}"
    lines = {"Host": host}
    if method == "POST":
        lines |= {"Origin": f"http://{host}", "Content-Type": "application/json", "Content-Length": str(len(data))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if name not in drop)
    return exchange(server, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data)


def calls(server: ViewServer) -> list[Any]:
    """What the backend was asked for."""
    backend = server.backend
    assert isinstance(backend, NotingBackend)
    return backend.calls
