# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page's server without a browser and without ROS: what it serves, what it refuses, who can hold up whom."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_backend import JPEG, NotingBackend, Serve, calls, connect, exchange, read_reply, request

import llavaseg_ros.view
from llavaseg_ros.view.handler import FILES, MAX_BODY, read_file
from llavaseg_ros.view.server import ServerError, ViewServer

# --- what is served ---


@pytest.mark.parametrize("path", FILES)
def test_every_file_is_served_with_its_type_and_all_protections(serve: Serve, path: str) -> None:
    reply = request(serve(), "GET", path)
    assert reply.status == 200
    assert reply.body == read_file(FILES[path][0])
    assert reply.headers["content-type"] == FILES[path][1]
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in str(policy) and "http" not in str(policy) and "*" not in str(policy)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in reply.headers


def test_the_page_takes_nothing_from_elsewhere_and_writes_no_html() -> None:
    static = Path(llavaseg_ros.view.__file__).parent / "static"
    files = list(static.iterdir())
    assert {path.name for path in files} >= {name for name, _ in FILES.values()} | {"token.html"}
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), path.name
        # The policy forbids these, so they would do nothing.
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", text), path.name


def test_pictures(serve: Serve) -> None:
    server = serve()
    reply = request(server, "GET", "/frame/live.jpg?v=3")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert reply.headers["x-mask"] == "old"
    assert request(server, "GET", "/frame/depth.jpg").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/frame/secret.jpg",
        "/frame/../server.py",
        "/../server.py",
        "/%2e%2e/server.py",
        "//etc/passwd",
        "/static/view.js",
        "/frame/live.jpgx",
        "/api",
        "/view.css/",
        "/token",
    ],
)
def test_unknown_paths(serve: Serve, path: str) -> None:
    reply = request(serve(), "GET", path)
    assert reply.status == 404
    assert "nothing at" in reply.json["error"]


def test_commands_reach_the_backend(serve: Serve) -> None:
    server = serve()
    assert request(server, "POST", "/api/command", body={"text": "the mug"}).json == {"id": "id1"}
    assert request(server, "POST", "/api/follow", body={"enabled": True}).json == {"message": "following"}
    points = [{"x": 0.25, "y": 1, "label": 1}, {"x": 0, "y": 0.5, "label": 0}]
    assert request(server, "POST", "/api/prompt", body={"points": points}).status == 200
    assert request(server, "POST", "/api/cancel", body={}).json == {"canceled": 1}
    assert calls(server) == [
        ("command", "the mug"),
        ("follow", True),
        ("prompt", [(0.25, 1.0), (0.0, 0.5)], [1, 0]),
        ("cancel",),
    ]


def test_what_the_node_refuses_is_told(serve: Serve) -> None:
    reply = request(serve(), "POST", "/api/command", body={"text": "nobody"})
    assert (reply.status, reply.json) == (503, {"error": "/llavaseg is not there"})


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/command", b"{", "no JSON"),
        ("/api/command", b"\xff\xfe", "no JSON"),
        ("/api/command", b"[" * 9000, "no JSON"),
        ("/api/command", b"[]", "a JSON list"),
        ("/api/command", b'{"text": 3}', "text: int"),
        ("/api/command", b"{}", "text: NoneType"),
        ("/api/follow", b'{"enabled": "yes"}', "enabled: 'yes'; expected true or false"),
        ("/api/follow", b'{"enabled": 1}', "expected true or false"),
        ("/api/prompt", b"{}", "points: expected a list"),
        ("/api/prompt", b'{"points": []}', "points: expected a list"),
        ("/api/prompt", b'{"points": [3]}', r"points\[0\]"),
        ("/api/prompt", b'{"points": [{"x": 0.1, "y": 1.5, "label": 1}]}', r"points\[0\].*\[0, 1\]"),
        ("/api/prompt", b'{"points": [{"x": NaN, "y": 0.5, "label": 1}]}', r"points\[0\]"),
        ("/api/prompt", b'{"points": [{"x": true, "y": 0.5, "label": 1}]}', r"points\[0\]"),
        ("/api/prompt", b'{"points": [{"x": 0.5, "y": 0.5, "label": 0.5}]}', r"points\[0\]"),
        ("/api/prompt", b'{"points": [' + b",".join([b'{"x":0.5,"y":0.5,"label":1}'] * 65) + b"]}", "1 to 64"),
    ],
)
def test_bodies_that_make_no_sense(serve: Serve, path: str, body: bytes, said: str) -> None:
    server = serve()
    reply = request(server, "POST", path, body=body)
    assert reply.status == 400
    assert re.search(said, reply.json["error"])
    assert calls(server) == []


# --- bounds ---


def test_a_huge_body_is_refused_before_it_is_read(serve: Serve) -> None:
    server = serve()
    for size in (MAX_BODY + 1, 10**12, 10**30):
        reply = request(server, "POST", "/api/command", body=b"", Content_Length=str(size))
        assert reply.status == 413
    assert request(server, "POST", "/api/command", body=b'{"text":"' + b"a" * MAX_BODY + b'"}').status == 413
    assert calls(server) == []


@pytest.mark.parametrize(
    "headers", [{"Content_Length": "-5"}, {"Content_Length": "ten"}, {"Transfer_Encoding": "chunked"}]
)
def test_a_body_of_unknown_length_is_refused(serve: Serve, headers: dict[str, str]) -> None:
    assert request(serve(), "POST", "/api/cancel", body={}, **headers).status == 411


def test_a_get_with_a_body_is_refused(serve: Serve) -> None:
    assert request(serve(), "GET", "/", body=b"hello", Content_Length="5").status == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n", 400),
    ],
)
def test_malformed_requests(serve: Serve, data: bytes, status: int) -> None:
    server = serve()
    reply = exchange(server, data)
    assert reply.status == status
    assert "content-security-policy" in reply.headers
    assert request(server, "GET", "/").status == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n",
        b"POST /api/cancel HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n",
    ],
)
def test_a_client_that_dribbles_is_cut_off_and_holds_up_nobody(serve: Serve, beginning: bytes) -> None:
    server = serve(request_s=60.0)
    slow = connect(server)
    slow.sendall(beginning)
    ended = threading.Event()

    def dribble() -> None:
        try:
            while True:  # a byte now and then, so that no time-out of the socket comes to an end
                slow.sendall(b"a")
                time.sleep(0.05)
        except OSError:
            ended.set()

    threading.Thread(target=dribble, daemon=True).start()
    assert request(server, "GET", "/").status == 200  # while the other one is at it
    assert not ended.is_set()
    server.request_s = 0.1
    assert ended.wait(30.0)


def test_a_client_that_never_reads_holds_up_nobody(serve: Serve) -> None:
    server = serve()
    server.backend.pictures["live"] = bytes(30_000_000)  # type: ignore[attr-defined]
    deaf = connect(server)
    deaf.sendall(f"GET /frame/live.jpg HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
    try:
        for _ in range(5):
            assert request(server, "GET", "/api/state").status == 200
        assert server.connections >= 1
    finally:
        deaf.close()


def test_too_many_connections_are_turned_away_and_room_comes_back(serve: Serve) -> None:
    server = serve(max_connections=4, request_s=60.0)
    held = [connect(server) for _ in range(4)]
    wait(lambda: server.connections == 4)
    with connect(server) as extra:
        assert read_reply(extra).status == 503
    for connection in held:
        connection.close()
    wait(lambda: server.connections == 0)
    assert request(server, "GET", "/").status == 200


def test_too_many_pages_are_turned_away(serve: Serve) -> None:
    server = serve(max_streams=2)
    held = [open_stream(server) for _ in range(2)]
    wait(lambda: server.pages == 2)
    assert request(server, "GET", "/api/events").status == 503
    for stream in held:
        stream.close()
    wait(lambda: server.pages == 0, poke=server.backend.state.close)
    open_stream(server).close()


def wait(condition: Callable[[], bool], poke: Callable[[], None] = lambda: None) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        poke()
        time.sleep(0.02)


# --- events ---


def open_stream(server: ViewServer) -> socket.socket:
    connection = connect(server)
    connection.sendall(f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def read_events(connection: socket.socket, until: str) -> str:
    """What came, up to this text."""
    text = ""
    while until not in text:
        data = connection.recv(65536)
        assert data, f"the stream ended before {until!r}: {text[-300:]}"
        text += data.decode()
    return text


def test_events_bring_state_history_and_pictures(serve: Serve) -> None:
    server = serve()
    stream = open_stream(server)
    assert "content-type: text/event-stream" in read_events(stream, "event: state").lower()
    server.backend.state.begin("id1", "a\nmug\r\n\nevent: forged", "page")
    text = read_events(stream, "forged")
    # A text with line breaks cannot make an event of its own.
    assert not re.search(r"^event: forged", text, re.MULTILINE)
    server.backend.state.new_picture("live")
    read_events(stream, 'event: pictures\ndata: {"live":1}\n\n')
    stream.close()


def test_closing_ends_every_stream(serve: Serve) -> None:
    server = serve()
    stream = open_stream(server)
    read_events(stream, "event: state")
    server.close()
    while stream.recv(65536):
        pass


# --- listening ---


def test_a_port_in_use_is_a_clear_error(serve: Serve) -> None:
    server = serve()
    with pytest.raises(ServerError, match=f"port {server.server_port} of 127.0.0.1 is in use"):
        ViewServer(NotingBackend(), "127.0.0.1", server.server_port)


@pytest.mark.parametrize(
    ("host", "said"), [("192.0.2.1", "no such address"), ("no.such.host.invalid", "no address of")]
)
def test_an_address_that_is_not_ours_is_a_clear_error(host: str, said: str) -> None:
    with pytest.raises(ServerError, match=said):
        ViewServer(NotingBackend(), host, 0)


def test_a_port_can_be_taken_again_at_once(serve: Serve) -> None:
    server = serve()
    assert request(server, "GET", "/").status == 200
    port = server.server_port
    server.close()
    again = ViewServer(NotingBackend(), "127.0.0.1", port).start()
    try:
        assert request(again, "GET", "/").status == 200
    finally:
        again.close()
