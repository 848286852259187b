"""Objects of other images, pasted onto crops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import davis_tree, voc_tree

from guided_seg.data.datamodule import Episodes
from guided_seg.data.sampling.pasting import HIDDEN, SIDES, paste
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import Sample
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.mixture import Mixture
from guided_seg.data.sources.voc import Voc
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions

many = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32)
SIZE = 64


def crop_of(seed: int) -> Sample:
    """Noise below 200 with two blobs, 3 and 7, and void."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for value in (IGNORE, 3, 7):
        cv2.circle(labels, rng.integers(SIZE, size=2).tolist(), int(rng.integers(5, 20)), value, -1)
    return Sample(rng.integers(0, 200, (SIZE, SIZE, 3), dtype=np.uint8), labels)


def donor_of(seed: int) -> Sample:
    """A white box, 9, on black."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((rng.integers(20, 90), rng.integers(20, 90)), np.uint8)
    top, left = (int(rng.integers(0, side - 12)) for side in labels.shape)
    labels[top : top + 12, left : left + 10] = 9
    return Sample(np.repeat(np.where(labels == 9, 250, 0).astype(np.uint8)[..., None], 3, axis=2), labels)


def pasted(crop: Sample, seed: int, values: tuple[int, ...] = (3,)) -> Sample:
    return paste(crop, values, donor_of(seed), 9, np.random.default_rng(seed))


@many
@given(seed=seeds)
def test_what_it_covers_is_the_object_and_negative_and_all_else_as_it_was(seed: int) -> None:
    crop = crop_of(seed)
    found = pasted(crop, seed, (3, 7))
    covered = found.labels != crop.labels
    assert set(np.unique(found.labels[covered])) <= {254}
    core, near = (
        operation(covered.view(np.uint8), np.ones((9, 9)), borderValue=0) > 0 for operation in (cv2.erode, cv2.dilate)
    )
    assert (found.image[core] >= 249).all()
    assert np.array_equal(found.image[~near], crop.image[~near])
    for value in (3, 7):
        before = (crop.labels == value).sum()
        assert (found.labels == value).sum() >= (1 - HIDDEN) * before


@many
@given(seed=seeds)
def test_it_has_its_size_wherever_it_is_whole(seed: int) -> None:
    crop = Sample(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8))
    rows, columns = np.nonzero(pasted(crop, seed).labels)
    sides = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(sides) <= SIDES[1] * SIZE + 2
    edges = (rows.min(), columns.min(), SIZE - 1 - rows.max(), SIZE - 1 - columns.max())
    assert min(edges) == 0 or max(sides) >= SIDES[0] * SIZE - 2


def test_a_label_that_is_asked_for_is_never_that_of_what_is_pasted() -> None:
    crop = Sample(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8))
    assert set(np.unique(pasted(crop, 0, (254, 253)).labels)) == {0, 252}


def test_a_label_is_not_hidden() -> None:
    crop = Sample(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8))
    crop.labels[20:23, 20:23] = 3
    kept = [(pasted(crop, seed).labels == 3).sum() for seed in range(200)]
    assert min(kept) >= 9 * (1 - HIDDEN)
    assert any(pasted(crop, seed) is crop for seed in range(200))


def test_an_object_that_is_not_there_is_not_pasted() -> None:
    crop = crop_of(0)
    assert paste(crop, (3,), donor_of(0), 8, np.random.default_rng(0)) is crop


class TestAugment:
    def crops(self, augment: Augment, number: int = 60) -> list[Sample]:
        def donor(rng: np.random.Generator) -> tuple[Sample, int]:
            return donor_of(int(rng.integers(5))), 9

        small = crop_of(1)
        small.labels[small.labels == 3] = 0
        small.labels[30:33, 30:33] = 3
        return [augment(small, (3,), np.random.default_rng(seed), donor) for seed in range(number)]

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_it_has_its_share(self, share: float) -> None:
        found = [(crop.labels == 254).any() for crop in self.crops(Augment(48, paste=share), 200)]
        # some are not pasted, since they would hide too much
        assert np.mean(found) == pytest.approx(share * 0.9, abs=0.12)

    def test_there_are_no_more_variants_for_it(self) -> None:
        augment = Augment(48, paste=0.8, variants=4)
        found = {crop.image.tobytes() for crop in self.crops(augment)}
        assert len(found) == 4
        assert found == {crop.image.tobytes() for crop in self.crops(augment)}

    @pytest.mark.parametrize("paste", [-0.1, 1.1])
    def test_a_share_that_cannot_be_is_refused(self, paste: float) -> None:
        with pytest.raises(DataError, match=r"augment: .*paste=-?\d\.\d; expected .* 0 <= paste <= 1"):
            Augment(48, paste=paste)


class TestDonors:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        voc_tree(tmp_path / "voc2012")
        davis_tree(tmp_path / "davis")
        return tmp_path

    def mixture(self, root: Path) -> Mixture:
        sources: dict[str, Any] = {
            "voc": {"source": partial(Voc, root / "voc2012"), "weights": {"semantic": 1}},
            "davis": {"source": partial(Davis, root / "davis"), "weights": {"video": 1}},
        }
        return Mixture("train", sources)

    def test_they_are_of_another_class_or_video_of_the_same_part(self, root: Path) -> None:
        source, rng = self.mixture(root), np.random.default_rng(0)
        photographs = [("voc", f"SegmentationObject/2007_00000{number}", 1) for number in range(1, 5)]
        expected = {
            "voc/cat": photographs[2:],
            "voc/dog": photographs[:2],
            "davis/bear/1": [("davis", "bear/00000", 2), ("davis", "bear/00001", 2)],
        }
        for group, others in expected.items():
            donors = [source.donor((group,), rng) for _ in range(30)]
            assert {(*donor.key, donor.value) for donor in donors if donor} == set(others)

    def test_without_another_there_is_none(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        assert self.mixture(root).donor(("voc/cat", "voc/dog"), rng) is None
        alike = [self.mixture(root).donor(("voc/cat", "voc/dog"), rng, alike=True) for _ in range(40)]
        assert len({donor.key for donor in alike if donor}) == 4
        assert Shapes("train", size=48).donor(("any",), rng) is None

    def test_episodes_show_them(self, root: Path, equal: Callable[[object, object], bool]) -> None:
        def episodes(share: float) -> TrainEpisodes:
            augment = Augment(48, paste=share, colour=0.0)
            points = PointRange(8, 8, dense=0.0, missing=0.0)
            return TrainEpisodes(
                self.mixture(root), {"semantic": 1.0, "video": 1.0}, points, EpisodeOptions(), augment, seed=0
            )

        for index in range(10):
            found, again = episodes(1.0)[(0, index)], episodes(1.0)[(0, index)]
            assert equal(found, again)
            assert (found.target == 1).any()

    def test_a_second_question_asks_for_what_is_pasted(self, root: Path) -> None:
        parts: dict[str, Any] = {"voc": {"source": partial(Voc, root / "voc2012"), "weights": {"interactive": 1}}}
        points = PointRange(8, 8, dense=0.0, missing=0.0)
        asked = {}
        for share in (0.0, 1.0):
            augment = Augment(48, paste=share, colour=0.0)
            episodes = TrainEpisodes(
                Mixture("train", parts), {"interactive": 1.0}, points, EpisodeOptions(turns=2), augment, seed=0
            )
            asked[share] = [episodes[(0, item)] for item in range(40)]
        groups = {share: {e.meta["group"] for e in found} for share, found in asked.items()}
        assert not any("254" in group for group in groups[0.0])
        assert any("254" in group for group in groups[1.0])
        for first, second in zip(asked[1.0][::2], asked[1.0][1::2], strict=True):
            if "254" in second.meta["group"]:
                assert second.query is first.query
                assert (second.target == 1).any()
                assert not ((second.target == 1) & (first.target == 1)).any()


def test_data_without_other_images_is_refused() -> None:
    source = partial(Shapes, size=48)
    data = Episodes(source, {"interactive": 1.0}, augment=Augment(48, paste=0.5), num_workers=0)
    with pytest.raises(
        DataError, match=r"augment\.paste=0\.5, but 'shapes' makes its images and has no others to paste"
    ):
        data.setup("fit")
