# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a failed request to a served model means, in words for a person: no key and no image in any of them."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import openai

from llavaseg_ros.errors import GarbledReply, LLaVASegError, ServerAway, ServerRefused, ServerTimeout
from llavaseg_ros.reasoning.base import ConversationTooLong
from llavaseg_ros.reasoning.served_http import Unreadable

# How vLLM, SGLang, llama.cpp, TGI and OpenAI say it; none agrees with another, and only some have a code for it.
_TOO_LONG = re.compile(
    r"context[ _]?(length|size|window)|maximum[ _](model|sequence)[ _]length|max_model_len|exceed_context"
    r"|too long to fit|prompt is too long|too many (input )?tokens|longer than the (model|maximum)"
    r"|inputs.{0,20}tokens.{0,40}must be",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model.{0,200}(not found|not exist|unknown|no such|not available)", re.I | re.S)
_BLOB = re.compile(r"data:[\w/+.-]*;base64,[A-Za-z0-9+/=_\\-]*|[A-Za-z0-9+/=_-]{120,}")
_MAX_TEXT = 300


@dataclass(frozen=True)
class Failure:
    """error: what is raised in the end. state: what it says about the server. retry: whether the same request may
    succeed later, and `wait_s` after how long, if the server said so. about_model: the model's name may be wrong."""

    error: LLaVASegError
    state: str
    retry: bool = False
    wait_s: float | None = None
    about_model: bool = False


def failure(error: Exception, url: str, key: str, said: str = "") -> Failure:
    """What an exception of `served_http` means. url: what was asked for. said: the text that had come before it.

    An exception that no server can cause is raised again.
    """
    cause = _first_of(error, Unreadable)
    if cause is not None:
        return _garbled(url, str(cause), said)
    if isinstance(error, openai.APIStatusError):
        return _status(error, url, key)
    if isinstance(error, openai.APIConnectionError):
        if said:
            text = f"{url}: the connection broke after {len(said)} characters of the reply ({_why(error)})"
            return Failure(ServerAway(text), "away")
        late = isinstance(error, openai.APITimeoutError)
        what = "no connection in time" if late else f"no answer ({_why(error)})"
        return Failure(ServerAway(f"{url}: {what}; expected a server that speaks the OpenAI protocol"), "away", True)
    if isinstance(error, openai.APIError):  # an error among the events of a stream that began well
        told = clean(_message(error.body) or error.message, key)
        if not said and _TOO_LONG.search(told):
            return Failure(ConversationTooLong(f"{url}: {told}"), "up")
        return Failure(ServerAway(f"{url}: the server broke off its reply: {told}"), "failing")
    if isinstance(error, (ValueError, TypeError, AttributeError, LookupError, RecursionError)):
        # From json, pydantic and the library's reading of what json gave.
        return _garbled(url, f"what cannot be read ({type(error).__name__})", said)
    raise error


def clean(text: Any, key: str) -> str:
    """A server's words, fit for a log: one line, at most 300 characters, without the key or any image."""
    words = str(text)[:20_000]
    if key:
        words = words.replace(key, "***")
    words = _BLOB.sub("(data)", words)
    words = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    return words if len(words) <= _MAX_TEXT else words[: _MAX_TEXT - 1] + "…"


def late(url: str, said: str, limit_s: float) -> Failure:
    """Nothing came for longer than the settings allow."""
    what = f"no token for {limit_s:g} s after {len(said)} characters" if said else f"no answer within {limit_s:g} s"
    return Failure(ServerTimeout(f"{url}: {what}; expected the server to be faster, or a longer time-out"), "slow")


def incomplete(url: str, said: str, finish: str) -> Failure:
    """A stream that ended in good order before the reply did. finish: the reason that the server gave, or ""."""
    if finish:
        text = f"{url}: the server ended the reply with {clean(finish, '')!r}; expected 'stop' or 'length'"
        return Failure(GarbledReply(text, said), "garbled")
    text = f"{url}: the stream ended after {len(said)} characters without a finish_reason; expected a complete reply"
    return Failure(ServerAway(text), "away", retry=not said)


def _status(error: openai.APIStatusError, url: str, key: str) -> Failure:
    status = error.status_code
    told = clean(_message(error.body) or "no message", key)
    text = f"{url}: HTTP {status}: {told}"
    if 300 <= status < 400:
        return Failure(ServerRefused(f"{url}: HTTP {status}: {_redirect(error, url)}"), "refused")
    if status in (400, 413, 422) and _TOO_LONG.search(told):
        return Failure(ConversationTooLong(text), "up")
    if status == 429 or status >= 500:
        state = "busy" if status in (429, 503) else "failing"
        wait = retry_after(error.response.headers.get("retry-after"))
        return Failure(ServerAway(text), state, retry=True, wait_s=wait)
    if status in (401, 403):
        text += " (expected: a key that the server accepts, in the variable that api_key_env names)"
    about_model = status == 404 or (status in (400, 422) and bool(_NO_MODEL.search(told)))
    return Failure(ServerRefused(text), "refused", about_model=about_model)


def retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None if it is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None


def _redirect(error: openai.APIStatusError, url: str) -> str:
    parts = urlsplit(urljoin(url, error.response.headers.get("location", "")))
    place = clean(f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}", "")
    return f"the server points to {place}, which is not followed; if that is right, change base_url"


def _garbled(url: str, what: str, said: str) -> Failure:
    text = f"{url}: got {what}; expected a streamed reply of the OpenAI protocol"
    return Failure(GarbledReply(text, said), "garbled")


def _message(body: Any) -> str:
    """The server's own words in an error's body, wherever it has put them."""
    for name in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(name):
            body = body[name]
    return body if isinstance(body, str) else str(body or "")


def _first_of(error: BaseException, kind: type[Exception]) -> BaseException | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__
    return cause


def _why(error: BaseException) -> str:
    """The innermost reason, for the library's own text is always "Connection error."."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.errno and error.errno > 0 and "Errno" not in str(error.strerror):
        return os.strerror(error.errno)
    return clean(error, "") or type(error).__name__
