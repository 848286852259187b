from __future__ import annotations

import pickle
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from guided_seg.data.images import check_whole, image_size, read_image, read_labels
from guided_seg.data.source import Sample
from guided_seg.errors import BrokenFile
from guided_seg.files.cache import Cache


def test_image_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (3, 2), (200, 10, 20)).save(path)
    assert read_image(path).shape == (2, 3, 3)
    assert read_image(path)[0, 0].tolist() == [200, 10, 20]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_size_from_the_header_is_the_size_of_the_pixels(
    tmp_path: Path, image: Callable[..., Path], suffix: str
) -> None:
    path = image(tmp_path / f"picture{suffix}", 13, 31)
    check_whole(path)
    assert image_size(path) == read_image(path).shape[:2] == (13, 31)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_follows_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert image_size(path) == read_image(path).shape[:2] == ((30, 20) if orientation >= 5 else (20, 30))


def test_grey_image_gets_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (3, 2), 7).save(path)
    assert read_image(path).tolist() == np.full((2, 3, 3), 7).tolist()


def _noise(path: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_cut_off_image_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    data = _noise(path)
    path.write_bytes(data[: int(share * len(data))])
    for read in (read_image, check_whole):
        with pytest.raises(BrokenFile, match=rf"cut{suffix} is cut off: its end marker is missing; copy it"):
            read(path)


@pytest.mark.parametrize("extra", [b"\0" * 40, b"data of the camera" * 20])
def test_bytes_after_the_picture_are_allowed(tmp_path: Path, image: Callable[..., Path], extra: bytes) -> None:
    path = image(tmp_path / "long.jpg")
    path.write_bytes(path.read_bytes() + extra)
    check_whole(path)
    assert read_image(path).ndim == 3


def test_end_marker_of_a_thumbnail_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    data = _noise(path)
    thumbnail = b"thumbnail\xff\xd9"
    header = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path.write_bytes(data[:2] + header + data[2:-500])
    with pytest.raises(BrokenFile, match="cut off"):
        check_whole(path)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG but no more IEND\xaeB\x60\x82"])
def test_what_is_not_an_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(data)
    for read in (read_image, image_size, read_labels):
        with pytest.raises(BrokenFile, match=r"text\.png"):
            read(path)


@pytest.mark.parametrize("read", [read_image, read_labels, image_size, check_whole])
def test_missing_file_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(BrokenFile, match=r"gone\.png does not exist; add it, or correct its path"):
        read(tmp_path / "gone.png")


@pytest.mark.parametrize("binary", [False, True])
def test_palette_mask_keeps_values_and_void(
    tmp_path: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray], binary: bool
) -> None:
    values = squares(3, 20, 255)
    labels = read_labels(mask(tmp_path / "a.png", values, "P"), binary)
    assert labels.dtype == np.uint8
    assert labels.flags.writeable
    assert (labels == values).all()


def test_one_bit_mask_is_zero_and_one(
    tmp_path: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
) -> None:
    labels = read_labels(mask(tmp_path / "a.png", squares(1), "1"))
    assert (labels == squares(1)).all()


def test_black_and_white_mask(tmp_path: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]) -> None:
    path = mask(tmp_path / "a.png", squares(255), "L")
    assert (read_labels(path) == squares(255)).all()
    assert (read_labels(path, binary=True) == squares(1)).all()


def test_void_beside_labels_stays_void(
    tmp_path: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
) -> None:
    path = mask(tmp_path / "a.png", squares(2, 255), "L")
    assert (read_labels(path, binary=True) == squares(2, 255)).all()
    only_void = mask(tmp_path / "b.png", squares(255), "P")
    assert (read_labels(only_void, binary=True) == squares(255)).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_mask_in_colour_is_refused_and_says_how_to_convert(
    tmp_path: Path, squares: Callable[..., np.ndarray], mode: str
) -> None:
    path, channels = tmp_path / "a.png", [squares(1), squares(2), squares(1), squares(255)]
    chosen = {"RGB": channels[:3], "RGBA": channels, "LA": channels[::3]}[mode]  # colours, or transparent parts
    Image.fromarray(np.stack(chosen, -1), mode).save(path)
    with pytest.raises(BrokenFile, match=r"a\.png is a picture of type .*not a label map.*Image\.fromarray"):
        read_labels(path)


def test_cut_off_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (99, 99), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(BrokenFile, match=r"The mask .*a\.png cannot be decoded"):
        read_labels(path)


def _sample() -> Sample:
    return Sample(np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), np.uint8))  # a quarter of a megabyte


def test_cache_drops_the_least_recently_used() -> None:
    cache, read = Cache(attrgetter("nbytes"), 1), []

    def get(key: str) -> Sample:
        return cache.get(key, lambda: read.append(key) or _sample())

    for key in "abcd":
        get(key)
    assert get("a") is get("a")
    get("e")
    get("a")
    get("b")
    assert "".join(read) == "abcdeb"
    assert len(cache) == 4


def test_cache_of_nothing_keeps_nothing() -> None:
    cache = Cache(attrgetter("nbytes"))
    assert cache.get("a", _sample) is not cache.get("a", _sample)
    assert len(cache) == 0


def test_cache_reaches_a_worker_empty() -> None:
    cache = Cache(attrgetter("nbytes"), 2)
    cache.get("a", _sample)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.megabytes, len(copy)) == (2, 0)


def test_a_failed_read_is_not_kept() -> None:
    def fail() -> Sample:
        raise BrokenFile("broken")

    cache = Cache(attrgetter("nbytes"), 1)
    with pytest.raises(BrokenFile):
        cache.get("a", fail)
    assert len(cache) == 0
