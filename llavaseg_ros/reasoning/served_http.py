# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One request to a server that speaks the OpenAI protocol, by the `openai` library; imported only where it is needed.

What the library leaves open is decided here: it gets no credentials from the environment, follows no redirect, sends
no header that it does not have to, reads no more than a bound, and retries nothing (`served.py` does).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

# The library would load these with the first request, at the cost of seconds on a small machine.
import openai.resources.chat
import openai.resources.models

from llavaseg_ros.reasoning.served_config import ServedConfig

# On their more talkative levels these write requests and headers down. Whoever wants that can set a level of theirs.
for _name in ("openai", "httpx2", "httpcore2"):
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.WARNING)

MODELS_BYTES = 2**20
# A streamed token costs a few hundred bytes on the wire, most of it the same words around it every time.
TOKEN_BYTES, REPLY_BYTES = 4096, 65_536
# Why a whole reply ends; any other reason (a filter, a call of a tool, a failure) leaves it incomplete.
COMPLETE = ("stop", "length", "eos_token", "stop_sequence")

# Besides the key. The library adds others (its version, the operating system, what it finds in OPENAI_* variables).
_HEADERS = {"host", "accept", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"}


class Unreadable(Exception):
    """What came is not what the protocol says; the text says what came."""


@dataclass(frozen=True)
class Chunk:
    """One event of a reply. text: what it adds; may be empty. alive: the model made a token, be it one not shown
    (of a model that thinks before it speaks). finish: why the reply ended, "" before it has."""

    text: str
    alive: bool
    finish: str


async def stream_chat(
    config: ServedConfig, key: str, body: Mapping[str, Any], max_bytes: int
) -> AsyncGenerator[Chunk, None]:
    """POST {base_url}/chat/completions with stream=true, one Chunk an event.

    body: the arguments of the call. max_bytes: the longest response that is read. Raises the library's errors and
    Unreadable. Closing the generator closes the connection, by which the server knows that nobody listens.
    """
    async with _client(config, key, max_bytes) as client:
        stream = await client.chat.completions.create(stream=True, **body)
        async with stream:
            kind = stream.response.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind != "text/event-stream":
                raise Unreadable(f"content of type {_short(kind) or 'unknown'}, not a stream of events")
            async for event in stream:
                chunk = _chunk(event)
                if chunk is not None:
                    yield chunk


async def list_models(config: ServedConfig, key: str) -> AsyncGenerator[list[str], None]:
    """GET {base_url}/models: yields the names of the server's models, once. Errors as in `stream_chat`."""
    async with _client(config, key, MODELS_BYTES) as client:
        page = await client.models.list()
        data = getattr(page, "data", None)
        if not isinstance(data, list):
            raise Unreadable("JSON without a list of models")
        names = [getattr(model, "id", None) for model in data]
        yield [_short(name) for name in names if isinstance(name, str)]


def _client(config: ServedConfig, key: str, max_bytes: int) -> openai.AsyncOpenAI:
    # A client lives for one request. Making one takes less than a millisecond, nothing stays open between commands,
    # and no request is lost on a connection that the server closed while nobody looked.
    transport = _Transport(config, max_bytes, with_key=bool(key))
    timeout = httpx2.Timeout(None, connect=config.connect_timeout_s)  # the other limits are kept by the caller
    # trust_env: a proxy of the environment (HTTP_PROXY) would get images that the settings send elsewhere.
    client = httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)
    return openai.AsyncOpenAI(
        api_key=key or "none",  # the library wants one; the transport sends it only if there is one
        base_url=config.base_url,
        http_client=client,
        max_retries=0,
        timeout=timeout,
    )


class _Transport(httpx2.AsyncBaseTransport):
    """Sends only the headers that are needed, and reads only so many bytes."""

    def __init__(self, config: ServedConfig, max_bytes: int, *, with_key: bool) -> None:
        verify: ssl.SSLContext | bool = ssl.create_default_context() if config.encrypted else False
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False)
        self._max_bytes = max_bytes
        self._headers = _HEADERS | ({"authorization"} if with_key else set())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in set(request.headers) - self._headers:
            del request.headers[name]
        # A few bytes that unpack to gigabytes are not bounded by a count of bytes.
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            await response.aclose()
            raise Unreadable(f"compressed content ({_short(encoding)}), which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._max_bytes)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to a bound."""

    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._inner:
            seen += len(part)
            if seen > self._max_bytes:
                raise Unreadable(f"more than {self._max_bytes} bytes, and no end")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def _chunk(event: Any) -> Chunk | None:
    """The first choice of an event; None if it has none (usage figures, say). The library does not check types."""
    choices = getattr(event, "choices", None)
    if choices is None or not isinstance(choices, list):
        raise Unreadable("an event without choices")
    if not choices:
        return None
    choice = choices[0]
    if not (hasattr(choice, "delta") or hasattr(choice, "finish_reason")):
        raise Unreadable("an event whose choice is no object")
    delta = getattr(choice, "delta", None)
    text = getattr(delta, "content", None) or ""
    finish = getattr(choice, "finish_reason", None) or ""
    if not isinstance(text, str) or not isinstance(finish, str):
        raise Unreadable("an event whose content is not text")
    # vLLM and SGLang call it reasoning_content, newer releases reasoning.
    hidden = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
    return Chunk(text, bool(text or hidden), finish)


def _short(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:120])
