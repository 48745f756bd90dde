# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page, attacked once more: smuggled requests, paths that lead out, a token by trial, and what stays open."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_backend import NotingBackend, connect, request

from llavaseg_ros.view.server import ViewServer

TOKEN = "a-token-that-nobody-knows"


@pytest.fixture
def serve() -> Iterator[Callable[..., ViewServer]]:
    servers: list[ViewServer] = []

    def start(**options: Any) -> ViewServer:
        limits = {key: options.pop(key) for key in ("max_connections", "max_streams", "request_s") if key in options}
        server = ViewServer(NotingBackend(), "127.0.0.1", 0, **options)
        for key, value in limits.items():
            setattr(server, key, value)
        servers.append(server.start())
        return server

    yield start
    for server in servers:
        server.close()


def everything(server: ViewServer, data: bytes) -> bytes:
    """All that comes back until the server closes the connection, or has nothing more to say."""
    with connect(server) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        said = b""
        while part := client.recv(65536):
            said += part
        return said


def post(server: ViewServer, *headers: str, body: bytes = b"{}") -> bytes:
    port = server.server_port
    lines = [
        "POST /api/cancel HTTP/1.1",
        f"Host: localhost:{port}",
        f"Origin: http://localhost:{port}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


SMUGGLED = b"POST /api/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Content-Length: 200"),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2, 2",),
        ("Content-Length: +2",),
        ("Content-Length: 0x2",),
        ("Content-Length: \u0662",),
        ("Content-Length : 2",),
        ("Content-Length: 2", " Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Transfer-Encoding : chunked"),
        ("Content-Length: 2", "Host: evil.example"),
        ("Content-Length: 2", "Origin: http://evil.example"),
        ("Content-Length: 2", "no colon here", "X: y"),
        ("Transfer-Encoding: xchunked",),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(serve: Any, headers: tuple[str, ...]) -> None:
    server = serve()
    said = everything(server, post(server, *headers) + SMUGGLED)
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 411", b"HTTP/1.1 403")), said[:200]
    assert said.count(b"HTTP/1.1 ") == 1, "a second request was read out of the first one's body"
    assert server.backend.calls == []
    assert everything(server, post(server, "Content-Length: 2")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("lengths", [("0", "60"), ("60",), ("0, 60",), ("-1",)])
def test_a_get_smuggles_nothing_either(serve: Any, lengths: tuple[str, ...]) -> None:
    server = serve()
    head = f"GET /api/state HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n"
    lines = "".join(f"Content-Length: {length}\r\n" for length in lengths)
    said = everything(server, head.encode() + lines.encode() + b"\r\n" + SMUGGLED)
    assert said.startswith(b"HTTP/1.1 400") and said.count(b"HTTP/1.1 ") == 1
    assert server.backend.calls == []


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/static/../handler.py", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/view.css/../../security.py", "/frame/../../live.jpg", "/frame/..%2flive.jpg", "/frame/live.jpg%00.png",
        "file:///etc/passwd", "http://evil.example/", "/\\..\\..\\etc\\passwd", "/index.html", "/token.html",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(serve: Any, path: str) -> None:
    reply = request(serve(), "GET", path)
    assert reply.status in (400, 404) or path.endswith("evil.example/")
    assert b"root:" not in reply.body and b"import" not in reply.body


def test_the_token_is_compared_in_constant_time_and_never_told(
    serve: Any, monkeypatch: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    compared: list[bytes] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or compare(a, b))
    server = serve(token=TOKEN)
    for given in ("", "x", TOKEN[:-1], TOKEN + "x", "\u00e9" * 10):
        reply = request(server, "GET", f"/?token={given.encode('ascii', 'ignore').decode()}")
        assert reply.status == 401 and TOKEN not in str(reply.headers) + reply.body.decode()
        headers = {"Authorization": f"Bearer {given.encode('ascii', 'ignore').decode()}"}
        assert request(server, "GET", "/api/state", **headers).status == 401
    assert len(compared) >= 8 and set(compared) == {TOKEN.encode()}
    cookie = request(server, "GET", f"/?token={TOKEN}").headers["set-cookie"].split(";")[0]
    page = request(server, "GET", "/", Cookie=cookie)
    assert page.status == 200 and page.headers["referrer-policy"] == "same-origin"
    assert request(server, "GET", "/nothing", Cookie=cookie).status == 404
    said = "".join(capfd.readouterr()) + caplog.text
    assert TOKEN not in said and TOKEN not in repr(server) + str(server.backend.state.snapshot())


def test_many_who_send_nothing_hold_up_nobody_for_long(serve: Any) -> None:
    server = serve(max_connections=8, request_s=0.5)
    silent = [connect(server) for _ in range(8)]
    try:
        assert [client.recv(1) for client in silent] == [b""] * 8, "they are cut"
        end = time.monotonic() + 60.0
        while server.connections:
            assert time.monotonic() < end, "nobody gets in any more"
            time.sleep(0.02)
        server.request_s = 60.0  # this test's own request may take a while, too
        assert request(server, "GET", "/").status == 200
    finally:
        for client in silent:
            client.close()


def test_streams_are_counted_and_given_back(serve: Any) -> None:
    server = serve(max_streams=4)
    head = f"GET /api/events HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n".encode()
    for _ in range(3):
        clients = [connect(server) for _ in range(12)]
        firsts: list[bytes] = []

        def first_line(client: socket.socket, firsts: list[bytes] = firsts) -> None:
            client.sendall(head)
            firsts.append(client.recv(12))

        threads = [threading.Thread(target=first_line, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert firsts.count(b"HTTP/1.1 200") == 4 and firsts.count(b"HTTP/1.1 503") == 8
        for client in clients:
            client.close()
        end = time.monotonic() + 30.0
        while server.pages and time.monotonic() < end:
            time.sleep(0.05)
        assert server.pages == 0
