# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The settings of a served language model: where the server is, how long to wait, how an image travels."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from llavaseg_ros.errors import BadRequest

IMAGE_FORMATS = ("jpeg", "png")
# What ServedMLLM says in every request; a second value for one of them would be an argument with itself.
_OURS = ("model", "messages", "stream", "temperature", "max_tokens")


@dataclass(frozen=True)
class ServedConfig:
    """A server that speaks the OpenAI protocol, and what to expect of it. Raises BadRequest, naming the field.

    base_url: up to and with /v1, as in "http://gpu-box:8000/v1"; no user, password, query or fragment.
    model: the name that the server knows the model by (`GET {base_url}/models` lists them).
    api_key_env: the *name* of the environment variable that holds the key; "" if the server wants none.
    connect_timeout_s: until the connection stands. first_token_timeout_s: from sending a request to its first token,
    the upload of the image and the server's queue included. token_timeout_s: from one token to the next. All > 0.
    retries: how often a request is sent again if it failed before its first token, 0 to 10.
    backoff_s: the wait before the first retry; it doubles every time, and a random part of up to as much is added.
    image_format: "jpeg", or "png" (without loss, several times as large). jpeg_quality: 1 to 100.
    extra_body: further keys of the request's JSON body, for what a server has beyond the protocol.
    """

    base_url: str
    model: str
    api_key_env: str = ""
    connect_timeout_s: float = 3.0
    first_token_timeout_s: float = 30.0
    token_timeout_s: float = 10.0
    retries: int = 2
    backoff_s: float = 0.5
    image_format: str = "jpeg"
    jpeg_quality: int = 90
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        if not isinstance(self.model, str) or not self.model.strip():
            raise BadRequest(f"model: got {self.model!r}, expected the name that the server knows the model by")
        if not isinstance(self.api_key_env, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", self.api_key_env):
            # What was got is not shown: the likeliest mistake is the key itself.
            raise BadRequest("api_key_env: expected the name of an environment variable (not the key), or nothing")
        for name in ("connect_timeout_s", "first_token_timeout_s", "token_timeout_s"):
            _check_number(name, getattr(self, name), 0.001, 86_400.0)
        _check_number("backoff_s", self.backoff_s, 0.0, 60.0)
        _check_integer("retries", self.retries, 0, 10)
        _check_integer("jpeg_quality", self.jpeg_quality, 1, 100)
        if self.image_format not in IMAGE_FORMATS:
            raise BadRequest(f"image_format: got {self.image_format!r}, expected one of {', '.join(IMAGE_FORMATS)}")
        _check_extra(self.extra_body)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ServedConfig:
        """Settings as a file holds them. Raises BadRequest for an unknown, a missing or an unusable one."""
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(str(key) for key in data if key not in known):
            raise BadRequest(f"served model: unknown setting {unknown[0]!r}, expected {', '.join(sorted(known))}")
        for name in ("base_url", "model"):
            if name not in data:
                raise BadRequest(f"served model: the setting {name!r} is missing")
        return cls(**data)

    def read_key(self) -> str:
        """The API key from the environment, "" if none is named. BadRequest, which does not show it, if unusable."""
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise BadRequest(
                f"api_key_env: {self.api_key_env} is not set in the environment, expected the server's key"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise BadRequest(f"api_key_env: {self.api_key_env} holds no key: expected printable ASCII without spaces")
        return key

    @property
    def encrypted(self) -> bool:
        """Whether what travels is encrypted."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def on_this_machine(self) -> bool:
        """Whether the address is a loopback one, so that nothing travels over a network."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _check_url(url: Any) -> None:
    expected = "expected http://HOST:PORT/v1 or https://HOST/v1"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        sound = False
    if not isinstance(url, str) or not sound or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise BadRequest(f"base_url: {expected}, got {_without_user(url)!r}")
    if "@" in parts.netloc:
        raise BadRequest(f"base_url: {expected}, without user or password; a key belongs in api_key_env")
    if parts.query or parts.fragment:
        raise BadRequest(f"base_url: {expected}, got one with a query or a fragment")
    if parts.path.rstrip("/").endswith("/completions"):
        raise BadRequest(f"base_url: {expected}: the path of the call is added to it, got {url!r}")


def _without_user(url: Any) -> str:
    return re.sub(r"//[^/]*@", "//", str(url))[:200]


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # nor NaN
        raise BadRequest(f"{name}: got {value!r}, expected a number of seconds from {low:g} to {high:g}")


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequest(f"{name}: got {value!r}, expected a whole number from {low} to {high}")


def _check_extra(extra: Any) -> None:
    if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
        raise BadRequest(f"extra_body: got {type(extra).__name__}, expected keys and values of JSON")
    if clash := [key for key in _OURS if key in extra]:
        raise BadRequest(f"extra_body: {clash[0]!r} is set by every request itself")
    try:
        json.dumps(dict(extra), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"extra_body: expected values that JSON can hold ({error})") from error
