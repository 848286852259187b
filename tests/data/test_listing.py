"""What folders hold besides images, and the message where no file can be used."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.archives import write_polygons

from guided_seg.cli import command as cli
from guided_seg.data.coco.coco import Coco
from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.files.pairs import IMAGE_SUFFIXES, FileSource, image_files
from guided_seg.data.sources.camvid import Camvid
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.fss1000 import Fss1000
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import BrokenFile, DataError
from guided_seg.report.balance import balance_chart
from guided_seg.session.pictures import open_video

TEN = {str(i): (1, 2) for i in range(10)}
FRAME = (6, 4, 54, 4, 54, 36, 6, 36)
Open = Callable[[], FileSource]


def litter(folder: Path) -> None:
    """What systems and people leave in a folder of images."""
    for name in ("._0.jpg", "._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", ".hidden.png"):
        (folder / name).write_bytes(b"\0\5\x16\7 no image")
    for name in ("x.jpg", "x.png", ".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        (folder / name).mkdir()
    (folder / "__MACOSX" / "._0.jpg").write_bytes(b"no image")
    (folder / "@eaDir" / "0.jpg").write_bytes(b"no image")


class TestImageFiles:
    @pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".JPG", ".Jpeg", ".PNG", ".TIFF"])
    def test_suffixes_in_upper_and_lower_case(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / f"a{suffix}").touch()
        assert [path.name for path in image_files(tmp_path)] == [f"a{suffix}"]

    def test_litter_is_passed_over_and_the_order_is_natural(self, tmp_path: Path) -> None:
        litter(tmp_path)
        for name in ("10.jpg", "9.jpg", "2.png"):
            (tmp_path / name).touch()
        assert [path.name for path in image_files(tmp_path)] == ["2.png", "9.jpg", "10.jpg"]

    def test_a_dangling_link_does_not_vanish(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").symlink_to(tmp_path / "moved.jpg")
        assert len(image_files(tmp_path)) == 1

    def test_a_folder_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: Path) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "iterdir", fail)
        with pytest.raises(DataError, match=r"The folder .* may not be read by this user; change its permissions"):
            image_files(tmp_path)


class TestLitter:
    def test_folder_of_images(self, folder: Callable[..., Path]) -> None:
        self._same(lambda root: Folder(root, "train", whole=True), folder(TEN), "images", "masks")

    def test_folder_of_videos(self, folder: Callable[..., Path]) -> None:
        root = folder({f"v{video}/{frame}": (1, 3) for video in range(5) for frame in range(3)})
        self._same(lambda root: Folder(root, "train", whole=True), root, "images/v0", "masks/v0")
        for name in ("__MACOSX", "@eaDir", ".git"):
            (root / "images" / name).mkdir()
        assert len(Folder(root, "train", whole=True).videos) == 10

    def test_davis(self, davis: Callable[..., Path]) -> None:
        root = davis({"one": [(1,), (1,)], "two": [(1,)]}, {"three": [(1,)]})
        self._same(lambda root: Davis(root, "train"), root, "JPEGImages/240p/one", "Annotations/240p/one")
        self._same(lambda root: Davis(root, "train"), root, "JPEGImages/240p", "Annotations/240p")

    def test_camvid(self, camvid: Callable[..., Path]) -> None:
        root = camvid({"train": {"a": (0, 1), "b": (0, 1)}, "val": {"c": (0, 1)}, "test": {"d": (0, 1)}})
        self._same(lambda root: Camvid(root, "train"), root, "train", "trainannot")

    def test_fss1000(self, fss: Callable[..., Path]) -> None:
        root = fss(["ab", "cd", "ef"])
        for split in ("train", "val", "test"):
            (root / f"{split}.txt").write_text({"train": "ab\n", "val": "cd\n", "test": "ef\n"}[split])
        self._same(lambda root: Fss1000(root, "train"), root, "ab", ".")

    def test_voc_without_lists_of_trainaug(self, voc: Callable[..., Path]) -> None:
        root = voc({"a": (1,)}, {"b": (1,)})
        shutil.copytree(root / "SegmentationClass", root / "SegmentationClassAug")
        self._same(lambda root: Voc(root, "train", train_list="trainaug"), root, "JPEGImages", "SegmentationClassAug")

    def test_coco_of_polygons(self, tmp_path: Path) -> None:
        write_polygons(tmp_path, {f"{number}": [(1, FRAME)] for number in range(8)})
        (tmp_path / "train.txt").write_text("1\n2\n3\n")
        self._same(lambda root: Coco(root, "train"), tmp_path, "images", "labels")

    def test_frames_of_a_session(self, tmp_path: Path, image: Callable[..., Path]) -> None:
        for number in range(3):
            image(tmp_path / f"{number:05d}.jpg")
        litter(tmp_path)
        assert [index for index, _ in open_video(tmp_path).frames(0)] == [0, 1, 2]

    @staticmethod
    def _same(make: Callable[[Path], FileSource], root: Path, *folders: str) -> None:
        before = make(root)
        for name in folders:
            litter(root / name)
        after = make(root)
        assert list(after.pairs) == list(before.pairs)
        assert after.objects == before.objects


class TestPairs:
    @pytest.mark.parametrize("name", ["3.jpg", "3.bmp", "3.TIF", "3_mask.png"])
    def test_a_mask_in_another_format_or_of_another_name_is_pointed_at(
        self, folder: Callable[..., Path], name: str
    ) -> None:
        root = folder(TEN)
        (root / "masks/3.png").rename(root / "masks" / name)
        with pytest.raises(
            DataError, match=rf"image 3\.jpg has no mask .*3\.png; add .* There is {name}: a mask is a PNG"
        ):
            Folder(root, "train")

    @pytest.mark.parametrize(
        ("orientation", "told"),
        [(6, "as its orientation 6 says, and the mask seems to be drawn on the pixels"), (None, "turn it back")],
    )
    def test_a_mask_of_the_unturned_image(
        self, folder: Callable[..., Path], orientation: int | None, told: str
    ) -> None:
        root, exif = folder(TEN), Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        stored = np.zeros((40, 60, 3) if orientation else (60, 40, 3), np.uint8)
        Image.fromarray(stored).save(root / "images/3.jpg", exif=exif)
        with pytest.raises(BrokenFile, match=rf"3\.jpg is 60 x 40 .* mask .* is 40 x 60; .*{told}"):
            Folder(root, "train")

    @pytest.mark.parametrize("target", ["moved.jpg", "3.jpg"])
    @pytest.mark.parametrize("file", ["images/3.jpg", "masks/3.png"])
    def test_a_link_that_leads_nowhere_is_told(self, folder: Callable[..., Path], file: str, target: str) -> None:
        path = folder(TEN) / file
        path.unlink()
        path.symlink_to(path.parent / Path(target).with_suffix(path.suffix))
        with pytest.raises(DataError, match=rf"{file} is a symbolic link to .*, where there is no file; put the file"):
            Folder(path.parents[1], "train")

    @pytest.mark.parametrize("kind", ["images", "videos"])
    def test_accents_of_macos_are_those_of_other_systems(self, folder: Callable[..., Path], kind: str) -> None:
        decomposed, composed = (unicodedata.normalize(form, "größe") for form in ("NFD", "NFC"))
        inside = "/0" if kind == "videos" else ""
        root = folder({f"{decomposed}{inside}": (1, 2), f"b{inside}": (1, 2)})
        mask = root / "masks" / (f"{decomposed}.png" if kind == "images" else decomposed)
        mask.rename(root / "masks" / mask.name.replace(decomposed, composed))
        (root / "train.txt").write_text(f"{decomposed}\n", encoding="utf-8")
        assert list(Folder(root, "train").pairs) == [f"{composed}{inside}"]

    def test_what_a_folder_without_images_holds_is_told(self, folder: Callable[..., Path]) -> None:
        root = folder({})
        (root / "images/clip.mp4").touch()
        with pytest.raises(DataError, match=r"holds no images; expected \.jpg.* There is clip\.mp4, for instance\."):
            Folder(root, "train")

    @pytest.mark.parametrize("given", ["images", ".."])
    def test_a_root_one_level_off_is_put_right(self, folder: Callable[..., Path], given: str) -> None:
        above = folder(TEN)
        root = above / "data"
        root.mkdir()
        for name in ("images", "masks"):
            (above / name).rename(root / name)
        with pytest.raises(DataError, match=rf"has no folder images; .* They are in {root}, so set data\.root to that"):
            Folder(os.path.normpath(root / given), "train")


class TestNothingToSegment:
    @pytest.fixture
    def broken(self, request: pytest.FixtureRequest) -> Callable[[str], Open]:
        def make(kind: str) -> Open:
            write = request.getfixturevalue("folder" if kind in ("images", "videos") else kind)
            if kind == "images":
                root, pattern = write(TEN), "images/*.jpg"
                source: Open = lambda: Folder(root, "train", whole=True)  # noqa: E731
            elif kind == "videos":
                root, pattern = write({f"v{i}/{j}": (1,) for i in range(5) for j in range(2)}), "masks/*/*.png"
                source = lambda: Folder(root, "train", whole=True)  # noqa: E731
            elif kind == "davis":
                root, pattern = write({"a": [(1,)], "b": [(1,)]}, {"c": [(1,)]}), "JPEGImages/*/*/*.jpg"
                source = lambda: Davis(root, "train")  # noqa: E731
            else:
                root, pattern = write({"a": (1,), "b": (1,)}, {"c": (1,)}), "JPEGImages/*.jpg"
                source = lambda: Voc(root, "train")  # noqa: E731
            for path in root.glob(pattern):
                path.write_bytes(path.read_bytes()[:-30])
            return source

        return make

    @pytest.mark.parametrize("kind", ["images", "videos", "davis", "voc"])
    def test_the_first_fault_is_told_and_how_many_there_are(self, broken: Callable[[str], Open], kind: str) -> None:
        with leaving_out_broken() as faults, pytest.raises(DataError) as caught:
            broken(kind)()
        first, number = next(iter(faults.values())), len(faults)
        assert f"finds nothing to segment in this split, as files cannot be used. The first: {first}" in str(
            caught.value
        )
        assert (f" {number - 1} more of the {number} have faults as well." in str(caught.value)) == (number > 1)

    def test_coco(self, tmp_path: Path) -> None:
        write_polygons(tmp_path, {name: [(1, FRAME)] for name in "ab"})
        for name in "ab":
            (tmp_path / f"images/{name}.jpg").write_bytes(b"")
        (tmp_path / "train.txt").write_text("a\nb\n")
        with (
            leaving_out_broken(),
            pytest.raises(DataError, match=r"The first: The image .*a\.jpg is not an image: it is"),
        ):
            Coco(tmp_path, "train")

    def test_settings_are_told_where_files_are_fine(self, folder: Callable[..., Path]) -> None:
        with (
            leaving_out_broken(),
            pytest.raises(DataError, match=r"check its list, and settings .* data\.held_out and data\.min_pixels"),
        ):
            Folder(folder(TEN), "train", min_pixels=10**6)


class TestForeignWords:
    def test_classes_that_are_numbers_make_matplotlib_say_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            balance_chart({"train": {"1": 3, "2": 1}}, "tasks", tmp_path / "chart.png")
        assert caplog.messages == []

    def test_commands_keep_the_remarks_of_libraries_off_the_terminal(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging.getLogger("matplotlib"), "level", logging.NOTSET)
        monkeypatch.setenv("OPENCV_LOG_LEVEL", "WARNING")
        cli.quiet_libraries()
        logging.getLogger("matplotlib.font_manager").warning("Matplotlib is building the font cache")
        assert caplog.messages == []
        assert os.environ["OPENCV_LOG_LEVEL"] == "WARNING"  # the user's
