"""Files that people drop on the page: odd ones work, broken ones are refused in a sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support.pages import ORIGIN, picture

from guided_seg.app.uploads import safe_name


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def upload(client: TestClient, *files: tuple[str, bytes]) -> dict[str, Any]:
    parts = [("files", (name, data)) for name, data in files]
    return client.post("/s/main/upload", files=parts, headers=ORIGIN).json()


def test_uploads_are_added_and_kept(client: TestClient, tmp_path: Path) -> None:
    with client.websocket_connect("ws://localhost/s/main/socket", headers=ORIGIN) as socket:
        assert json.loads(socket.receive_text())["type"] == "state"
        answer = upload(client, ("../../neu ü.png", png(picture(5))), ("a.png", png(picture(6))))
        assert answer == {"added": ["neu ü", "a (2)"], "refused": []}
        state = json.loads(socket.receive_text())
        assert [image["id"] for image in state["images"]] == ["a", "c", "größe 1", "neu ü", "a (2)"]
    kept = sorted(path.name for path in (tmp_path / "state" / "uploads" / "main").iterdir())
    assert kept == ["a.png", "neu ü.png"]
    assert not list(tmp_path.rglob("../neu*"))


def jpeg(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(Image.fromarray(picture(1)), exif=exif)


ODD = {
    "turned.jpg": (rotated(), (52, 40)),
    "grey.png": (jpeg(Image.new("L", (31, 17), 99), "PNG"), (17, 31)),
    "alpha.png": (jpeg(Image.new("RGBA", (31, 17), (1, 2, 3, 4)), "PNG"), (17, 31)),
    "cmyk.jpg": (jpeg(Image.new("CMYK", (31, 17))), (17, 31)),
    "palette.gif": (jpeg(Image.new("P", (31, 17)), "GIF"), (17, 31)),
    "deep.png": (cv2.imencode(".png", np.full((17, 31), 40_000, np.uint16))[1].tobytes(), (17, 31)),
    "scan.tif": (jpeg(Image.fromarray(picture(2)), "TIFF"), (40, 52)),
    "tiny.png": (png(np.zeros((1, 1, 3), np.uint8)), (1, 1)),
    "тест 写真.png": (png(picture(3)), (40, 52)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_work(client: TestClient, name: str) -> None:
    data, size = ODD[name]
    answer = upload(client, (name, data))
    assert answer["refused"] == []
    (added,) = answer["added"]
    shown = Image.open(io.BytesIO(client.get(f"/s/main/image/{added}").content))
    assert (shown.height, shown.width) == size


def bomb() -> bytes:
    data = io.BytesIO()
    Image.new("1", (4_000, 4_000)).save(data, "PNG")
    return data.getvalue()


BROKEN = {
    "text.png": b"hello",
    "empty.jpg": b"",
    "cut.png": png(picture(1))[:200],
    "cut.jpg": jpeg(Image.fromarray(picture(1)))[:300],
    "page.jpg": b"<!DOCTYPE html><html></html>",
    "script.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "program.exe": b"MZ" + bytes(100),
    "packed.zip": b"PK\x03\x04" + bytes(100),
    "bomb.png": bomb(),
    "large.png": png(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)),
    "clip.mp4": b"no video",
    "empty.mp4": b"",
    "pickle.session": b"\x80\x04.",
    "paper.pdf": b"%PDF-1.4",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_uploads_are_refused_in_a_sentence(client: TestClient, tmp_path: Path, name: str) -> None:
    before = client.get("/s/main/image/a").content
    answer = upload(client, (name, BROKEN[name]), ("good.png", png(picture(1))))
    assert answer["added"] == ["good"]
    ((refused),) = answer["refused"]
    assert refused["name"] == name
    assert len(refused["text"].split()) >= 5
    assert "Traceback" not in refused["text"]
    assert str(tmp_path) not in refused["text"]
    assert [path.name for path in (tmp_path / "state" / "uploads" / "main").iterdir()] == ["good.png"]
    assert client.get("/s/main/image/a").content == before


def test_an_upload_follows_no_link(client: TestClient, tmp_path: Path) -> None:
    """A link that somebody put where uploads are kept."""
    folder = tmp_path / "state" / "uploads" / "main"
    folder.mkdir(parents=True)
    (folder / "new.png").symlink_to(tmp_path / "outside.png")
    assert upload(client, ("new.png", png(picture(7)))) == {"added": ["new (2)"], "refused": []}
    assert not (tmp_path / "outside.png").exists()


def test_too_many_files_at_once(client: TestClient) -> None:
    answer = upload(client, *((f"{number}.png", png(picture(number))) for number in range(5)))
    assert answer["added"] == ["0", "1", "2"]
    assert [each["name"] for each in answer["refused"]] == ["3.png", "4.png"]


@pytest.mark.parametrize("form", [{}, {"files": "text"}])
def test_an_upload_without_files(client: TestClient, form: dict[str, str]) -> None:
    response = client.post("/s/main/upload", data=form, headers=ORIGIN)
    assert response.status_code == 400
    assert len(response.json()["text"].split()) >= 5


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    response = client.post("/s/main/upload", content=b"", headers={**ORIGIN, "content-length": str(2**40)})
    assert response.status_code == 400
    assert "fewer files" in response.json()["text"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a.jpg", "a.jpg"), ("../../a.jpg", "a.jpg"), ("C:\\x\\a.jpg", "a.jpg"), ("/etc/passwd", "passwd")),
        *((None, "image"), ("", "image"), ("...", "image"), ("a\0b\n.jpg", "ab.jpg"), ("a#1?.png", "a1.png")),
        (".hidden", "hidden"),
    ],
)
def test_names_are_made_safe(name: str | None, expected: str) -> None:
    assert safe_name(name) == expected
    assert len(safe_name("ü" * 500 + ".png").encode()) <= 200
