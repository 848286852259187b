"""Who may talk to the server."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from guided_seg.app.guards import COOKIE, POLICY, Guard, is_loopback

HOSTS = ("127.0.0.1", "localhost", "::1")


def client(token: str | None = None, base: str = "http://127.0.0.1:8765") -> TestClient:
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    routes = [
        Route("/", lambda _: PlainTextResponse("the page"), methods=["GET", "POST"]),
        WebSocketRoute("/socket", socket),
    ]
    return TestClient(Guard(Starlette(routes=routes), HOSTS, token), base_url=base)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "[::1]:80", "LOCALHOST"])
def test_the_names_of_the_server_are_answered(host: str) -> None:
    response = client().get("/", headers={"host": host})
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8765", "", "0.0.0.0", "127.0.0.1@evil.example", "["],
)
def test_other_names_are_refused(host: str) -> None:
    response = client().get("/", headers={"host": host})
    assert response.status_code == 421
    assert "open the address that it printed" in response.text


ORIGINS = ["http://evil.example", "https://127.0.0.1.evil.example", "null", "", "http://127.0.0.1:9999", "http://["]


@pytest.mark.parametrize("origin", [None, *ORIGINS])
def test_a_change_from_another_site_is_refused(origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    response = client().post("/", headers=headers)
    assert response.status_code == 403
    with pytest.raises(WebSocketDisconnect) as caught, client().websocket_connect("/socket", headers=headers):
        pytest.fail("connected")
    assert caught.value.code == 1008


def test_a_change_from_the_page_is_taken() -> None:
    headers = {"origin": "http://127.0.0.1:8765"}
    assert client().post("/", headers=headers).status_code == 200
    own = {"origin": "http://testserver", "host": "testserver"}
    guarded = client()
    guarded.app.hosts = frozenset({"testserver"})  # type: ignore[attr-defined]
    with guarded.websocket_connect("/socket", headers=own) as socket:
        assert socket.receive_text() == "hello"


def test_beyond_loopback_the_token_opens_the_page_and_a_cookie_keeps_it_open() -> None:
    guarded = client(token="secret")
    for wrong in ("/", "/?token=", "/?token=secre", "/?token=secrets", "/?token=%C3%A4"):
        response = guarded.get(wrong)
        assert response.status_code == 401
        assert "whole address" in response.text
    response = guarded.get("/?token=secret")
    assert response.status_code == 200
    assert "HttpOnly" in response.headers["set-cookie"]
    assert "SameSite=Strict" in response.headers["set-cookie"]
    assert guarded.get("/").status_code == 200
    assert client(token="secret").get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
