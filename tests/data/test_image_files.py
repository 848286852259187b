"""Image files as people have them: every format, turned, padded, huge, or no image at all."""

from __future__ import annotations

import errno
import os
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from guided_seg.data import images
from guided_seg.data.files.decoding import plain_jpeg
from guided_seg.data.files.verify import open_root
from guided_seg.data.images import check_whole, image_orientation, image_size, read_image, read_labels, read_mask
from guided_seg.errors import BrokenFile, DataError, UserError
from guided_seg.files.disk import disk_refusals
from guided_seg.session.pictures import Picture

HEIGHT, WIDTH = 32, 48
READERS = (read_image, image_size, check_whole, read_labels)


def corners() -> np.ndarray:
    """A picture with another colour in each quarter, so that each way of turning it shows."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:], picture[16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return picture


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def saved(path: Path, kind: str, picture: np.ndarray | None = None, **options: Any) -> Path:
    image = Image.fromarray(corners() if picture is None else picture)
    if kind == "HEIF":
        heif = pytest.importorskip("pillow_heif").from_pillow(image)
        heif.info.update(options)
        heif.save(path, quality=-1)
    else:
        image.save(path, kind, **options | ({} if kind in ("PNG", "BMP", "GIF") else {"quality": 100}))
    return path


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.abs(first.astype(int) - second).mean() < 12)


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
    def test_header_and_pixels_are_turned_alike(self, tmp_path: Path, kind: str, orientation: int) -> None:
        path = saved(tmp_path / "photo", kind, exif=exif(orientation))
        turned = Image.fromarray(corners())
        turned.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(turned))
        assert alike(read_image(path), expected)
        assert image_size(path) == expected.shape[:2]

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
    @pytest.mark.parametrize("block", [{}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}], ids=["alone", "exif"])
    def test_orientation_in_xmp_alone(
        self, tmp_path: Path, kind: str, orientation: int, block: dict[str, bytes]
    ) -> None:
        path = saved(tmp_path / "photo", kind, xmp=xmp(orientation), **block)
        assert image_size(path) == read_image(path).shape[:2] == ((48, 32) if orientation >= 5 else (32, 48))
        by_exif = saved(tmp_path / "other", kind, exif=exif(orientation))
        assert alike(read_image(path), read_image(by_exif))

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"\xff\xe1" * 9, "dpi": (72, 72)}])
    def test_a_jpeg_without_either_is_read_as_pillow_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, options: dict[str, Any]
    ) -> None:
        path = tmp_path / "photo.jpg"
        Image.fromarray(noise()).convert(mode).save(path, "JPEG", **options)
        assert plain_jpeg(path.read_bytes()) == image_size(path) == (HEIGHT, WIDTH)
        quick = read_image(path)
        monkeypatch.setattr(images, "plain_jpeg", lambda _: None)
        assert (quick == read_image(path)).all()

    @pytest.mark.parametrize("options", [{"exif": exif(1)}, {"exif": exif(6)}, {"xmp": xmp(6)}])
    def test_a_jpeg_with_either_is_not_plain(self, tmp_path: Path, options: dict[str, Any]) -> None:
        assert plain_jpeg(saved(tmp_path / "photo.jpg", "JPEG", **options).read_bytes()) is None

    @pytest.mark.parametrize("length", [0, 1, 2, 3, 20, 160])
    def test_a_header_that_breaks_off_is_not_plain(self, tmp_path: Path, length: int) -> None:
        assert plain_jpeg(saved(tmp_path / "photo.jpg", "JPEG").read_bytes()[:length]) is None
        assert plain_jpeg(saved(tmp_path / "photo.png", "PNG").read_bytes()) is None

    def test_exif_comes_before_xmp(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "photo.jpg", "JPEG", exif=exif(1), xmp=xmp(6))
        assert image_size(path) == read_image(path).shape[:2] == (HEIGHT, WIDTH)

    @pytest.mark.parametrize("value", [0, 9, 60000])
    def test_a_value_that_means_nothing_turns_nothing(self, tmp_path: Path, value: int) -> None:
        path = saved(tmp_path / "photo.jpg", "JPEG", exif=exif(value))
        assert image_size(path) == read_image(path).shape[:2] == (HEIGHT, WIDTH)
        assert image_orientation(path) == 1

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_broken_exif_turns_nothing(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "photo.jpg", "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\0")
        assert image_size(path) == read_image(path).shape[:2] == (HEIGHT, WIDTH)

    def test_a_mask_is_turned_by_the_same_rule(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.uint8).reshape(2, 3)
        Image.fromarray(values).save(tmp_path / "mask.png", exif=exif(6))
        assert read_labels(tmp_path / "mask.png").tolist() == [[3, 0], [4, 1], [5, 2]]


class TestWholeness:
    @pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
    @pytest.mark.parametrize("tail", [b"\n", b"\r\n", b"\0" * 3, b"\0" * 5000, b"appended by a camera" * 20])
    def test_bytes_after_the_end_are_no_fault(self, tmp_path: Path, kind: str, tail: bytes) -> None:
        path = saved(tmp_path / "photo", kind)
        before = read_image(path)
        path.write_bytes(path.read_bytes() + tail)
        check_whole(path)
        assert image_size(path) == (HEIGHT, WIDTH)
        assert (read_image(path) == before).all()

    @pytest.mark.parametrize("tail", [b"\n", b"\0" * 100])
    def test_bytes_after_the_end_of_a_mask_are_no_fault(self, tmp_path: Path, tail: bytes) -> None:
        path = tmp_path / "mask.png"
        Image.fromarray(np.eye(9, dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes() + tail)
        assert (read_labels(path) == np.eye(9)).all()

    @pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"exif": exif(6)}])
    def test_a_jpeg_of_any_kind_is_whole(self, tmp_path: Path, options: dict[str, Any]) -> None:
        path = saved(tmp_path / "photo.jpg", "JPEG", noise(), **options)
        check_whole(path)
        assert read_image(path).size

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
    @pytest.mark.parametrize("lost", [40, 0.3, 0.7])
    def test_a_file_that_is_cut_off_is_refused(self, tmp_path: Path, kind: str, lost: float) -> None:
        path = saved(tmp_path / "photo", kind, noise())
        data = path.read_bytes()
        path.write_bytes(data[: -int(lost if lost > 1 else lost * len(data))])
        with pytest.raises(BrokenFile, match="photo"):
            read_image(path)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_the_survey_sees_a_cut_without_decoding(self, tmp_path: Path, kind: str) -> None:
        path = saved(tmp_path / "photo", kind, noise())
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(BrokenFile, match="cut off"):
            check_whole(path)

    def test_a_file_whose_end_a_failed_copy_left_empty_is_refused(self, tmp_path: Path) -> None:
        for kind in ("JPEG", "PNG"):
            path = saved(tmp_path / f"photo.{kind}", kind, noise())
            data = path.read_bytes()
            path.write_bytes(data[:900] + bytes(len(data) - 900))
            with pytest.raises(BrokenFile, match="cut off"):
                check_whole(path)

    def test_a_cut_mask_is_refused_where_pillow_would_fill_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)  # as many training scripts do
        path = tmp_path / "mask.png"
        Image.fromarray(noise()[..., 0]).save(path)
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(BrokenFile, match="cut off"):
            read_labels(path)


class TestPixels:
    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            *(("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")),
            *(("CMYK", "JPEG"), ("L", "JPEG"), ("CMYK", "TIFF"), ("1", "TIFF"), ("P", "TIFF"), ("LA", "TIFF")),
            *(("P", "GIF"), ("RGBA", "AVIF"), ("P", "BMP"), ("1", "BMP")),
        ],
    )
    def test_every_mode_becomes_rgb(self, tmp_path: Path, mode: str, kind: str) -> None:
        image = Image.fromarray(corners()).convert(mode)
        image.save(tmp_path / "photo", kind)
        assert alike(read_image(tmp_path / "photo"), np.asarray(image.convert("RGB")))

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    def test_sixteen_bits_are_as_bright_as_the_bits_in_use(self, tmp_path: Path, kind: str, bits: int) -> None:
        grey = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
        Image.fromarray(grey).save(tmp_path / "scan", kind)
        assert np.abs(read_image(tmp_path / "scan")[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1

    def test_sixteen_bits_in_colour(self, tmp_path: Path) -> None:
        colours = np.zeros((2, 2, 3), np.uint16)
        colours[..., 2] = 0xC800  # OpenCV writes BGR
        assert cv2.imwrite(str(tmp_path / "photo.png"), colours)
        assert read_image(tmp_path / "photo.png")[0, 0].tolist() == [200, 0, 0]

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_of_several_frames_the_first_is_read(self, tmp_path: Path, kind: str) -> None:
        frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / "moving", kind, save_all=True, append_images=frames[1:])
        assert read_image(tmp_path / "moving")[9, 9].tolist() == pytest.approx([255, 0, 0], abs=3)

    def test_fractions_are_refused(self, tmp_path: Path) -> None:
        Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "depth.tif")
        with pytest.raises(BrokenFile, match=r"depth\.tif .*fractions, not 8 or 16 bits; scale its values"):
            read_image(tmp_path / "depth.tif")

    def test_heic_is_read(self, tmp_path: Path) -> None:
        assert alike(read_image(saved(tmp_path / "IMG_1.HEIC", "HEIF")), corners())

    @pytest.mark.parametrize("read", [read_image, image_size])
    def test_heic_without_its_package_names_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
    ) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHEMiPrmiafheictmap")
        with pytest.raises(DataError, match=r"IMG_1\.HEIC is HEIC, which needs .* `pip install pillow-heif`"):
            read(tmp_path / "IMG_1.HEIC")


class TestLargeImages:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "TIFF"])
    def test_pillows_limit_is_not_ours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        path = saved(tmp_path / "panorama", kind)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a picture of more than 200 is a "bomb" now
        assert image_size(path) == read_image(path).shape[:2] == (HEIGHT, WIDTH)
        assert Image.MAX_IMAGE_PIXELS == 100

    def test_a_format_with_a_limit_of_its_own_is_told_with_numbers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = saved(tmp_path / "panorama", "WEBP")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(DataError, match=r"panorama is larger .* \(Image size \(1536 pixels\).*; save it as PNG"):
            read_image(path)

    def test_pillows_limit_is_not_that_of_masks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "mask.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert (read_labels(tmp_path / "mask.png") == np.eye(20)).all()

    def test_what_opencv_refuses_is_read_by_pillow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = saved(tmp_path / "panorama.png", "PNG")
        monkeypatch.setattr(images, "_OPENCV_PIXELS", 100)
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("too large for it"))
        assert (read_image(path) == corners()).all()

    def test_a_caller_may_keep_a_limit(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "panorama.png", "PNG")
        assert read_image(path, max_pixels=HEIGHT * WIDTH).size
        with pytest.raises(DataError, match=r"panorama\.png is 32 x 48 .*, 0\.0 megapixels, and at most"):
            read_image(path, max_pixels=HEIGHT * WIDTH - 1)

    def test_an_image_that_memory_cannot_hold_is_told_with_its_numbers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = saved(tmp_path / "panorama.png", "PNG")

        def full(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(cv2, "imdecode", full)
        with pytest.raises(DataError, match=r"32 x 48 .* its pixels take 0\.0 GB, more than is free; scale it down"):
            read_image(path)


class TestDecoders:
    @pytest.mark.parametrize(
        "error",
        [
            *(OSError("broken"), ValueError("broken"), SyntaxError("broken"), EOFError("broken"), KeyError("broken")),
            *(zlib.error("broken"), OverflowError("broken"), IndexError("broken"), TypeError("broken")),
            *(NotImplementedError("broken"), AttributeError("broken"), RuntimeError("broken")),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("read", [read_image, image_size, read_labels])
    def test_whatever_a_decoder_raises_names_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], error: Exception
    ) -> None:
        path = saved(tmp_path / "photo.png", "PNG")

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setitem(Image.OPEN, "PNG", (fail, lambda _: True))
        with pytest.raises(BrokenFile, match=r"photo\.png .*broken"):
            read(path)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
    def test_scratched_files_are_read_or_refused(self, tmp_path: Path, kind: str) -> None:
        path = saved(tmp_path / "photo", kind)
        whole = path.read_bytes()
        for seed in range(40):
            data, rng = bytearray(whole), np.random.default_rng(seed)
            for at in rng.integers(4, len(data), 6 if seed % 2 else 1):
                data[at] = rng.integers(256)
            path.write_bytes(data)
            for read in READERS:
                with suppress(UserError):
                    read(path)


NO_IMAGES = {
    "empty": (b"", "is empty; get it again"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a pointer of Git LFS"),
    "annex": (b"/annex/objects/SHA256E-s31390--f50d7ac4.png\n", "a pointer of git-annex"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title>", "a web page, as a failed download"),
    "plain page": (b"\xef\xbb\xbf\n<HTML><BODY>Sign in</BODY></HTML>", "a web page"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing; export it as JPEG or PNG"),
    "xml": (b'<?xml version="1.0"?><svg/>', "an XML or SVG file"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF; export it as JPEG or PNG"),
    "psd": (b"8BPS\0\x01" + bytes(40), "a Photoshop file"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file"),
    "zip": (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
    "dicom": (bytes(128) + b"DICM" + b"\x02\0", "a DICOM file"),
    "macos": (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "what macOS stores beside a file"),
    "zeros": (bytes(4000), "nothing but zero bytes"),
    "video": (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", "a video"),
}


class TestNoImages:
    @pytest.mark.parametrize("name", NO_IMAGES)
    @pytest.mark.parametrize("read", [read_image, image_size, read_labels])
    def test_a_file_that_is_something_else_is_called_that(
        self, tmp_path: Path, read: Callable[[Path], object], name: str
    ) -> None:
        data, told = NO_IMAGES[name]
        path = tmp_path / "photo.png"
        path.write_bytes(data)
        with pytest.raises(BrokenFile, match=rf"photo\.png is not an image: it is {told.removeprefix('is ')}"):
            read(path)

    @pytest.mark.parametrize("suffix", [".NEF", ".dng", ".cr2"])
    def test_a_raw_file_is_not_taken_for_its_thumbnail(self, tmp_path: Path, suffix: str) -> None:
        path = saved(tmp_path / f"photo{suffix}", "TIFF")
        with pytest.raises(DataError, match="is a camera raw file, which is not read; export it as JPEG or PNG"):
            read_image(path)


def folder(root: Path) -> Path:
    (root / "a").mkdir()
    return root / "a"


def loop(root: Path) -> Path:
    (root / "a").symlink_to(root / "a")
    return root / "a"


def below_a_file(root: Path) -> Path:
    (root / "a").touch()
    return root / "a" / "b.jpg"


PATHS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "folder": (folder, "a is a folder, where a file is expected; name the file itself"),
    "loop": (loop, "a is a symbolic link that leads back to itself"),
    "below a file": (below_a_file, r"b\.jpg does not exist: what its path names as a folder is a file"),
    "long": (lambda root: root / ("a" * 300 + ".jpg"), "is too long for this disk; shorten it"),
    "dangling": (lambda root: root / "a.jpg", r"a\.jpg does not exist; add it, or correct its path"),
}
ERRORS = {
    errno.EACCES: "may not be read by this user; change its permissions",
    errno.EPERM: "may not be read by this user",
    errno.EIO: "could not be read: its disk or drive reports an error",
    errno.ESTALE: "cannot be reached; check that its network drive is connected",
    errno.ENXIO: r"cannot be read \(No such device or address\); check its disk",
}


class TestFilesThatTheSystemRefuses:
    @pytest.mark.parametrize("name", PATHS)
    @pytest.mark.parametrize("read", READERS)
    def test_a_path_that_leads_to_no_file(self, tmp_path: Path, read: Callable[[Path], object], name: str) -> None:
        make, told = PATHS[name]
        with pytest.raises(BrokenFile, match=told):
            read(make(tmp_path))

    @pytest.mark.parametrize("number", ERRORS)
    @pytest.mark.parametrize("read", READERS)
    def test_a_file_that_cannot_be_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], number: int
    ) -> None:
        path = saved(tmp_path / "photo.png", "PNG")
        self._fail(monkeypatch, number)
        with pytest.raises(BrokenFile, match=rf"photo\.png {ERRORS[number]}"):
            read(path)

    @pytest.mark.parametrize("read", READERS)
    def test_too_many_open_files_are_no_fault_of_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
    ) -> None:
        path = saved(tmp_path / "photo.png", "PNG")
        self._fail(monkeypatch, errno.EMFILE)
        with pytest.raises(DataError, match="too many files are open; allow more") as caught:
            read(path)
        assert not isinstance(caught.value, BrokenFile)  # which a long run would skip

    @pytest.mark.parametrize("read", [image_size, check_whole])
    def test_a_disk_that_fails_while_a_file_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
    ) -> None:
        path = saved(tmp_path / "photo.jpg", "JPEG")

        def fail(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(images, "open_header", fail)
        monkeypatch.setattr(images, "is_whole", fail)
        with pytest.raises(BrokenFile, match="its disk or drive reports an error"):
            read(path)

    def test_a_folder_added_to_a_session_as_an_image(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="is a folder, where a file is expected"):
            Picture.of("a", tmp_path)

    @pytest.mark.parametrize(
        ("number", "told"),
        [
            (errno.ENOSPC, "The disk of .* is full; free some space"),
            (errno.EROFS, "is not writable; set archives to another folder"),
            (errno.EEXIST, "A file is in the way of the folder .*; move it, or set archives to another folder"),
            (errno.EIO, "failed: .*; check its disk, or set archives to another folder"),
        ],
    )
    def test_what_a_disk_refuses_to_write(self, tmp_path: Path, number: int, told: str) -> None:
        with pytest.raises(DataError, match=told), disk_refusals(tmp_path, "archives"):
            raise OSError(number, os.strerror(number))

    def test_an_archive_given_as_root(self, tmp_path: Path) -> None:
        (tmp_path / "data.zip").touch()
        with pytest.raises(DataError, match=r"data\.zip is a file; unpack it if it is an archive, and set data\.root"):
            open_root(tmp_path / "data.zip", "images/ and masks/", ())

    @staticmethod
    def _fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        def fail(path: Path, *_: object) -> None:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(Path, "open", fail)
        monkeypatch.setattr(Path, "read_bytes", fail)


class TestMaskModes:
    VALUES = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
    def test_grey_in_another_mode_is_grey(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "mask.png"
        wide = {"I;16": np.uint16, "I": np.int32}.get(mode)
        grey = Image.fromarray(self.VALUES.astype(wide)) if wide else Image.fromarray(self.VALUES).convert(mode)
        grey.save(path)
        mask = read_mask(path)
        assert mask.labels.tolist() == self.VALUES.tolist()
        assert mask.labels.dtype == np.uint8
        assert mask.grey

    @pytest.mark.parametrize("transparency", [0, bytes([0, 255, 128])])
    def test_transparency_of_a_palette_changes_no_value(self, tmp_path: Path, transparency: int | bytes) -> None:
        mask = Image.fromarray(self.VALUES)
        mask.putpalette(list(range(256)) * 3)
        mask.save(tmp_path / "mask.png", transparency=transparency)
        assert read_mask(tmp_path / "mask.png").labels.tolist() == self.VALUES.tolist()
        assert not read_mask(tmp_path / "mask.png").grey

    def test_values_of_16_bits_that_do_not_fit_are_refused(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 1200]], np.uint16)).save(tmp_path / "mask.png")
        with pytest.raises(BrokenFile, match=r"mask\.png has 16 bits and holds the value 1200; values are 0"):
            read_labels(tmp_path / "mask.png")

    def test_a_jpeg_under_the_name_of_a_png_is_refused(self, tmp_path: Path) -> None:
        Image.fromarray(self.VALUES).save(tmp_path / "mask.png", "JPEG")
        with pytest.raises(BrokenFile, match=r"mask\.png is a JPEG, which changes the values of labels"):
            read_labels(tmp_path / "mask.png")
