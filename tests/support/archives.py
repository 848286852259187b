"""Tiny archives in the official layouts, and a web server for them that knows ranges and can break off."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.io import savemat

HEIGHT, WIDTH = 40, 60


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    """A grey picture in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 120, np.uint8))


def labels(*values: int) -> np.ndarray:
    """A 12 x 12 square of each value, side by side, on background."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, value in enumerate(values):
        drawn[10:22, 14 * number : 14 * number + 12] = value
    return drawn


def write_mask(path: Path, values: np.ndarray) -> None:
    """An indexed PNG without compression, so that its size does not depend on its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(values)
    mask.putpalette([channel for value in range(256) for channel in (value, 255 - value, 0)])
    mask.save(path, compress_level=0)


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_folder(root: Path, names: Sequence[str], colour: int = 255) -> Path:
    """Your own data: an image ``images/NAME.jpg`` of noise with a square, and its mask, for each name."""
    for number, name in enumerate(names):
        write_pair(root / "images" / f"{name}.jpg", root / "masks" / f"{name}.png", number, colour)
    return root


def write_davis(root: Path, frames: int = 4) -> Path:
    """Three sequences to train on (the last of them for validation) and one to test."""
    for split, sequences in (("train", "abc"), ("val", "d")):
        file = root / "ImageSets" / "2016" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(sequences))
        for sequence, frame in product(sequences, range(frames)):
            name = f"240p/{sequence}/{frame:05d}"
            write_pair(root / f"JPEGImages/{name}.jpg", root / f"Annotations/{name}.png", frame, 255)
    return root


def write_pair(image: Path, mask: Path, number: int, colour: int) -> None:
    """48 x 64 pixels of noise with a bright square of 16 x 16, whose place depends on ``number``."""
    rng = np.random.default_rng(number)
    row, column = rng.integers(0, 32), rng.integers(0, 48)
    picture, labels = rng.integers(0, 120, (48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    picture[row : row + 16, column : column + 16] += 120
    labels[row : row + 16, column : column + 16] = colour
    for path, pixels in ((image, picture), (mask, labels)):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def voc_tree(root: Path) -> Path:
    """PASCAL VOC 2012: a cat (8) and a dog (12) to train on, and both in each image of val."""
    shown = {"2007_000001": (8,), "2007_000002": (8,), "2007_000003": (12,), "2007_000004": (12,)}
    shown |= {"2008_000001": (8, 12), "2008_000002": (8, 12)}
    for name, values in shown.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        write_mask(root / "SegmentationClass" / f"{name}.png", labels(*values))
        write_mask(root / "SegmentationObject" / f"{name}.png", labels(*range(1, len(values) + 1)))
        write_lines(root / "Annotations" / f"{name}.xml", "<annotation/>")
    for split, year in (("train", "2007"), ("val", "2008")):
        write_lines(root / "ImageSets/Segmentation" / f"{split}.txt", *(name for name in shown if name[:4] == year))
    return root


def davis_tree(root: Path, year: str = "2016") -> Path:
    """DAVIS at 480p: two sequences to train on and one to test, of two frames each."""
    sequences = ("bear", "camel", "dog")
    for sequence in sequences:
        for frame in ("00000", "00001"):
            write_image(root / "JPEGImages/480p" / sequence / f"{frame}.jpg")
            write_mask(root / "Annotations/480p" / sequence / f"{frame}.png", labels(1, 2))
    write_lines(root / "ImageSets" / year / "train.txt", *sequences[:2])
    write_lines(root / "ImageSets" / year / "val.txt", *sequences[2:])
    return root


def sbd_tree(root: Path) -> Path:
    """SBD: a photograph, and the .mat files of its classes and instances, for each of train and val."""
    for split, name in (("train", "2008_000002"), ("val", "2008_000003")):
        write_image(root / "img" / f"{name}.jpg")
        for folder, variable in (("cls", "GTcls"), ("inst", "GTinst")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            savemat(root / folder / f"{name}.mat", {variable: {"Segmentation": labels(8), "CategoriesPresent": 8}})
        write_lines(root / f"{split}.txt", name)
    return root


def coco_tree(root: Path) -> Path:
    """COCO 2017: one photograph with a polygon in each of train and val."""
    for split, number in (("train2017", 9), ("val2017", 139)):
        write_image(root / split / f"{number:012d}.jpg")
        image = {"id": number, "file_name": f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH}
        polygon = {"id": 1, "image_id": number, "category_id": 17, "segmentation": [[5, 5, 25, 5, 25, 25]]}
        content = {"images": [image], "annotations": [polygon], "categories": [{"id": 17, "name": "cat"}]}
        write_lines(root / "annotations" / f"instances_{split}.json", json.dumps(content))
    return root


def camvid_tree(root: Path) -> Path:
    """CamVid as SegNet's tutorial has it: frames, masks and a list for each split, whose paths start at /SegNet."""
    for split in ("train", "val", "test"):
        write_image(root / split / "0001TP_006690.png")
        write_mask(root / f"{split}annot/0001TP_006690.png", labels(1, 2))
        pair = (f"/SegNet/CamVid/{folder}/0001TP_006690.png" for folder in (split, f"{split}annot"))
        write_lines(root / f"{split}.txt", " ".join(pair))
    return root


def fss_tree(root: Path) -> Path:
    """FSS-1000: a folder for each class, with photographs and masks of equal numbers."""
    for name in ("bus", "fish", "swan", "abacus"):
        for number in (1, 2):
            write_image(root / name / f"{number}.jpg")
            write_mask(root / name / f"{number}.png", labels(255))
    return root


def pack(tree: Path, archive: Path, inside: str = "") -> Path:
    """The files below ``tree`` as a .zip, .tar or .tgz, in its folder ``inside``."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    files = {Path(inside, path.relative_to(tree)).as_posix(): path for path in paths}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, path in files.items():
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" else "w") as packed_tar:
            for name, path in files.items():
                packed_tar.add(path, name)
    return archive


def spoil_jpeg(path: Path) -> None:
    """Codes that no decoder understands, between a header and an end marker as they were."""
    content = bytearray(path.read_bytes())
    table = content.index(b"\xff\xc4") + 5
    content[table : table + 16] = b"\xff" * 16
    path.write_bytes(content)


def md5(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def everything(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder: files with their bytes, and folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@dataclass
class Served:
    """A running web server: where, and from which byte each request wanted what."""

    url: str
    asked: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def served(
    folder: Path, ranges: bool = True, breaks_after: int | None = None, kind: str = "application/x-tar"
) -> Iterator[Served]:
    """The files of ``folder`` at http://127.0.0.1.

    Args:
        folder: what is served.
        ranges: answer the wish for a part with that part.
        breaks_after: close every connection after so many bytes.
        kind: the type that it claims files to be.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    state = Served(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(folder, ranges, breaks_after, kind, state.asked.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(
    folder: Path, ranges: bool, breaks_after: int | None, kind: str, asked: Callable[[tuple[str, int]], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wish = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wish[1]) if wish else 0
            asked((self.path[1:], start))
            path = folder / self.path[1:]
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            if ranges and start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            rest = content[start:] if ranges else content
            self.send_response(206 if ranges and start else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[:breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    return Handler
