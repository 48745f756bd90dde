# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the page: hosts, origins, tokens. Without a browser and without ROS."""

from __future__ import annotations

import socket

import pytest
from fake_backend import JPEG, NotingBackend, Serve, calls, exchange, request

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.view.security import Gate, Refused, check_token, host_name, is_loopback
from llavaseg_ros.view.server import ViewServer

TOKEN = "correct-horse-battery"


# --- where a request comes from ---


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://", ""]
)
def test_a_post_from_another_origin_is_refused(serve: Serve, origin: str) -> None:
    server = serve()
    reply = request(server, "POST", "/api/command", body={"text": "the mug"}, Origin=origin)
    assert reply.status == 403
    assert "Origin" in reply.json["error"]
    assert calls(server) == []


def test_a_post_that_does_not_say_where_it_comes_from_is_refused(serve: Serve) -> None:
    server = serve()
    assert request(server, "POST", "/api/cancel", body={}, drop=("Origin",)).status == 403
    assert request(server, "POST", "/api/cancel", body={}, Sec_Fetch_Site="cross-site").status == 403
    assert calls(server) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_post_that_a_form_of_another_page_could_send_is_refused(serve: Serve, kind: str) -> None:
    server = serve()
    assert request(server, "POST", "/api/command", body={"text": "the mug"}, Content_Type=kind).status == 415
    assert calls(server) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8088", "127.0.0.1.evil.example", "192.168.1.7", "", "a b", "[::1"]
)
def test_a_name_that_is_not_ours_is_refused(serve: Serve, method: str, host: str) -> None:
    """DNS rebinding: the browser believes that evil.example is at 127.0.0.1, and sends what it has for that name."""
    server = serve()
    path = "/frame/live.jpg" if method == "GET" else "/api/cancel"
    reply = request(server, method, path, body=None if method == "GET" else {}, Host=host, Origin=f"http://{host}")
    assert reply.status == 421
    assert JPEG not in reply.body
    assert calls(server) == []


def test_no_host_at_all_is_refused(serve: Serve) -> None:
    server = serve()
    assert request(server, "GET", "/", drop=("Host",)).status == 421
    assert exchange(server, b"GET / HTTP/1.0\r\n\r\n").status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1234", "[::1]:8088", "robot.lan"])
def test_names_that_are_ours(serve: Serve, host: str) -> None:
    assert request(serve(names=("robot.lan",)), "GET", "/", Host=host).status == 200


def test_gate_of_another_address_takes_bare_addresses_and_own_names_only() -> None:
    gate = Gate.make("0.0.0.0", 8088)
    for host in ("192.168.1.7:8088", "[fd00::7]", "localhost", f"{socket.gethostname()}:8088"):
        gate.check_host(host)
    with pytest.raises(Refused):
        gate.check_host("evil.example")


@pytest.mark.parametrize(
    ("header", "name"),
    [("A.b:8", "a.b"), ("[::1]:8", "::1"), ("a:b", ""), ("a/b", ""), ("[::1", ""), ("u@h", ""), ("host.", "host")],
)
def test_host_name(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("robot", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# --- token ---


def test_loopback_needs_no_token_and_any_other_address_gets_one() -> None:
    assert Gate.make("127.0.0.1", 1).token == ""
    one, two = (Gate.make("0.0.0.0", 1).token for _ in range(2))
    assert one != two
    assert len(one) >= 24
    check_token(one)


@pytest.mark.parametrize(
    "token", ["short", "x" * 201, "with a blank in it", "semi;colon;semi;colon", "newline\nnewline"]
)
def test_tokens_that_cannot_be_used(token: str) -> None:
    with pytest.raises(BadRequest, match="token: "):
        ViewServer(NotingBackend(), "127.0.0.1", 0, token=token)


PROTECTED = ("/", "/view.js", "/pictures.js", "/frame/live.jpg", "/api/state", "/api/events", "/nothing")


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "llavaseg_view=x"},
        {"Authorization": "Bearer wrong-wrong-wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "\x01=;;;"},
    ],
)
def test_nothing_without_the_token(serve: Serve, path: str, headers: dict[str, str]) -> None:
    reply = request(serve(token=TOKEN), "GET", path, **headers)
    assert reply.status == 401
    assert JPEG not in reply.body
    assert TOKEN.encode() not in reply.body
    assert "set-cookie" not in reply.headers


def test_no_command_without_the_token(serve: Serve) -> None:
    server = serve(token=TOKEN)
    for path in ("/api/command", "/api/cancel", "/api/follow", "/api/prompt", "/api/nothing"):
        assert request(server, "POST", path, body={"text": "the mug"}).status == 401
    assert request(server, "POST", f"/api/cancel?token={TOKEN}", body={}).status == 401
    assert calls(server) == []


def test_the_printed_address_lets_in_once_and_for_all(serve: Serve) -> None:
    server = serve(token=TOKEN)
    assert server.url == f"http://127.0.0.1:{server.server_port}/?token={TOKEN}"
    assert request(server, "GET", f"/?token={TOKEN}x").status == 401
    reply = request(server, "GET", f"/?token={TOKEN}")
    # Out of the address line at once.
    assert (reply.status, reply.headers["location"]) == (303, "/")
    cookie, *flags = reply.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
    for path in ("/", "/view.js", "/frame/live.jpg", "/api/state"):
        assert request(server, "GET", path, Cookie=cookie).status == 200
    assert request(server, "POST", "/api/cancel", body={}, Cookie=cookie).status == 200
    assert request(server, "GET", "/api/state", Authorization=f"Bearer {TOKEN}").status == 200


def test_the_form_that_asks_for_the_token(serve: Serve) -> None:
    server = serve(token=TOKEN)
    page = request(server, "GET", "/")
    assert (page.status, b"asks for a token" in page.body) == (401, True)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert request(server, "POST", "/token", body=b"token=wrong", **form).status == 401
    assert request(server, "POST", "/token", body=f"token={TOKEN}".encode(), **form, Origin="null").status == 403
    reply = request(server, "POST", "/token", body=f"token={TOKEN}".encode(), **form)
    assert (reply.status, "set-cookie" in reply.headers) == (303, True)


def test_two_viewers_on_one_machine_have_cookies_of_their_own(serve: Serve) -> None:
    one, two = serve(token=TOKEN), serve(token=TOKEN + "2")
    assert one.gate.set_cookie().split("=")[0] != two.gate.set_cookie().split("=")[0]
