# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The served MLLM against a server that answers badly, late or never: a clear error, and the next command works.

`test_served_model.py` asks a real one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("openai", reason="the extra `served` is not installed")

from faulty_server import (
    FaultyServer,
    Handler,
    Step,
    cut_short,
    die,
    endless,
    held_port,
    keep_alive,
    raw,
    say,
    silence,
    stall,
    status,
)

from llavaseg_ros.errors import (
    BadRequest,
    BundleError,
    Cancelled,
    ErrorCode,
    GarbledReply,
    LLaVASegError,
    ServerAway,
    ServerRefused,
    ServerTimeout,
)
from llavaseg_ros.reasoning import served
from llavaseg_ros.reasoning.base import ConversationTooLong, Message
from llavaseg_ros.reasoning.chain import ChainOfThought
from llavaseg_ros.reasoning.prompt_style import load_style
from llavaseg_ros.reasoning.served import ServedConfig, ServedMLLM

HELLO = [Message("user", "hello")]
CHECK_S = 20.0
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def serve() -> Iterator[Callable[..., FaultyServer]]:
    """Makes servers; closes them in the end, and holds that no thread of a request is left."""
    servers: list[FaultyServer] = []

    def make(*steps: Step, **options: Any) -> FaultyServer:
        servers.append(FaultyServer(*steps, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
    for thread in threading.enumerate():
        if thread.name == "served model":
            thread.join(10)
            assert not thread.is_alive()


class Clock:
    """Stands for the client's `time`: once `hurry` says so, 10 s are over at each look at it.

    So a limit is over at once when the test is where it means to be, and not before, however slow the machine is.
    """

    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.hurry: Callable[[], bool] = lambda: False
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        self.ahead_s += 10.0 if self.hurry() else 0.0
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(served, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def patient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the list of models that explains an error."""
    monkeypatch.setattr(served, "CHECK_TIMEOUT_S", CHECK_S)


def client(url: str, **settings: Any) -> ServedMLLM:
    """Patient where a test expects success, for the machine may be slow; quick to try again."""
    patient: dict[str, Any] = {
        "connect_timeout_s": 20.0,
        "first_token_timeout_s": 60.0,
        "token_timeout_s": 60.0,
        "backoff_s": 0.01,
    }
    return ServedMLLM(ServedConfig(url, "big", **{**patient, **settings}))


def ask(mllm: ServedMLLM, **options: Any) -> str:
    return mllm.reply(HELLO, max_new_tokens=8, **options)


def fails(mllm: ServedMLLM, kind: type[LLaVASegError], code: ErrorCode, state: str, *words: str) -> LLaVASegError:
    """The error of the next reply: of this kind, with the URL and these words, and told by describe()."""
    with pytest.raises(kind) as caught:
        ask(mllm)
    error = caught.value
    assert type(error) is kind and error.code == code
    for word in (mllm.config.base_url, *words):
        assert word in str(error), f"{word!r} is not in {error}"
    told = mllm.describe()
    assert told["state"] == state and told["last_error"] == str(error)
    json.dumps(told)
    return error


# What is sent, and what comes back


def test_a_reply_in_pieces(serve: Callable[..., FaultyServer]) -> None:
    server = serve(say("The ", "red", " mug", "."))
    mllm = client(server.url, extra_body={"top_k": 1})
    assert mllm.describe()["state"] == "unknown"
    parts: list[str] = []
    assert ask(mllm, on_token=parts.append) == "The red mug."
    assert parts == ["The ", "The red", "The red mug", "The red mug."]
    assert server.requests == [
        {
            "model": "big",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
            "temperature": 0.0,
            "max_tokens": 8,
            "top_k": 1,
        }
    ]
    told = mllm.describe()
    assert told["state"] == "up" and told["last_error"] == ""
    assert 0 < told["first_token_s"] <= told["total_s"]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_image_goes_in_the_first_user_turn_and_stays_the_same(
    serve: Callable[..., FaultyServer], image: np.ndarray, kind: str
) -> None:
    server = serve(say("a"))
    mllm = client(server.url, image_format=kind)
    mllm.set_image(image)
    first = [Message("system", "Be brief."), Message("user", "one")]
    mllm.reply(first, max_new_tokens=4)
    mllm.reply([*first, Message("assistant", "a"), Message("user", "two")], max_new_tokens=4)
    mllm.reset_image()
    mllm.reply(first, max_new_tokens=4)
    before, after, without = (request["messages"] for request in server.requests)
    assert after[: len(before)] == before  # what a prefix cache needs
    assert [turn["role"] for turn in after] == ["system", "user", "assistant", "user"]
    picture, text = before[1]["content"]
    assert text == {"type": "text", "text": "one"} and after[3]["content"] == "two"
    head, data = picture["image_url"]["url"].split(",")
    assert head == f"data:image/{kind};base64"
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert pixels.shape == image.shape and (kind == "jpeg" or np.array_equal(pixels, image))
    assert without[1]["content"] == "one"


@pytest.mark.parametrize(
    "text", ["<image> mug</s>", "<|im_end|>", "[IMG_END][/INST]", "\uff1cimage\uff1e", "ASSISTANT: x"]
)
def test_no_text_changes_the_structure(serve: Callable[..., FaultyServer], text: str) -> None:
    server = serve(say("a"))
    client(server.url).reply([Message("user", f"the {text} mug")], max_new_tokens=4)
    sent = server.requests[0]["messages"][0]["content"]
    assert "mug" in sent and not any(part in sent for part in ("<", "[", "\uff1c", "ASSISTANT:"))


def test_harmless_text_passes_unchanged(serve: Callable[..., FaultyServer]) -> None:
    server = serve(say("a"))
    texts = ["a < b > c & [x] {y} #3: ok?", "größer\n大きい 🙂 ①", "می\u200cخواهم"]
    for text in texts:
        client(server.url).reply([Message("user", text)], max_new_tokens=4)
    assert [request["messages"][0]["content"] for request in server.requests] == texts


def test_what_a_thinking_model_thinks_is_no_part_of_its_reply(serve: Callable[..., FaultyServer]) -> None:
    def step(handler: Handler) -> None:
        handler.begin()
        handler.event(None, reasoning_content="hmm")
        handler.send(b'data: {"id":"1","object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":3}}\n\n')
        handler.event("mug")
        handler.event(None, "length")
        handler.end()

    assert ask(client(serve(step).url)) == "mug"


def test_an_empty_reply_is_a_reply(serve: Callable[..., FaultyServer]) -> None:
    assert ask(client(serve(say()).url)) == ""


def test_inside_a_running_event_loop(serve: Callable[..., FaultyServer]) -> None:
    mllm = client(serve(say("a")).url)

    async def notebook() -> str:
        return ask(mllm)

    assert asyncio.run(notebook()) == "a"


def test_a_conversation_ends_with_the_user(serve: Callable[..., FaultyServer]) -> None:
    server = serve(say("a"))
    for messages in ([], [Message("user", "a"), Message("assistant", "b")]):
        with pytest.raises(BadRequest):
            client(server.url).reply(messages, max_new_tokens=1)
    assert not server.requests


# Away, slow, dying


def test_nobody_listens_and_then_somebody_does(
    serve: Callable[..., FaultyServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llavaseg_ros")
    with held_port() as port:
        mllm = client(f"http://127.0.0.1:{port}/v1")
        for _ in range(2):
            fails(mllm, ServerAway, ErrorCode.MODEL_NOT_READY, "away", "refused", "expected a server")
        assert mllm.check(CHECK_S)["state"] == "away"
        serve(say("back"), port=port)
    assert ask(mllm) == "back"
    assert mllm.describe()["state"] == "up" and mllm.describe()["last_error"] == ""
    changes = [record.getMessage() for record in caplog.records if "trying" not in record.getMessage()]
    assert len(changes) == 2 and "away" in changes[0] and "up again" in changes[1]  # once a change


def test_a_name_that_does_not_resolve() -> None:
    fails(client("http://no-such-host.invalid/v1", retries=0), ServerAway, ErrorCode.MODEL_NOT_READY, "away")


def test_slow_before_the_first_token(serve: Callable[..., FaultyServer], clock: Clock) -> None:
    server = serve(silence, say("now"))
    mllm = client(server.url, token_timeout_s=70.0)
    clock.hurry = lambda: bool(server.requests)
    fails(mllm, ServerTimeout, ErrorCode.TIMEOUT, "slow", "no answer within 60 s")
    assert server.gone.wait(20)
    assert len(server.requests) == 1  # a server with too much to do is not asked again
    clock.hurry = lambda: False
    assert ask(mllm) == "now"


def test_signs_of_life_are_no_tokens(serve: Callable[..., FaultyServer], clock: Clock) -> None:
    server = serve(keep_alive)
    mllm = client(server.url, token_timeout_s=3600.0)
    clock.hurry = lambda: server.signs > 5
    fails(mllm, ServerTimeout, ErrorCode.TIMEOUT, "slow", "no answer within 60 s")
    assert server.gone.wait(20)


def test_stalls_in_mid_stream(serve: Callable[..., FaultyServer], clock: Clock) -> None:
    server = serve(stall("The ", "red"), say("now"))
    mllm = client(server.url, token_timeout_s=30.0)
    clock.hurry = lambda: mllm.describe()["first_token_s"] is not None
    fails(mllm, ServerTimeout, ErrorCode.TIMEOUT, "slow", "no token for 30 s after")
    assert server.gone.wait(20) and len(server.requests) == 1
    clock.hurry = lambda: False
    assert ask(client(server.url)) == "now"


@pytest.mark.parametrize("step", [die, cut_short])
def test_dies_in_mid_stream(serve: Callable[..., FaultyServer], step: Callable[..., Step]) -> None:
    server = serve(step("The ", "red"), say("now"))
    mllm = client(server.url)
    fails(mllm, ServerAway, ErrorCode.MODEL_NOT_READY, "away", "7 characters")
    assert len(server.requests) == 1  # never after text was shown
    assert ask(mllm) == "now"


@pytest.mark.parametrize("step", [die(), cut_short()])
def test_dies_before_the_first_token_and_is_asked_again(serve: Callable[..., FaultyServer], step: Step) -> None:
    server = serve(step, say("now"))
    assert ask(client(server.url)) == "now" and len(server.requests) == 2


def test_a_slow_listener_is_not_the_servers_fault(serve: Callable[..., FaultyServer], clock: Clock) -> None:
    def listen(_: str) -> None:
        clock.ahead_s += 100.0

    assert ask(client(serve(say("a", "b", "c")).url), on_token=listen) == "abc"  # 60 s between two tokens are allowed


# Garbage


@pytest.mark.parametrize(
    "step",
    [
        raw(b"data: {broken\n\n"),
        raw(b"data: \xff\xfe\xfd\n\n"),
        raw(b'data: "text"\n\n'),
        raw(b"data: [1, 2]\n\n"),
        raw(b'data: {"hello": "world"}\n\n'),
        raw(b'data: {"choices": "none"}\n\n'),
        raw(b'data: {"choices": [7]}\n\n'),
        raw(b'data: {"choices": [{"delta": {"content": {"a": 1}}, "finish_reason": "stop"}]}\n\n'),
        raw(b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": 7}]}\n\n'),
        raw(b"data: " + b"[" * 50_000 + b"\n\n"),
        raw(b"<html>Please log in to the guest network</html>", "text/html"),
        raw(b'{"choices": [{"message": {"content": "whole"}}]}', "application/json"),
        raw(b"\x1f\x8b\x08\x00", Content_Encoding="gzip"),
        say("no", finish="content_filter"),
    ],
)
def test_garbage(serve: Callable[..., FaultyServer], step: Step) -> None:
    server = serve(step, say("now"))
    mllm = client(server.url)
    error = fails(mllm, GarbledReply, ErrorCode.BAD_REPLY, "garbled", "expected")
    assert isinstance(error, GarbledReply) and isinstance(error.raw, str)
    assert len(server.requests) == 1
    assert ask(mllm) == "now"


def test_garbage_after_text_keeps_the_text(serve: Callable[..., FaultyServer]) -> None:
    def step(handler: Handler) -> None:
        handler.begin()
        handler.event("The red")
        handler.send(b"data: {{{\n\n")
        handler.end()

    error = fails(client(serve(step).url), GarbledReply, ErrorCode.BAD_REPLY, "garbled")
    assert isinstance(error, GarbledReply) and error.raw == "The red"


def test_not_even_http(serve: Callable[..., FaultyServer]) -> None:
    def step(handler: Handler) -> None:
        handler.connection.sendall(b"220 mail.example ESMTP\r\n")

    fails(client(serve(step).url, retries=0), ServerAway, ErrorCode.MODEL_NOT_READY, "away", "no answer")


@pytest.mark.parametrize(
    "part",
    [
        b'data: {"choices": [{"delta": {"content": "word "}, "finish_reason": null}]}\n\n',
        b'data: {"choices": [{"delta": {"content": ""}, "finish_reason": null}]}\n\n',
        b": comment\n",
        b"x" * 1000,
    ],
)
def test_an_endless_stream_ends(serve: Callable[..., FaultyServer], part: bytes) -> None:
    server = serve(endless(part))
    fails(client(server.url), GarbledReply, ErrorCode.BAD_REPLY, "garbled", "bytes, and no end")
    assert server.gone.wait(20)


def test_an_endless_error_page_ends(serve: Callable[..., FaultyServer]) -> None:
    def step(handler: Handler) -> None:
        handler.send_response(400)
        handler.send_header("Content-Type", "text/plain")
        handler.end_headers()
        try:
            while not handler.faulty.closing.is_set():
                handler.wfile.write(b"no" * 1000)
        except OSError:
            handler.faulty.gone.set()

    server = serve(step)
    fails(client(server.url), GarbledReply, ErrorCode.BAD_REPLY, "garbled", "bytes, and no end")
    assert server.gone.wait(20)


def test_an_error_in_mid_stream(serve: Callable[..., FaultyServer]) -> None:
    def step(handler: Handler) -> None:
        handler.begin()
        handler.event("The")
        handler.send(b'data: {"error": {"message": "the engine died", "code": 500}}\n\n')
        handler.end()

    mllm = client(serve(step).url)
    fails(mllm, ServerAway, ErrorCode.MODEL_NOT_READY, "failing", "the engine died")


# HTTP statuses


def test_busy_then_fine(serve: Callable[..., FaultyServer]) -> None:
    server = serve(status(429, Retry_After="0.05"), status(503), say("now"))
    polls = 0

    def count() -> bool:
        nonlocal polls
        polls += 1
        return False

    assert ask(client(server.url), should_cancel=count) == "now"
    assert len(server.requests) == 3 and polls >= 3


def test_failing_thrice(serve: Callable[..., FaultyServer]) -> None:
    server = serve(status(500))
    mllm = client(server.url)
    fails(mllm, ServerAway, ErrorCode.MODEL_NOT_READY, "failing", "HTTP 500", "scripted 500")
    assert len(server.requests) == 3
    server.steps = [say("now")]
    assert ask(mllm) == "now"


def test_a_server_that_asks_for_a_long_wait_is_not_waited_for(serve: Callable[..., FaultyServer]) -> None:
    server = serve(status(429, Retry_After="3600"))
    fails(client(server.url), ServerAway, ErrorCode.MODEL_NOT_READY, "busy", "HTTP 429")
    assert len(server.requests) == 1


def test_retry_after() -> None:
    from llavaseg_ros.reasoning.served_errors import retry_after

    assert retry_after("7") == 7.0 and retry_after("-7") == 0.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (retry_after("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 1e9
    assert retry_after(None) is None and retry_after("soon") is None and retry_after("nan") is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."),
        (400, "the request exceeds the available context size (4096 tokens), try increasing it"),
        (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"),
    ],
)
def test_too_long(serve: Callable[..., FaultyServer], code: int, message: str) -> None:
    server = serve(status(code, {"error": {"message": message, "type": "BadRequestError", "code": code}}))
    fails(client(server.url), ConversationTooLong, ErrorCode.BAD_REQUEST, "up", message[:40])
    assert len(server.requests) == 1


def test_the_chain_drops_old_turns_when_the_server_says_too_long(serve: Callable[..., FaultyServer]) -> None:
    long = status(400, {"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}})
    server = serve(long, say("It is on the left."))
    history = [Message("user", "old"), Message("assistant", "older")]
    chain = ChainOfThought(client(server.url), load_style("generic"))
    assert chain.chat("where is the mug?", history=history) == "It is on the left."
    lengths = [len(request["messages"]) for request in server.requests]
    assert lengths[1] == lengths[0] - 2


@pytest.mark.parametrize(("code", "word"), [(401, "api_key_env"), (403, "api_key_env"), (400, "bad"), (413, "bad")])
def test_refused(serve: Callable[..., FaultyServer], code: int, word: str) -> None:
    server = serve(status(code, {"error": {"message": "bad thing"}}), say("now"))
    mllm = client(server.url)
    fails(mllm, ServerRefused, ErrorCode.MODEL_NOT_READY, "refused", f"HTTP {code}", "bad thing", word)
    assert len(server.requests) == 1
    assert ask(mllm) == "now"


@pytest.mark.parametrize("code", [404, 400])
def test_an_unknown_model_is_told_with_those_that_there_are(serve: Callable[..., FaultyServer], code: int) -> None:
    step = status(code, {"error": {"message": "The model `big` does not exist."}})
    mllm = client(serve(step, models=["llava-7b", "llava-13b"]).url)
    fails(mllm, ServerRefused, ErrorCode.MODEL_NOT_READY, "refused", "'big'", "llava-7b, llava-13b")


def test_an_address_without_the_protocol(serve: Callable[..., FaultyServer]) -> None:
    mllm = client(serve(status(404), models=status(404)).url)
    fails(mllm, ServerRefused, ErrorCode.MODEL_NOT_READY, "refused", "HTTP 404", "/v1")


@pytest.mark.parametrize("code", [301, 307])
def test_redirects_are_not_followed(
    serve: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setenv("FLEET_KEY", KEY)
    other = serve(say("stolen"))
    server = serve(status(code, Location=f"{other.url}/chat/completions?token=abc"))
    error = fails(
        client(server.url, api_key_env="FLEET_KEY"),
        ServerRefused, ErrorCode.MODEL_NOT_READY, "refused", other.url, "base_url",
    )  # fmt: skip
    assert not other.requests and "token=abc" not in str(error)


# Cancel


def test_cancel_before_the_first_token(serve: Callable[..., FaultyServer]) -> None:
    server = serve(silence, say("now"))
    mllm = client(server.url)
    polls: list[bool] = []

    def cancel() -> bool:
        polls.append(bool(server.requests))
        return polls.count(True) > 5  # polled while the server has the request and says nothing

    with pytest.raises(Cancelled) as caught:
        ask(mllm, should_cancel=cancel)
    assert caught.value.code == ErrorCode.PREEMPTED
    assert server.gone.wait(20)
    assert ask(mllm) == "now"


def test_cancel_in_mid_stream(serve: Callable[..., FaultyServer]) -> None:
    server = serve(stall("The ", "red"), say("now"))
    mllm = client(server.url)
    parts: list[str] = []
    with pytest.raises(Cancelled, match="7 characters"):
        ask(mllm, on_token=parts.append, should_cancel=lambda: "The red" in parts)
    assert server.gone.wait(20)
    assert ask(mllm) == "now"


def test_cancel_while_waiting_to_try_again(serve: Callable[..., FaultyServer]) -> None:
    server = serve(status(503))
    with pytest.raises(Cancelled):
        ask(client(server.url, backoff_s=60.0), should_cancel=lambda: bool(server.requests))
    assert len(server.requests) == 1


def test_cancelled_before_it_began(serve: Callable[..., FaultyServer]) -> None:
    server = serve(say("a"))
    with pytest.raises(Cancelled):
        ask(client(server.url), should_cancel=lambda: True)
    assert not server.requests


def test_an_error_of_the_listener_closes_the_stream(serve: Callable[..., FaultyServer]) -> None:
    server = serve(stall("The "))

    def broken(_: str) -> None:
        raise KeyError("the listener's own")

    with pytest.raises(KeyError):
        ask(client(server.url), on_token=broken)
    assert server.gone.wait(20)


# check(), secrets, settings


def test_check(serve: Callable[..., FaultyServer]) -> None:
    server = serve(say("a"), models=["big", "small"])
    told = client(server.url).check()
    assert told["state"] == "up" and told["models"] == ["big", "small"] and told["model_listed"] is True
    assert not server.requests and json.dumps(told)


@pytest.mark.parametrize(
    ("models", "state"),
    [
        (silence, "slow"),
        (status(500), "failing"),
        (status(401), "refused"),
        (raw(b"<html>", "text/html"), "garbled"),
        (raw(b'{"data": 7}', "application/json"), "garbled"),
        (raw(b"{", "application/json"), "garbled"),
    ],
)
def test_check_of_a_broken_server_tells_and_does_not_raise(
    serve: Callable[..., FaultyServer], models: Step, state: str
) -> None:
    told = client(serve(say("a"), models=models).url).check(timeout_s=0.5 if models is silence else 20.0)
    assert told["state"] == state and told["last_error"] and told["models"] is None


def test_the_key_goes_to_the_server_and_nowhere_else(
    serve: Callable[..., FaultyServer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    image: np.ndarray,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FLEET_KEY", KEY)

    def parrot(handler: Handler) -> None:
        body = json.dumps(handler.faulty.requests[-1])
        status(400, {"error": {"message": f"bad key {handler.headers['authorization']} with {body}"}})(handler)

    server = serve(parrot)
    mllm = client(server.url, api_key_env="FLEET_KEY")
    mllm.set_image(image)
    error = fails(mllm, ServerRefused, ErrorCode.MODEL_NOT_READY, "refused", "bad key")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    url = server.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    for text in (str(error), str(mllm.describe()), repr(mllm.config), caplog.text):
        assert KEY not in text and url[30:80] not in text


def test_nothing_is_taken_from_the_environment(
    serve: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = serve(say("stolen"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: 1")
    monkeypatch.setenv("OPENAI_BASE_URL", other.url)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url.removesuffix("/v1"))
    server = serve(say("mine"))
    assert ask(client(server.url)) == "mine" and not other.requests
    expected = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent", "connection"}
    assert set(server.headers[0]) <= expected


@pytest.mark.parametrize("value", ["", " ", "two words", "nön", "a\nb"])
def test_an_unusable_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLEET_KEY", value)
    with pytest.raises(BadRequest, match="FLEET_KEY") as caught:
        client("http://127.0.0.1:1/v1", api_key_env="FLEET_KEY")
    assert not value.strip() or value not in str(caught.value)


def test_an_unencrypted_way_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "_warned", set())
    for url in (
        "http://10.0.0.7:8000/v1",
        "http://10.0.0.7:8000/v1",
        "https://10.0.0.7/v1",
        "http://localhost:8000/v1",
    ):
        client(url)
    assert [r.getMessage() for r in caplog.records if "not encrypted" in r.getMessage()] == [
        "http://10.0.0.7:8000/v1 is not encrypted: images and commands can be read on the network between"
    ]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "llavaseg_ros.reasoning.served_http")
    with pytest.raises(BundleError, match="pip install 'openai"):
        client("http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "gpu-box:8000"),
        ("base_url", "ftp://gpu-box/v1"),
        ("base_url", "http://"),
        ("base_url", "http://gpu-box:99999/v1"),
        ("base_url", "http://gpu box/v1"),
        ("base_url", "http://gpu-box/v1?key=1"),
        ("base_url", "http://me:secret@gpu-box/v1"),
        ("base_url", "http://gpu-box/v1/chat/completions"),
        ("base_url", None),
        ("model", ""),
        ("model", 7),
        ("api_key_env", "sk-secret"),
        ("connect_timeout_s", 0),
        ("first_token_timeout_s", float("nan")),
        ("token_timeout_s", "5"),
        ("retries", -1),
        ("retries", True),
        ("retries", 1.5),
        ("backoff_s", -0.1),
        ("image_format", "webp"),
        ("jpeg_quality", 101),
        ("extra_body", []),
        ("extra_body", {"stream": False}),
        ("extra_body", {"x": object()}),
    ],
)
def test_settings_are_checked_by_name(field: str, value: Any) -> None:
    with pytest.raises(BadRequest, match=f"^{field}: ") as caught:
        ServedConfig.from_dict({"base_url": "http://gpu-box:8000/v1", "model": "big", field: value})
    assert "secret" not in str(caught.value)


def test_settings_from_a_file() -> None:
    config = ServedConfig.from_dict({"base_url": "https://gpu-box/v1/", "model": "big", "retries": 0})
    assert config.base_url == "https://gpu-box/v1" and config.retries == 0 and config.encrypted
    with pytest.raises(BadRequest, match="'basurl'"):
        ServedConfig.from_dict({"basurl": "https://gpu-box/v1", "model": "big"})
    with pytest.raises(BadRequest, match="'model' is missing"):
        ServedConfig.from_dict({"base_url": "https://gpu-box/v1"})
