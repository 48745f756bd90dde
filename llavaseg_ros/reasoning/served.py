# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A frozen MLLM on a server that speaks the OpenAI protocol (vLLM, SGLang, llama.cpp, `transformers serve`, ...).

A fleet of robots shares one large model; each keeps its own SAM. `docs/fleet.md` says how to run the server.
"""

from __future__ import annotations

import base64
import importlib
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llavaseg_ros.errors import BadRequest, BundleError, Cancelled, LLaVASegError, ServerRefused
from llavaseg_ros.images import jpeg_bytes, png_bytes
from llavaseg_ros.reasoning.base import Message, OnToken, ShouldCancel
from llavaseg_ros.reasoning.feed import Feed
from llavaseg_ros.reasoning.guard import strict_guard
from llavaseg_ros.reasoning.served_config import ServedConfig

__all__ = ["ServedConfig", "ServedMLLM"]

POLL_S = 0.02  # how often should_cancel is asked while nothing comes
MAX_RETRY_AFTER_S = 10.0  # a server that asks for more has its error passed on at once: somebody waits for an answer
CHECK_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)
_warned: set[str] = set()


@dataclass(frozen=True)
class _Status:
    """What is known of the server. Replaced as a whole, so that another thread reads one moment's values."""

    state: str = "unknown"
    last_error: str = ""
    first_token_s: float | None = None
    total_s: float | None = None
    models: tuple[str, ...] | None = None


class ServedMLLM:
    """An MLLM that a server runs; implements the protocol of `base.MLLM`.

    Nothing of a conversation is kept on the server's side but what its own prefix cache keeps: after any error the
    next reply starts afresh, and works as soon as the server does. One user at a time, but `describe` and `check` may
    be called from another thread meanwhile.
    """

    def __init__(self, config: ServedConfig) -> None:
        """Uses no network. Raises BundleError if the `openai` library is missing, BadRequest if the variable that
        `config.api_key_env` names is not set."""
        self.config = config
        self._http, self._errors = _libraries()
        self._key = config.read_key()
        self._guard = strict_guard()
        self._image_url = ""
        self._status = _Status()
        self._status_lock = threading.Lock()
        self._url = f"{config.base_url}/chat/completions"
        if not config.encrypted and not config.on_this_machine and config.base_url not in _warned:
            _warned.add(config.base_url)
            what = "images, commands and the API key" if self._key else "images and commands"
            _log.warning("%s is not encrypted: %s can be read on the network between", config.base_url, what)

    def set_image(self, rgb: np.ndarray) -> None:
        """Take the image of the conversations to come: uint8 [H, W, 3], RGB. It is compressed now, once, so that
        every turn sends the same bytes, and a server with a prefix cache knows them again."""
        if self.config.image_format == "png":
            data, kind = png_bytes(rgb), "png"
        else:
            data, kind = jpeg_bytes(rgb, quality=self.config.jpeg_quality), "jpeg"
        self._image_url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"

    def reset_image(self) -> None:
        """Forget the image."""
        self._image_url = ""

    def reply(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        on_token: OnToken | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> str:
        """Continue a conversation by one assistant turn, decoded greedily; see `base.MLLM.reply`.

        `should_cancel` is polled every 20 ms and at every token; a cancel closes the connection before it raises.
        A request that failed before its first token is sent again, up to `config.retries` times.

        Raises Cancelled, ConversationTooLong, ServerAway, ServerRefused, ServerTimeout, GarbledReply.
        """
        body = self._body(messages, max_new_tokens)
        started = time.monotonic()
        self._note(first_token_s=None, total_s=None)
        for attempt in range(self.config.retries + 1):
            _poll(should_cancel, "")
            try:
                text = self._attempt(body, started, on_token, should_cancel)
            except _Failed as failed:
                wait = self._wait_s(failed.failure, attempt)
                if wait is None:
                    error = self._explained(failed.failure, should_cancel)
                    self._settle(failed.failure.state, str(error))
                    self._note(total_s=time.monotonic() - started)
                    # Not from its cause: that quotes the server, who may have quoted the key, and ends up in a log.
                    raise error from None
                _log.info("trying again in %.1f s: %s", wait, failed.failure.error)
                _sleep(wait, should_cancel)
                continue
            self._settle("up", "")
            self._note(total_s=time.monotonic() - started)
            return text
        raise AssertionError("the last attempt returns or raises")

    def seen_size(self) -> tuple[int, int] | None:
        """None: the server's processor resizes the image as it likes."""
        return None

    def check(self, timeout_s: float = CHECK_TIMEOUT_S) -> dict[str, Any]:
        """Ask the server for its models, and return `describe()` with what came of it. Never raises for the server's
        sake. Some servers list models that they have not loaded, or do not list the one that they have."""
        try:
            names = self._models(timeout_s, None)
        except _Failed as failed:
            self._settle(failed.failure.state, str(failed.failure.error))
            self._note(models=None)
        else:
            self._settle("up", "")
            self._note(models=tuple(names))
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Where the model is and how it does, as plain JSON values. No network.

        state: "unknown" before the first request, then of the last one: "up", "away" (no connection, or it broke),
        "busy" (HTTP 429, 503), "failing" (other 5xx, or an error in mid-stream), "slow" (a time-out), "refused"
        (other 4xx, redirects), "garbled" (not the protocol). last_error: "" when up. first_token_s, total_s: of the
        last request, from its start, retries included; None if it did not get so far. models: of the last `check`.
        """
        now = self._status
        return {
            "name": self.config.model,
            "family": "served",
            "url": self.config.base_url,
            "model": self.config.model,
            "encrypted": self.config.encrypted,
            "state": now.state,
            "last_error": now.last_error,
            "first_token_s": now.first_token_s,
            "total_s": now.total_s,
            "models": None if now.models is None else list(now.models),
            "model_listed": None if now.models is None else self.config.model in now.models,
        }

    def _body(self, messages: Sequence[Message], max_new_tokens: int) -> dict[str, Any]:
        """The arguments of the call: the text of the turns, the image in front of the first one of the user."""
        if not messages or messages[-1].role != "user":
            raise BadRequest("a conversation must end with a turn of the user")
        conversation: list[dict[str, Any]] = []
        image = self._image_url
        for message in messages:
            content: Any = self._guard.clean(message.text)
            if message.role == "user" and image:
                picture = {"type": "image_url", "image_url": {"url": image}}
                content = [picture, {"type": "text", "text": content}]
                image = ""
            conversation.append({"role": message.role, "content": content})
        return {
            "model": self.config.model,
            "messages": conversation,
            "temperature": 0.0,
            "max_tokens": max_new_tokens,
            "extra_body": dict(self.config.extra_body),
        }

    def _attempt(
        self, body: dict[str, Any], started: float, on_token: OnToken | None, should_cancel: ShouldCancel | None
    ) -> str:
        """Send the request once. Raises _Failed or Cancelled; the connection is closed in every case."""
        max_bytes = self._http.REPLY_BYTES + body["max_tokens"] * self._http.TOKEN_BYTES
        feed = Feed(partial(self._http.stream_chat, self.config, self._key, body, max_bytes))
        text = ""
        limit_s = self.config.first_token_timeout_s
        deadline = time.monotonic() + limit_s
        try:
            while (chunk := self._next(feed, self._url, text, deadline, limit_s, should_cancel)) is not None:
                if chunk.text:
                    if not text:
                        self._note(first_token_s=time.monotonic() - started)
                    text += chunk.text
                    if on_token is not None:
                        on_token(text)
                if chunk.finish:
                    break  # complete: whether the server also closes the stream is its own affair
                if chunk.alive:  # events without a token do not count: a server may send them for ever
                    limit_s = self.config.token_timeout_s
                    deadline = time.monotonic() + limit_s
        finally:
            feed.stop()
        if chunk is None or chunk.finish not in self._http.COMPLETE:
            raise _Failed(self._errors.incomplete(self._url, text, chunk.finish if chunk else ""))
        return text

    def _models(self, timeout_s: float, should_cancel: ShouldCancel | None) -> list[str]:
        """The names of the server's models. Raises _Failed or Cancelled."""
        feed = Feed(partial(self._http.list_models, self.config, self._key))
        try:
            url = f"{self.config.base_url}/models"
            names = self._next(feed, url, "", time.monotonic() + timeout_s, timeout_s, should_cancel)
        finally:
            feed.stop()
        return names or []

    def _next(
        self, feed: Feed[Any], url: str, text: str, deadline: float, limit_s: float, should_cancel: ShouldCancel | None
    ) -> Any:
        """The next item of a feed, None at its end. Raises Cancelled, and _Failed for whatever the server did."""
        while True:
            _poll(should_cancel, text)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Failed(self._errors.late(url, text, limit_s))
            try:
                return feed.get(min(POLL_S, left))
            except queue.Empty:
                continue
            except Exception as error:
                raise _Failed(self._errors.failure(error, url, self._key, text)) from error

    def _wait_s(self, failure: Any, attempt: int) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        asked = failure.wait_s or 0.0
        if not failure.retry or attempt >= self.config.retries or asked > MAX_RETRY_AFTER_S:
            return None
        wait = self.config.backoff_s * 2**attempt
        return max(wait + random.uniform(0.0, wait), asked)  # at random, or a fleet comes back all at once

    def _explained(self, failure: Any, should_cancel: ShouldCancel | None) -> LLaVASegError:
        """The failure's error; with the names of the server's models, if the trouble may be the model's name."""
        error: LLaVASegError = failure.error
        if not failure.about_model:
            return error
        try:
            names = self._models(CHECK_TIMEOUT_S, should_cancel)
        except _Failed:
            return ServerRefused(f"{error}; it lists no models either: expected a base_url that ends like /v1")
        if self.config.model in names:
            return error
        known = ", ".join(names[:20]) or "none"
        return ServerRefused(f"{error}; there is no model {self.config.model!r}, the server has: {known}")

    def _settle(self, state: str, error: str) -> None:
        """Take note of how the server is; a change is logged, once."""
        before = self._status.state
        self._note(state=state, last_error=error)
        if state == "up" and before not in ("up", "unknown"):
            _log.info("%s is up again", self.config.base_url)
        elif state not in ("up", before):
            _log.warning("the served model is %s: %s", state, error)

    def _note(self, **changes: Any) -> None:
        with self._status_lock:
            self._status = replace(self._status, **changes)


class _Failed(Exception):
    """One request failed; carries a `served_errors.Failure`."""

    def __init__(self, failure: Any) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


def _libraries() -> tuple[Any, Any]:
    """The modules that need the `openai` library, which only served models do."""
    try:
        http = importlib.import_module("llavaseg_ros.reasoning.served_http")
        return http, importlib.import_module("llavaseg_ros.reasoning.served_errors")
    except ImportError as error:
        command = f"{Path(sys.executable).name} -m pip install 'openai>=3,<4' 'httpx2>=2.7,<3'"
        raise BundleError(f"a served language model needs the openai library ({error}): {command}") from error


def _poll(should_cancel: ShouldCancel | None, text: str) -> None:
    if should_cancel is not None and should_cancel():
        raise Cancelled(f"cancelled after {len(text)} characters" if text else "cancelled before the first token")


def _sleep(seconds: float, should_cancel: ShouldCancel | None) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        _poll(should_cancel, "")
        time.sleep(min(POLL_S, left))
