# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A served language model whose server is away, slow, or answers by halves. The client and the pipeline are real."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults import fault
from faulty_server import FaultyServer, Step, cut_short, die, endless, raw, say, silence, stall, status
from real_parts import REPLIES, real_pipeline
from ros_harness import wait_until
from std_msgs.msg import Empty

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.reasoning.served_config import ServedConfig

LONG_S = 600.0


@pytest.fixture
def serve() -> Iterator[Callable[..., FaultyServer]]:
    """serve(*steps) -> a server that takes these steps, and then answers well."""
    servers: list[FaultyServer] = []

    def make(*steps: Step, port: int = 0) -> FaultyServer:
        server = FaultyServer(*steps, *map(well, REPLIES), *map(well, REPLIES), port=port)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


def well(reply: str) -> Step:
    """A good reply, word by word."""
    return say(*(word + " " for word in reply.split(" ")))


def pipeline(url: str, **settings: Any) -> Any:
    pytest.importorskip("openai", reason="a served model needs it (extra `served`)")
    from llavaseg_ros.reasoning.served import ServedMLLM

    quick = {"retries": 0, "backoff_s": 0.01, "first_token_timeout_s": LONG_S, "token_timeout_s": LONG_S, **settings}
    return real_pipeline(ServedMLLM(ServedConfig(url, "big", **quick)))


def ends(stack: Any, code: ErrorCode, *words: str) -> Any:
    """A command ends with this, and brings no mask."""
    stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == code, result.error_msg
    assert not result.masks.targets and not result.answer.found
    for word in words:
        assert word in result.error_msg, result.error_msg
    return result


def ends_there(stack: Any, server: FaultyServer, code: ErrorCode, *words: str) -> None:
    """As `ends`, once the server has had a request: on a slow machine the time may be over before it is sent."""
    while not server.requests:
        ends(stack, code, *words)


def works(stack: Any) -> None:
    image = stack.send_image()
    result = stack.do("I am thirsty").result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header, result.error_msg


@fault(
    "nobody listens at the server's address, and later somebody does",
    group="Language model server",
    node="is active all the time; each command asks again; /diagnostics says ERROR until one works",
    planner="MODEL_NOT_READY, and the text names the address; then answers",
)
def test_server_away(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stack = make_stack(pipeline(f"http://127.0.0.1:{port}/v1"))
    ends(stack, ErrorCode.MODEL_NOT_READY, str(port))

    def told() -> bool:
        statuses = [s for m in list(stack.observer.diagnostics) for s in m.status]
        own = stack.node.get_fully_qualified_name().lstrip("/")
        return any(s.hardware_id == own and "server is away" in s.message for s in statuses)

    wait_until(told, what="/diagnostics")
    serve(port=port)
    works(stack)


@fault(
    "the server takes the request, and says nothing",
    group="Language model server",
    node="gives up after `first_token_timeout_s`, and hangs up",
    planner="TIMEOUT, no mask; the next command works",
)
def test_server_silent(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    server = serve(silence)
    stack = make_stack(pipeline(server.url, first_token_timeout_s=0.5))
    ends_there(stack, server, ErrorCode.TIMEOUT, "0.5 s")
    assert server.gone.wait(60.0)
    stack.node.worker._model.mllm.config.__dict__["first_token_timeout_s"] = LONG_S
    works(stack)


@fault(
    "the server begins a reply, and stalls",
    group="Language model server",
    node="gives up after `token_timeout_s`, and hangs up",
    planner="TIMEOUT, and the text says how much came; no mask; the next command works",
)
def test_server_stalls(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    server = serve(stall("I see"))
    stack = make_stack(pipeline(server.url, token_timeout_s=0.5))
    ends(stack, ErrorCode.TIMEOUT, "0.5 s")
    assert server.gone.wait(60.0)
    stack.node.worker._model.mllm.config.__dict__["token_timeout_s"] = LONG_S
    works(stack)


@fault(
    "the server is slower than the command may be",
    group="Language model server",
    node="ends the command at its time-out, and hangs up; a stop or a cancel does so at once",
    planner="TIMEOUT, or PREEMPTED, within a moment; the next command works",
)
def test_server_slower_than_the_command(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    server = serve(stall("I see"), silence)
    stack = make_stack(pipeline(server.url), timeout_s=0.5)
    ends_there(stack, server, ErrorCode.TIMEOUT, "0.5 s")
    stack.node.set_parameters([stack.parameter("timeout_s", LONG_S)])
    assert server.gone.wait(60.0)
    server.gone.clear()
    handle = stack.send_goal("I am thirsty")
    wait_until(lambda: len(server.requests) == 2, what="the second request")
    stack.publisher(Empty, "stop", subscribers=1).publish(Empty())
    assert stack.result(handle).result.error_code == ErrorCode.PREEMPTED
    assert server.gone.wait(60.0)
    works(stack)


@fault(
    "the server's process dies in the middle of a reply",
    group="Language model server",
    node="takes no half reply for a whole one",
    planner="MODEL_NOT_READY, no mask; the next command works",
)
def test_server_dies(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    stack = make_stack(pipeline(serve(die("I see", " a red")).url))
    ends(stack, ErrorCode.MODEL_NOT_READY)
    works(stack)


@fault(
    "the server ends its stream in the middle of a reply, in good order",
    group="Language model server",
    node="takes no half reply for a whole one",
    planner="MODEL_NOT_READY, and the text says so; no mask; the next command works",
)
def test_half_an_answer(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    stack = make_stack(pipeline(serve(well(REPLIES[0]), cut_short("target: red mug; found: yes")).url))
    ends(stack, ErrorCode.MODEL_NOT_READY)
    works(stack)


@fault(
    "the server fails (HTTP 500), or says that it is busy (429, 503)",
    group="Language model server",
    node="asks again, `retries` times, before the first token",
    planner="an answer, a little later; MODEL_NOT_READY if it goes on",
)
def test_server_fails(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    stack = make_stack(pipeline(serve(status(503), status(500)).url, retries=2))
    works(stack)
    stack = make_stack(pipeline(serve(status(500)).url))
    ends(stack, ErrorCode.MODEL_NOT_READY, "500")
    works(stack)


@fault(
    "the server speaks another protocol, or never ends",
    group="Language model server",
    node="reads no more than a bound",
    planner="BAD_REPLY, no mask; the next command works",
)
def test_server_speaks_nonsense(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    garbage = endless(b": " + b"x" * 60_000 + b"\n\n")
    stack = make_stack(pipeline(serve(raw(b"<html>It works!</html>", "text/html"), garbage).url))
    ends(stack, ErrorCode.BAD_REPLY)
    ends(stack, ErrorCode.BAD_REPLY)
    works(stack)


@fault(
    "the server wants another key, or knows no such model",
    group="Language model server",
    node="does not ask again, for that would not help",
    planner="MODEL_NOT_READY, and the text says what to set; /diagnostics says ERROR",
)
def test_server_refuses(make_stack: Any, serve: Callable[..., FaultyServer]) -> None:
    server = serve(status(401), status(404))
    server.models = ("another",)
    stack = make_stack(pipeline(server.url, retries=2))
    ends(stack, ErrorCode.MODEL_NOT_READY, "api_key_env")
    ends(stack, ErrorCode.MODEL_NOT_READY, "another")
    assert len(server.requests) == 2
    works(stack)
