"""Pages, pictures, uploads and downloads over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.networks import network
from support.pages import BASE, ORIGIN, picture, unpacked, write_image

from guided_seg.app.desk import Desk
from guided_seg.app.opening import add_all, collection_of, existing, unused, work_folder
from guided_seg.app.running import listen, names_of
from guided_seg.app.server import MOST_DESKS, Desks, make_app, packed_folder
from guided_seg.app.uploads import Limits
from guided_seg.errors import UserError
from guided_seg.formats import FORMATS
from guided_seg.formats.saving import Progress, Step
from guided_seg.session import Session


def test_the_address_leads_to_a_page(client: TestClient) -> None:
    response = client.get("/")
    assert response.url.path == "/s/main"
    assert "<canvas" in response.text
    assert client.get("/static/main.js").status_code == 200


@pytest.mark.parametrize("name", ["a b", "MAIN", "a" * 41, "%2e%2e%2fetc", "größe"])
def test_a_page_has_a_plain_name(client: TestClient, name: str) -> None:
    response = client.get(f"/s/{name}")
    assert response.status_code in (400, 404)
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "path",
    ["../server.py", "%2e%2e/server.py", "..%2fserver.py", "%2e%2e%2f%2e%2e%2fsession%2fsession.py", "/etc/passwd"],
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


@pytest.mark.parametrize("name", ["a", "größe 1", "clip#2"])
def test_pictures_are_those_of_the_session(client: TestClient, desk: Desk, name: str) -> None:
    response = client.get(f"/s/main/image/{name.replace('#', '%23')}")
    shown = np.array(Image.open(io.BytesIO(response.content)))
    expected = desk.pixels(name).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 4
    small = Image.open(io.BytesIO(client.get(f"/s/main/image/{name.replace('#', '%23')}?w=20").content))
    assert small.size == (20, 15)


@pytest.mark.parametrize(
    "name", ["nobody", "clip%2399", "clip%23x", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "a?w=-1", "a?w=x"]
)
def test_a_picture_that_is_not_there(client: TestClient, name: str) -> None:
    response = client.get(f"/s/main/image/{name}")
    assert response.status_code in (400, 422)
    assert "Traceback" not in response.text


@pytest.mark.parametrize("name", FORMATS)
def test_everything_can_be_exported(client: TestClient, name: str) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text(json.dumps({"n": 1, "do": "dot", "image": "a", "row": 5, "column": 6, "label": 1}))
        socket.send_text(json.dumps({"n": 2, "do": "dot", "image": "a", "row": 30, "column": 40, "label": 0}))
        response = client.get(f"/s/main/export?format={name}")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith(f'attachment; filename="images-{name}.')
    if response.headers["content-type"] == "application/zip":
        assert zipfile.ZipFile(io.BytesIO(response.content)).testzip() is None
    assert len(response.content) > 100


@pytest.mark.parametrize(
    ("query", "images"),
    [("", 3), ("&annotated=false&refined=false", 3), ("&annotated=true", 1), ("&annotated=true&refined=true", 1)],
)
def test_what_is_exported_can_be_chosen(client: TestClient, query: str, images: int) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text(json.dumps({"n": 1, "do": "dot", "image": "a", "row": 5, "column": 6, "label": 1}))
        response = client.get(f"/s/main/export?format=masks{query}")
    names = zipfile.ZipFile(io.BytesIO(response.content)).namelist()
    assert len([name for name in names if name.startswith("masks/")]) == images


def test_an_export_is_named_after_what_was_opened(make_desk: Callable[..., Desk], photos: Path) -> None:
    several = [photos / "größe 1.png", photos / "a.png"]
    assert [collection_of(paths) for paths in ([photos], several, several[:1])] == ["photos", "photos", "größe 1"]
    app = make_app(Desks(make_desk), Limits(), ["localhost"], collection=collection_of(several[:1]))
    address = "ws://localhost/s/main/socket"
    with TestClient(app, base_url=BASE) as client, client.websocket_connect(address, headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text(json.dumps({"n": 1, "do": "dot", "image": "a", "row": 5, "column": 6, "label": 1}))
        response = client.get("/s/main/export?format=masks")
    coded = "gr%C3%B6%C3%9Fe%201-masks.zip"
    assert response.headers["content-disposition"] == f"attachment; filename*=utf-8''{coded}"


def test_refined_videos_are_refused(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text(json.dumps({"n": 1, "do": "dot", "image": "a", "row": 5, "column": 6, "label": 1}))
        response = client.get("/s/main/export?format=davis&refined=true")
    assert response.status_code == 400
    assert "refined answers are of images" in response.json()["text"]


def test_an_export_ends_when_its_page_is_gone(make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def endless(*_: object, progress: Progress, **__: object) -> None:
        for number in range(1, 10_000):
            time.sleep(0.01)
            try:
                progress(Step(number, None, "it"))
            except UserError as error:
                ended.append(str(error))
                raise

    monkeypatch.setattr("guided_seg.app.desk.write", endless)
    app = make_app(Desks(make_desk), Limits(), ["localhost"])
    coming = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(coming, {"type": "http.disconnect"})

    async def send(_: object) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/s/main/export", "query_string": b"format=masks"}
    asyncio.run(app(scope | {"headers": [(b"host", b"localhost")]}, receive, send))  # type: ignore[arg-type]
    assert ended == ["The export was cancelled."]


@pytest.mark.parametrize("query", ["", "?format=", "?format=elephant", "?format=../masks"])
def test_an_export_of_nothing(client: TestClient, query: str) -> None:
    response = client.get(f"/s/main/export{query}")
    assert response.status_code in (400, 422)
    assert "Traceback" not in response.text


def test_an_export_before_the_first_dot_says_what_to_do(client: TestClient) -> None:
    response = client.get("/s/main/export?format=masks")
    assert response.status_code == 400
    assert len(response.json()["text"].split()) >= 5


def test_a_second_page_has_its_own_session(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as first:
        assert json.loads(first.receive_text())["id"] == "main"
        with client.websocket_connect("ws://localhost/s/main/socket?first", headers=ORIGIN) as polite:
            assert json.loads(polite.receive_text()) == {"type": "elsewhere", "address": "/s/2"}
        with client.websocket_connect("ws://localhost/s/2/socket", headers=ORIGIN) as second:
            assert json.loads(second.receive_text())["id"] == "2"
            first.send_text(json.dumps({"n": 1, "do": "dot", "image": "a", "row": 5, "column": 6, "label": 1}))
            assert json.loads(first.receive_text())["type"] == "dots"
            second.send_text(json.dumps({"n": 1, "do": "look", "image": "a"}))
            assert not unpacked(second.receive_bytes())["pixels"].any()


def test_the_same_page_twice_says_goodbye_to_the_first(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as first:
        first.receive_text()
        with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as second:
            assert json.loads(second.receive_text())["type"] == "state"
            assert json.loads(first.receive_text()) == {"type": "bye", "text": "This page was opened in another tab."}


def test_bytes_and_nonsense_on_the_socket_are_refused(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as socket:
        socket.receive_text()
        bytes_came, unread = "A message of bytes came; messages are JSON text.", "A message that cannot be read came"
        for send, message, said in (
            (socket.send_bytes, b"\xff\x00", bytes_came),
            (socket.send_text, "{", unread),
            (socket.send_text, "[]", unread),
        ):
            send(message)  # type: ignore[operator]
            answer = json.loads(socket.receive_text())
            assert answer["type"] == "error"
            assert answer["text"].startswith(said)
        socket.send_text(json.dumps({"n": 1, "do": "look", "image": "a"}))
        assert unpacked(socket.receive_bytes())["image"] == "a"


def test_a_socket_of_a_page_that_cannot_be(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/s/NO/socket", headers=ORIGIN) as socket:
        assert json.loads(socket.receive_text())["type"] == "bye"


def test_there_are_only_so_many_pages() -> None:
    desks = Desks(lambda _: Desk.__new__(Desk))
    for number in range(MOST_DESKS):
        desks.get(str(number))
    with pytest.raises(UserError, match="64 pages"):
        desks.get("more")


def test_work_is_kept_by_what_is_opened(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    assert work_folder([one], "x") == work_folder([one], "x")
    assert len({work_folder([one], "x"), work_folder([other], "x"), work_folder([one], "y")}) == 3
    with pytest.raises(UserError, match="There is no"):
        existing([str(one)])


def test_what_a_saved_session_has_is_not_added_again(make_desk: Callable[..., Desk], desk: Desk, photos: Path) -> None:
    desk.wait_for(lambda session: session.dot("a", 1, 1, 1))
    desk.end()
    again = make_desk().session
    names = [*again.images, *again.videos]
    assert add_all(again, [photos]) == []
    assert [*again.images, *again.videos] == names


def test_an_address_that_is_not_there_says_so(client: TestClient) -> None:
    response = client.get("/wrong/page.html")
    assert response.status_code == 404
    assert "open the address" in response.json()["text"]


def test_a_link_that_leads_out_is_refused(desk: Desk, photos: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "private" / "secret.png", picture(7))
    write_image(tmp_path / "private" / "frames" / "0.png", picture(8))
    (photos / "link.png").symlink_to(tmp_path / "private" / "secret.png")
    (photos / "film").symlink_to(tmp_path / "private" / "frames")
    (photos / "inside.png").symlink_to(photos / "clip" / "00000.png")
    refused = desk.wait_for(lambda session: add_all(session, [photos]))
    assert [sentence.partition(" is a link to ")[0] for sentence in refused] == [
        str(photos / "link.png"),
        str(photos / "film"),
    ]
    assert {"link", "film"}.isdisjoint([*desk.session.images, *desk.session.videos])
    assert "inside" in desk.session.images


def test_names_that_are_taken_get_a_number(desk: Desk) -> None:
    assert [unused(desk.session, name) for name in ("a", "new", "clip#3", "")] == [
        "a (2)",
        "new",
        "clip#3 (2)",
        "image",
    ]


def test_a_name_with_a_number_sign_is_kept(desk: Desk, photos: Path) -> None:
    for name in ("b#1.png", "clip#1.png", "b/0.png"):  # with `clip`, the second would be one of its frames
        write_image(photos / name, picture(1))
    session = Session(network("late_global"))
    assert add_all(session, [photos]) == []
    assert {"b#1", "clip#1"} < {*session.images}
    assert session.videos == ["b (2)", "clip (2)"]
    assert desk.wait_for(lambda session: unused(session, "b#1")) == "b#1"


def test_a_port_that_is_taken() -> None:
    taken = listen("127.0.0.1", 0)
    try:
        with pytest.raises(UserError, match="choose another with port="):
            listen("127.0.0.1", taken.getsockname()[1])
    finally:
        taken.close()
    assert names_of("192.0.2.7") == ["192.0.2.7"]
    assert names_of("0.0.0.0")


def test_one_file_is_not_packed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("a")
    assert packed_folder(folder, tmp_path / "x.zip") == folder / "deep" / "a.txt"
    (folder / "b.txt").write_text("b")
    with zipfile.ZipFile(packed_folder(folder, tmp_path / "x.zip")) as packed:
        assert sorted(packed.namelist()) == ["b.txt", "deep/a.txt"]
