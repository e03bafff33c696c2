"""What every request passes before a page sees it, and what every answer carries.

Promises:

1. A request for a host name that is not this server's own gets nothing: a page of others whose name leads here (DNS
   rebinding) reads and changes nothing.
2. What changes something is taken only from a page of this server: Origin and Sec-Fetch-Site say so.
3. Without a session there is nothing but the login, health, the style sheet and, where that is allowed, the metrics.
4. A body has at most BODY_BYTES, and arrives within BODY_TIME.
5. No answer is kept, framed or guessed at by a browser, and none runs a script or loads anything of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 << 10
"""Of a request: the longest form there is has a reason in it."""
BODY_TIME = 10.0
"""Seconds in which a body must have arrived."""
LOOKS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser hides the Origin of a form from this server, too
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Doors:
    """Guards `app`. `hosts`: the names, without a port, under which it is reached. `may_pass`: whether a request is
    answered that has no session; `refused` makes the answer to one that may not."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str],
        may_pass: Callable[[HTTPConnection], bool],
        refused: Callable[[], Response],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._may_pass = may_pass
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if (refusal := self._refusal(scope, headers)) is not None:
            await refusal(scope, receive, guarded)
            return
        if scope["method"] in LOOKS:
            await self._app(scope, receive, guarded)
            return
        body = await _body(headers, receive)
        if isinstance(body, Response):
            await body(scope, receive, guarded)
        else:
            await self._app(scope, _received(body), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_of(hosts[0]) not in self._hosts:
            return PlainTextResponse("This server is not known by that name: start it with --host NAME.\n", 421)
        if scope["method"] not in LOOKS and not _is_from_here(headers):
            return PlainTextResponse("This is taken only from a page of this server.\n", 403)
        if not self._may_pass(HTTPConnection(scope)):
            return self._refused()
        return None


def host_of(netloc: str) -> str:
    """The host of HOST or HOST:PORT, in small letters and without brackets; empty: it is neither."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


def _is_from_here(headers: Headers) -> bool:
    """Whether a browser says of a request that a page of this server makes it; programs that are none say nothing."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in {None, "same-origin"}:
        return False
    if origin is None:
        return site is not None
    return urlsplit(origin).netloc.lower() == headers["host"].lower()


async def _body(headers: Headers, receive: Receive) -> bytes | Response:
    """All of it, or why it is not taken."""
    too_long = PlainTextResponse(f"A request has at most {BODY_BYTES} bytes.\n", 413, {"connection": "close"})
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > BODY_BYTES:
        return too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > BODY_BYTES:
                    return too_long
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return PlainTextResponse(f"No whole request within {BODY_TIME:g} s.\n", 408, {"connection": "close"})


def _received(body: bytes) -> Receive:
    """Hands on what has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
