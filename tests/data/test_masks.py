"""What the values of grey masks mean, decided for a data set as a whole; and masks that are no label maps."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.files.verify import SOFT_ADVICE, check_plausible, count_all
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import BrokenFile, DataError

FIVE = {str(i): (255,) for i in range(5)}


def disc(size: int = 64) -> np.ndarray:
    """A white disc on black."""
    row, column = np.mgrid[:size, :size] - size / 2
    return np.where(row**2 + column**2 < (size / 3) ** 2, 255, 0).astype(np.uint8)


def square(size: int = 64) -> np.ndarray:
    drawn = np.zeros((size, size), np.uint8)
    drawn[size // 4 : -size // 4, size // 4 : -size // 4] = 255
    return drawn


def jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def resized(mask: np.ndarray, height: int, how: Image.Resampling) -> np.ndarray:
    return np.array(Image.fromarray(mask).resize((height, height), how))


def feathered(mask: np.ndarray, radius: float) -> np.ndarray:
    return np.array(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(radius)))


def photograph() -> np.ndarray:
    return np.array(Image.open(Path(__file__).parents[1] / "photos/cat.jpg").convert("L"))


SOFT: dict[str, Callable[[], np.ndarray]] = {
    "anti-aliased": lambda: cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 20, 255, -1, cv2.LINE_AA),
    "an edge of one grey": lambda: np.where(cv2.dilate(disc(), np.ones((2, 2))) != disc(), 128, disc()).astype(
        np.uint8
    ),
    "scaled down": lambda: resized(disc(200), 64, Image.Resampling.BILINEAR),
    "scaled up": lambda: resized(disc(40), 200, Image.Resampling.BICUBIC),
    "square scaled down": lambda: resized(square(90), 64, Image.Resampling.BILINEAR),
    "feathered": lambda: feathered(disc(), 2),
    "widely feathered": lambda: feathered(disc(200), 12),
    "jpeg 95": lambda: jpeg(disc(), 95),
    "jpeg 75": lambda: jpeg(disc(), 75),
    "jpeg 30": lambda: jpeg(disc(), 30),
    "jpeg of a square": lambda: jpeg(square(60), 75),
    "photograph": photograph,
}


def blobs(values: list[int], size: int = 100) -> np.ndarray:
    rng, drawn = np.random.default_rng(0), np.zeros((size, size), np.uint8)
    for value in values:
        row, column = rng.integers(0, size - 6, 2)
        drawn[row : row + 6, column : column + 6] = value
    return drawn


def outlined(values: list[int]) -> np.ndarray:
    """Squares with a void border, as in VOC."""
    drawn = np.zeros((60, 40 * len(values)), np.uint8)
    for number, value in enumerate(values):
        drawn[8:50, 40 * number + 4 : 40 * number + 36] = 255
        drawn[10:48, 40 * number + 6 : 40 * number + 34] = value
    return drawn


def lines(values: list[int]) -> np.ndarray:
    """Thin things, of a pixel or two: poles, cracks, vessels."""
    drawn = np.zeros((64, 64), np.uint8)
    for number, value in enumerate(values):
        drawn[:, 4 + 8 * number : 5 + 8 * number + number % 2] = value
    return drawn


def with_void(mask: np.ndarray) -> np.ndarray:
    mask[-12:] = 255
    return mask


LABELS: dict[str, Callable[[], np.ndarray]] = {
    "black and white": disc,
    "few classes": lambda: blobs([1, 2, 3]),
    "many instances": lambda: blobs(list(range(1, 255)), 400),
    "instances with void": lambda: with_void(blobs(list(range(20, 220, 7)))),
    "spread for the eye": lambda: blobs([64, 128, 192]),
    "spread up to white": lambda: outlined([85, 170]),
    "void outlines": lambda: outlined([1, 15, 20, 130]),
    "thin classes": lambda: lines([87, 93, 17]),
    "thin classes beside void": lambda: with_void(lines([87, 93, 17])),
    "one thin class": lambda: lines([128]),
    "a trimap": lambda: np.where(cv2.dilate(disc(), np.ones((9, 9))) != disc(), 128, disc()).astype(np.uint8),
    "noise of labels below 16": lambda: np.random.default_rng(0).integers(0, 12, (40, 40)).astype(np.uint8),
    "all white": lambda: np.full((9, 9), 255, np.uint8),
}


def check(path: Path, values: np.ndarray, mode: str = "L") -> None:
    mask = Image.fromarray(values)
    if mode == "P":
        mask.putpalette([channel for i in range(256) for channel in (i, 255 - i, 0)])
    (mask.convert(mode) if mode == "RGB" else mask).save(path)
    check_plausible(path, values, count_all(values), SOFT_ADVICE)


class TestPlausibility:
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    @pytest.mark.parametrize("name", SOFT)
    def test_a_mask_with_soft_edges_is_refused_by_name(self, tmp_path: Path, name: str, mode: str) -> None:
        with pytest.raises(
            BrokenFile, match=r"soft\.png is no label map: its greys, such as \d+ \(.*without smoothing"
        ):
            check(tmp_path / "soft.png", SOFT[name](), mode)

    @pytest.mark.parametrize("name", LABELS)
    def test_label_maps_pass(self, tmp_path: Path, name: str) -> None:
        check(tmp_path / "labels.png", LABELS[name]())

    def test_indices_of_a_palette_are_labels_whatever_they_look_like(self, tmp_path: Path) -> None:
        check(tmp_path / "palette.png", SOFT["anti-aliased"](), "P")

    @pytest.mark.parametrize("masks", ["SegmentationClass", "SegmentationObject"])
    def test_soft_masks_in_another_layout(self, voc: Callable[..., Path], masks: str) -> None:
        root = voc({"a": (1,)}, {"b": (1,)})
        if masks == "SegmentationObject":
            (root / masks).mkdir()
        Image.fromarray(resized(disc(90), 60, Image.Resampling.BILINEAR)[:40]).save(root / masks / "a.png")
        with pytest.raises(BrokenFile, match=rf"{masks}/a\.png is no label map.*save it as PNG without smoothing\."):
            Voc(root, "train")


class TestFolder:
    @pytest.fixture
    def root(self, folder: Callable[..., Path]) -> Path:
        return folder(FIVE)

    def test_soft_masks_are_refused_with_the_cure(self, root: Path) -> None:
        self._soften(root)
        with pytest.raises(
            DataError, match=r"masks/0\.png is no label map.*or set data\.masks=black_white to take 128"
        ):
            Folder(root, "train", whole=True)

    def test_black_white_is_the_cure(self, root: Path) -> None:
        expected = Folder(root, "train", whole=True).load("3").labels
        self._soften(root)
        source = Folder(root, "train", whole=True, masks="black_white")
        assert {target.value for _, target in source.objects} == {1}
        assert list(source.classes) == ["1"]
        assert (source.load("3").labels == expected).all()

    def test_labels_takes_values_as_they_are(self, root: Path) -> None:
        self._soften(root)
        source = Folder(root, "train", whole=True, masks="labels", min_pixels=1)
        assert {target.value for _, target in source.objects} - {1, 255}

    def test_black_white_reads_pictures_of_any_kind(self, root: Path) -> None:
        mask = Image.open(root / "masks/2.png").convert("RGB")
        mask.save(root / "masks/2.png", "JPEG")
        assert (Folder(root, "train", whole=True, masks="black_white").load("2").labels.max()) == 1

    @pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".TIF", ".gif", ".webp"])
    def test_black_white_reads_masks_of_any_format(
        self, root: Path, squares: Callable[..., np.ndarray], suffix: str
    ) -> None:
        for path in (root / "masks").iterdir():
            Image.open(path).convert("RGB").save(path.with_suffix(suffix), quality=100)
            path.unlink()
        with pytest.raises(DataError, match=rf"There is 0\{suffix}: a mask is a PNG .* with data\.masks=black_white"):
            Folder(root, "train", whole=True)
        source = Folder(root, "train", whole=True, masks="black_white")
        assert (source.load("3").labels == squares(1)).all()

    def test_an_unknown_meaning_is_refused(self, root: Path) -> None:
        with pytest.raises(DataError, match=r"no data\.masks 'black_whit'; did you mean 'black_white'"):
            Folder(root, "train", masks="black_whit")

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
    def test_black_and_white_in_any_grey_mode(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray], mode: str
    ) -> None:
        mask(root / "masks/3.png", squares(255), mode)
        assert (Folder(root, "train", whole=True).load("3").labels == squares(1)).all()

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_labels_in_one_mask_make_255_void_in_all(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray], split: str
    ) -> None:
        mask(root / "masks/4.png", squares(1, 2, 255), "L")  # an item of train
        with pytest.raises(
            DataError, match=r"masks/\d\.png holds nothing but 0 and 255, while .*4\.png of the same data"
        ):
            Folder(root, split)
        with leaving_out_broken() as broken, pytest.raises(DataError, match="finds nothing to segment"):
            Folder(root, "test")
        assert len(broken) == 1

    def test_labels_in_one_mask_leave_the_others_their_void(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        for name in range(5):
            mask(root / f"masks/{name}.png", squares(1, 255) if name else squares(255, 3), "L")
        source = Folder(root, "train", whole=True)
        assert (source.load("0").labels == squares(255, 3)).all()
        assert {target.value for _, target in source.objects} == {1, 3}

    def test_an_empty_and_a_one_bit_mask_do_not_decide(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        mask(root / "masks/4.png", squares(1), "1")
        source = Folder(root, "train", whole=True)
        assert all((source.load(str(name)).labels == squares(1)).all() for name in range(5))

    def test_a_mask_that_is_all_white_has_nothing_around_its_object(
        self, root: Path, mask: Callable[..., Path]
    ) -> None:
        mask(root / "masks/4.png", np.full((40, 60), 255), "L")
        with pytest.raises(DataError, match=r"masks/4\.png holds only the label 1; a task needs"):
            Folder(root, "train", whole=True)

    @staticmethod
    def _soften(root: Path) -> None:
        for path in (root / "masks").iterdir():
            big = Image.open(path).resize((240, 160), Image.Resampling.NEAREST)
            big.filter(ImageFilter.GaussianBlur(2)).resize((60, 40), Image.Resampling.BILINEAR).save(path)


class TestVideos:
    @pytest.fixture
    def root(self, davis: Callable[..., Path]) -> Path:
        white: list[tuple[int, ...]] = [(255,), ()]
        return davis({"one": white, "two": white}, {"three": white}, mode="L")

    def test_black_and_white_frames_and_an_empty_one(self, root: Path, squares: Callable[..., np.ndarray]) -> None:
        source = Davis(root, "train")
        assert (source.load("one/00000").labels == squares(1)).all()
        assert list(source.videos) == ["one"]

    def test_labels_in_another_sequence_make_255_void(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        mask(root / "Annotations/240p/three/00000.png", squares(1, 2), "L")
        with pytest.raises(DataError, match=r"one/00000\.png holds nothing but 0 and 255, while .*three/00000\.png"):
            Davis(root, "train")

    def test_single_makes_one_object_of_white_as_well(self, root: Path, squares: Callable[..., np.ndarray]) -> None:
        source = Davis(root, "test", single=True)
        assert (source.load("three/00000").labels == squares(1)).all()
        assert [target.value for _, target in source.objects] == [1]

    def test_black_white_is_an_option(self, root: Path, squares: Callable[..., np.ndarray]) -> None:
        path = root / "Annotations/240p/three/00000.png"
        Image.open(path).filter(ImageFilter.GaussianBlur(1)).save(path)
        with pytest.raises(DataError, match="is no label map"):
            Davis(root, "test")
        assert [target.value for _, target in Davis(root, "test", masks="black_white").objects] == [1]
