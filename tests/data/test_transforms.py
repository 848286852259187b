from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import Sample
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError

many = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32)


def _painted(height: int, width: int, seed: int) -> Sample:
    """An image whose colour is its label: 40 everywhere, 100 and 200 for two blobs."""
    rng = np.random.default_rng(seed)
    labels = np.full((height, width), 40, np.uint8)
    for value in (100, 200):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.ellipse(labels, centre, (width // 5, height // 4), float(rng.uniform(0, 180)), 0, 360, value, -1)
    return Sample(np.repeat(labels[..., None], 3, axis=2), labels)


def _middle(size: int) -> np.ndarray:
    """All but the rim of a crop, where something just beyond it is mixed in."""
    return np.pad(np.ones((size - 4, size - 4), bool), 2)


class TestAlignment:
    @many
    @given(height=st.integers(40, 90), width=st.integers(40, 90), seed=seeds)
    def test_labels_move_with_the_image(self, height: int, width: int, seed: int) -> None:
        crop = Augment(48, scale=(0.5, 2.0), colour=0.0)(
            _painted(height, width, seed), (100,), np.random.default_rng(seed)
        )
        assert crop.image.shape == (48, 48, 3)
        assert crop.labels.shape == (48, 48)
        # away from edges, where the image is a mixture, each pixel still has the colour of its label
        inside = cv2.erode(crop.labels, np.ones((5, 5))) == cv2.dilate(crop.labels, np.ones((5, 5)))
        known = inside & (crop.labels != IGNORE) & _middle(48)
        assume(known.any())  # now and then nothing but edges is in the crop
        assert np.array_equal(crop.image[known], np.repeat(crop.labels[known][:, None], 3, axis=1))

    @many
    @given(seed=seeds)
    def test_outside_the_image_is_ignored_and_nothing_else_is(self, seed: int) -> None:
        sample = _painted(30, 40, seed)
        crop = Augment(64, scale=(0.8, 1.2), colour=0.0)(sample, (100,), np.random.default_rng(seed))
        outside = crop.labels == IGNORE
        assert outside.any()
        assert set(np.unique(crop.labels)) <= {40, 100, 200, IGNORE}
        # linear interpolation fades to black within a pixel of the border
        core = cv2.erode(outside.view(np.uint8), np.ones((5, 5)), borderValue=1) > 0
        rest = (cv2.dilate(outside.view(np.uint8), np.ones((5, 5))) == 0) & _middle(64)
        assert not crop.image[core].any()
        assert (crop.image[rest] > 30).all()

    def test_void_stays_void(self) -> None:
        sample = _painted(40, 40, 0)
        sample.labels[:] = IGNORE
        crop = Augment(32)(sample, (1,), np.random.default_rng(0))
        assert (crop.labels == IGNORE).all()


class TestPositive:
    @many
    @given(height=st.integers(1, 200), width=st.integers(1, 200), seed=seeds)
    def test_a_single_pixel_stays_in_the_crop(self, height: int, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        labels = np.zeros((height, width), np.uint8)
        labels[rng.integers(height), rng.integers(width)] = 7
        sample = Sample(np.zeros((height, width, 3), np.uint8), labels)
        for _ in range(5):
            crop = Augment(32, scale=(0.25, 3.0))(sample, (7,), rng)
            rows, columns = np.nonzero(crop.labels == 7)
            assert len(rows)
            assert rows.max() >= 5
            assert columns.max() >= 5
            assert rows.min() <= 27
            assert columns.min() <= 27

    def test_the_crop_is_around_any_of_the_values(self) -> None:
        sample = Sample(np.zeros((100, 300, 3), np.uint8), np.zeros((100, 300), np.uint8))
        sample.labels[50, 10], sample.labels[50, 290] = 1, 2
        found = [set(np.unique(Augment(32)(sample, (1, 2), np.random.default_rng(s)).labels)) for s in range(40)]
        assert all(values & {1, 2} for values in found)
        assert any(1 in values for values in found)
        assert any(2 in values for values in found)

    @many
    @given(height=st.integers(20, 150), width=st.integers(20, 150), scale=st.floats(0.4, 2.5), seed=seeds)
    def test_inside_nothing_is_lost_that_need_not_be(self, height: int, width: int, scale: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        labels = np.zeros((height, width), np.uint8)
        labels[rng.integers(height), rng.integers(width)] = 7
        augment = Augment(48, scale=(scale, scale), inside=True)
        crop = augment(Sample(np.zeros((height, width, 3), np.uint8), labels), (7,), rng)
        if scale >= 1:
            assert (crop.labels == 7).any()
        rows, columns = np.nonzero(crop.labels != IGNORE)
        for found, side in ((rows, height), (columns, width)):
            # as much of the image as there is room for, but for a pixel at its end
            assert np.ptp(found) + 1 >= min(48, side * scale) - 3

    def test_an_image_without_the_value_is_cropped_anywhere(self) -> None:
        sample = Sample(np.full((60, 60, 3), 9, np.uint8), np.zeros((60, 60), np.uint8))
        crop = Augment(32, colour=0.0)(sample, (1,), np.random.default_rng(0))
        assert (crop.image == 9).any()


class TestStrength:
    def test_no_scale_no_flip_no_colour_copies_pixels(self) -> None:
        rng = np.random.default_rng(0)
        image = rng.integers(256, size=(50, 70, 3), dtype=np.uint8)
        labels = rng.integers(4, size=(50, 70), dtype=np.uint8)
        labels[20, 30] = 9
        crop = Augment(200, scale=(1.0, 1.0), flip=0.0, colour=0.0)(Sample(image, labels), (9,), rng)
        (row,), (column,) = np.nonzero(crop.labels == 9)
        window = np.s_[row - 20 : row + 30, column - 30 : column + 40]
        inside = np.zeros((200, 200), bool)
        inside[window] = True
        assert np.array_equal(crop.image[window], image[: crop.image[window].shape[0], : crop.image[window].shape[1]])
        assert np.array_equal(crop.labels[window], labels)
        assert (crop.labels[~inside] == IGNORE).all()

    def test_flip_mirrors(self) -> None:
        image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
        crop = Augment(48, scale=(1.0, 1.0), flip=1.0, colour=0.0)(
            Sample(image, labels), (5,), np.random.default_rng(0)
        )
        rows, columns = np.nonzero(crop.labels != IGNORE)
        window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert np.array_equal(crop.labels[window], labels[:, ::-1])
        assert np.array_equal(crop.image[window], image[:, ::-1])

    def test_flip_has_its_chance(self) -> None:
        sample = Sample(np.zeros((4, 4, 3), np.uint8), np.arange(16, dtype=np.uint8).reshape(4, 4))
        augment, rng = Augment(48, scale=(1.0, 1.0), flip=0.25, colour=0.0), np.random.default_rng(0)
        mirrored = []
        for _ in range(400):
            labels = augment(sample, (5,), rng).labels
            (column,), (next_column,) = np.nonzero(labels == 5)[1], np.nonzero(labels == 6)[1]
            mirrored.append(next_column < column)
        assert abs(np.mean(mirrored) - 0.25) < 0.09

    def test_scale_keeps_its_bounds(self) -> None:
        sample = Sample(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8))
        sample.labels[30:70, 30:70] = 1
        areas = [
            (Augment(300, scale=(0.5, 2.0))(sample, (1,), np.random.default_rng(s)).labels == 1).sum()
            for s in range(60)
        ]
        sides = np.sqrt(areas)
        assert 18 <= sides.min() < 25
        assert 65 < sides.max() <= 82

    @pytest.mark.parametrize("longest", [50, 100, 400])
    def test_relative_to_the_size_an_image_is_seen_at_the_same_scale_whatever_its_own(self, longest: int) -> None:
        sample = Sample(np.zeros((longest // 2, longest, 3), np.uint8), np.zeros((longest // 2, longest), np.uint8))
        edge = longest // 10
        sample.labels[edge : 2 * edge, edge : 2 * edge] = 1
        augment = Augment(200, scale=(1.5, 1.5), relative=True)
        area = (augment(sample, (1,), np.random.default_rng(0)).labels == 1).sum()
        assert np.sqrt(area) == pytest.approx(0.1 * 200 * 1.5, rel=0.1)

    @pytest.mark.parametrize("longest", [100, 400])
    def test_by_its_extent_an_object_is_seen_at_the_same_scale_whatever_its_own(self, longest: int) -> None:
        sample = Sample(np.zeros((longest, longest, 3), np.uint8), np.zeros((longest, longest), np.uint8))
        sample.labels[30:50, 40:80] = 1
        augment = Augment(200, extent=(0.5, 0.5))
        rows, columns = np.nonzero(augment(sample, (1,), np.random.default_rng(0)).labels == 1)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(100, abs=3)

    @pytest.mark.parametrize(("side", "expected"), [(4, 4 * 4), (300, 300 * 0.6)])
    def test_nothing_is_magnified_or_reduced_beyond_sense_for_it(self, side: int, expected: float) -> None:
        sample = Sample(np.zeros((400, 400, 3), np.uint8), np.zeros((400, 400), np.uint8))
        sample.labels[50 : 50 + side, 50 : 50 + side] = 1
        augment = Augment(400, extent=(0.4, 0.4), inside=True)
        area = (augment(sample, (1,), np.random.default_rng(1)).labels == 1).sum()
        assert np.sqrt(area) == pytest.approx(expected, abs=2)

    def test_colour_changes_the_image_and_not_the_labels(self) -> None:
        sample = _painted(64, 64, 0)
        plain, tinted = (Augment(64, colour=c)(sample, (100,), np.random.default_rng(5)) for c in (0.0, 0.5))
        assert np.array_equal(plain.labels, tinted.labels)
        assert not np.array_equal(plain.image, tinted.image)
        assert tinted.image.dtype == np.uint8


class TestPurity:
    def test_equal_generators_give_equal_crops(self) -> None:
        sample, augment = _painted(64, 80, 0), Augment(48)
        first, second, other = (augment(sample, (100,), np.random.default_rng(s)) for s in (3, 3, 4))
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.labels, second.labels)
        assert not np.array_equal(first.image, other.image)

    @pytest.mark.parametrize("colour", [0.0, 0.5])
    def test_the_input_is_shared_by_the_cache_so_it_is_not_written_to(self, colour: float) -> None:
        sample = _painted(64, 80, 0)
        image, labels = sample.image.copy(), sample.labels.copy()
        sample.image.flags.writeable = sample.labels.flags.writeable = False
        for seed in range(5):
            crop = Augment(64, scale=(1.0, 1.0), colour=colour)(sample, (100,), np.random.default_rng(seed))
            crop.image[:], crop.labels[:] = 0, 0
        assert np.array_equal(sample.image, image)
        assert np.array_equal(sample.labels, labels)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 8},
        {"size": 64, "scale": (0.0, 1.0)},
        {"size": 64, "scale": (1.2, 1.0)},
        {"size": 64, "colour": 1.0},
        {"size": 64, "colour": -0.1},
        {"size": 64, "flip": 1.5},
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"augment: size=\d+, .*expected size >= 16"):
        Augment(**options)


@pytest.mark.parametrize("extent", [(0.0, 1.0), (0.8, 0.5)])
def test_an_extent_that_cannot_be_is_refused(extent: tuple[float, float]) -> None:
    with pytest.raises(DataError, match=r"augment.extent=.*expected 0 < least share <= most share"):
        Augment(64, extent=extent)


class TestVariants:
    def crops(self, augment: Augment, sample: Sample, values: tuple[int, ...], number: int = 60) -> set[bytes]:
        return {augment(sample, values, np.random.default_rng(seed)).image.tobytes() for seed in range(number)}

    @pytest.mark.parametrize("variants", [1, 3])
    def test_an_image_has_so_many_crops_for_the_same_values(self, variants: int) -> None:
        augment, sample = Augment(48, variants=variants), _painted(64, 80, 0)
        found = self.crops(augment, sample, (100,))
        assert len(found) == variants
        assert self.crops(augment, Sample(sample.image.copy(), sample.labels), (100,)) == found, "wherever it is kept"
        assert not self.crops(augment, sample, (200,)) & found
        assert not self.crops(augment, _painted(64, 80, 1), (100,)) & found

    def test_they_are_endless_by_default(self) -> None:
        assert len(self.crops(Augment(48), _painted(64, 80, 0), (100,))) == 60

    def test_each_still_shows_what_it_is_about(self) -> None:
        sample = _painted(64, 80, 0)
        for seed in range(20):
            assert (Augment(48, variants=4)(sample, (200,), np.random.default_rng(seed)).labels == 200).any()

    @pytest.mark.parametrize("variants", [0, -1, True])
    def test_a_number_that_cannot_be_is_refused(self, variants: Any) -> None:
        with pytest.raises(DataError, match=r"augment.variants=.*: expected a whole number from 1, or null"):
            Augment(48, variants=variants)
