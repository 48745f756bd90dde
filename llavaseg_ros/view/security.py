# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the page: names of the host, tokens, and where a POST comes from.

The page shows a camera and moves a robot's attention, so it is careful also on loopback, where other web pages of the
same browser can reach it: a Host header that is not ours (DNS rebinding) and a POST from another origin (CSRF) are
refused. Away from loopback there is a token in addition.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.cookies import CookieError, SimpleCookie

from llavaseg_ros.errors import BadRequest

Headers = Mapping[str, str] | Message

MIN_TOKEN_LENGTH, MAX_TOKEN_LENGTH = 12, 200
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]+")

# The page needs nothing but its own files; pictures may also come from memory (blob:).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: dict[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": the form that asks for the token would then come from the origin "null".
    "Referrer-Policy": "same-origin",
    # No other site may show our pictures or get hold of our window.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered. `status`: the HTTP status; the text says what is wrong and what was expected."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def new_token() -> str:
    """A token that nobody guesses: 144 random bits, URL-safe."""
    return secrets.token_urlsafe(18)


def check_token(token: str) -> str:
    """A token that a person chose. Raises BadRequest when it is too short, too long, or would not survive a URL."""
    if not MIN_TOKEN_LENGTH <= len(token) <= MAX_TOKEN_LENGTH:
        raise BadRequest(f"token: {len(token)} characters; expected {MIN_TOKEN_LENGTH} to {MAX_TOKEN_LENGTH}")
    if not _TOKEN.fullmatch(token):
        raise BadRequest("token: expected letters, digits and the signs - _ . ~ only")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def host_name(header: str) -> str:
    """The name in a Host header, in lower case and without its port: "[::1]:8088" -> "::1". "" when it is malformed."""
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::\d{1,5})?", header.strip().lower())
    return (match[1] or match[2]).rstrip(".") if match else ""


@dataclass(frozen=True)
class Gate:
    """Decides about requests. host: the address that is listened on. token: "" = none is asked for.

    names: further names by which browsers may call this machine (behind a proxy, for one).
    """

    host: str
    token: str = ""
    names: frozenset[str] = frozenset()
    cookie: str = "llavaseg_view"

    @classmethod
    def make(cls, host: str, port: int, token: str = "", names: Iterable[str] = ()) -> Gate:
        """A gate for this address. Makes a token where one is needed and none is given. Raises BadRequest."""
        if token:
            check_token(token)
        elif not is_loopback(host):
            token = new_token()
        own = {name.lower() for name in (host, *names) if name}
        if not is_loopback(host):
            own |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        # Cookies do not tell ports apart: two viewers on one machine must not sign each other out.
        return cls(host, token, frozenset(own), f"llavaseg_view_{port}")

    def check_host(self, header: str | None) -> None:
        """Raise Refused when the browser was led here under a name that is not ours.

        Away from loopback any bare address passes: rebinding needs a name. On loopback only loopback's own do.
        """
        name = host_name(header or "")
        address = _address(name)
        if name == "localhost" or name in self.names:
            return
        if address is not None and (address.is_loopback or not is_loopback(self.host)):
            return
        expected = ", ".join(sorted(self.names | {"localhost"}))
        raise Refused(421, f"Host {header!r:.120} is not this page; expected {expected}")

    def check_origin(self, headers: Headers) -> None:
        """Raise Refused when a POST comes from another page than ours. A browser always says where it comes from."""
        origin, host = headers.get("Origin"), headers.get("Host", "")
        if origin is None:
            raise Refused(403, f"a POST without an Origin header; expected Origin: http://{host}")
        if origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise Refused(403, f"Origin {origin!r} is not this page; expected http://{host}")
        if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise Refused(403, "a POST from another site")

    def knows(self, headers: Headers) -> bool:
        """Whether a request carries the token, as a cookie or as `Authorization: Bearer`; true where none is asked."""
        if not self.token:
            return True
        kind, _, given = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return True
        try:
            morsel = SimpleCookie(headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and self.is_token(morsel.value)

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes the same time for every wrong one of a length."""
        return bool(self.token) and hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def set_cookie(self) -> str:
        """The value of a Set-Cookie header for whoever has shown the token."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
