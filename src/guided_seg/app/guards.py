"""Who may talk to the server: addresses, origins, a token, and headers that keep a page to itself."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "guided_seg_token"

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""Content security policy: the page loads nothing from elsewhere, runs no inline script, and sits in no frame."""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


class Guard:
    """ASGI middleware that refuses requests from elsewhere.

    - The ``Host`` header must name this server. Otherwise a web page could reach it by DNS rebinding.
    - The ``Origin`` header of a websocket, and of every request that changes something, must be this server.
    - Beyond loopback, each request needs the token: in the address once, then in a cookie; or as the password of basic
      authentication.

    Args:
        app: what is guarded.
        hosts: names by which the server may be called, without port.
        token: the token; None if the server listens on loopback.
        programs: paths that other programs call with JSON. They send no ``Origin``, as every browser does.
    """

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], token: str | None = None, programs: Iterable[str] = ()
    ) -> None:
        self.app, self.hosts, self.token = app, frozenset(host.lower() for host in hosts), token
        self.programs = frozenset(programs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, text = refusal
            if scope["type"] == "websocket":
                await WebSocketClose(code=1008, reason=text)(scope, receive, send)
            else:
                await PlainTextResponse(f"{text}\n", status_code=status)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                own["Content-Security-Policy"] = POLICY
                own["X-Content-Type-Options"] = "nosniff"
                own["Referrer-Policy"] = "no-referrer"
                own["Cross-Origin-Resource-Policy"] = "same-origin"
                if self.token is not None and _in_query(scope):
                    own.append("Set-Cookie", f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = _split(f"//{headers.get('host', '')}").hostname
        if len(headers.getlist("host")) != 1 or host not in self.hosts:
            return (
                421,
                f"This server answers to {', '.join(sorted(self.hosts))} only; open the address that it printed.",
            )
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope.get("method") not in ("GET", "HEAD")
        if origin is None and scope["path"] in self.programs:
            changes = headers.get("content-type", "").partition(";")[0].strip() != "application/json"
        if changes and (origin is None or _split(origin).netloc.lower() != headers["host"].lower()):
            return 403, "The request comes from another site; open the page itself."
        if self.token is not None and not self._knows(scope, headers):
            return 401, "The token is missing or wrong; open the whole address that the server printed."
        return None

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return False
        given = [*_in_query(scope), *([cookies[COOKIE].value] if COOKIE in cookies else []), *_password(headers)]
        return any(hmac.compare_digest(each.encode(), (self.token or "").encode()) for each in given)


def _in_query(scope: Scope) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])


def _password(headers: Headers) -> list[str]:
    """The password of basic authentication, if there is one."""
    kind, _, text = headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return []
    try:
        return [base64.b64decode(text, validate=True).decode().partition(":")[2]]
    except ValueError:
        return []


def _split(address: str) -> SplitResult:
    """The parts of an address; all empty if it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
