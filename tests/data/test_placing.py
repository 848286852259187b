"""Where dots fall in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from guided_seg.data.sampling.placing import BAND, place_points
from guided_seg.data.sampling.points import PLACES, PointRange, binarize, sample_points
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import IGNORE, Episode
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions

SIDE = 80


def scene(void: int = 0) -> np.ndarray:
    """A label map: a disc of value 5 with so much void around it, and another object of value 6 in the corner."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(labels, (50, 40), 18 + void, IGNORE, -1)
    cv2.circle(labels, (50, 40), 18, 5, -1)
    labels[:12, :12] = 6
    return labels


def dots_of(labels: np.ndarray, place: str, label: int, points: int = 10, seeds: int = 30) -> np.ndarray:
    """The (row, column) of dots of a label of the disc's task, over many draws."""
    mask = binarize(labels, (5,))
    drawn = (place_points(mask, points, {label: place}, labels, np.random.default_rng(seed)) for seed in range(seeds))
    return torch.cat(list(drawn))[:, :2].numpy()


class TestPlaces:
    def test_in_the_centre_they_are_deeper(self) -> None:
        labels = scene()
        depth = ndimage.distance_transform_edt(np.pad(labels == 5, 1))[1:-1, 1:-1]
        uniform, centre = (depth[tuple(dots_of(labels, place, 1).T)] for place in ("uniform", "centre"))
        # over a disc of radius 1, the mean depth is 1/3; weighed by the square of the depth it is 3/5
        assert uniform.mean() == pytest.approx(18 / 3, rel=0.15)
        assert centre.mean() == pytest.approx(18 * 3 / 5, rel=0.1)

    def test_the_image_ends_a_region(self) -> None:
        labels = np.full((40, 40), 5, np.uint8)
        rows, columns = dots_of(labels, "centre", 1).T
        assert np.abs(rows - 19.5).mean() < 8
        assert np.abs(columns - 19.5).mean() < 8

    @pytest.mark.parametrize("void", [0, 4])
    @pytest.mark.parametrize("label", [0, 1])
    def test_at_the_border_they_are_on_their_side_of_it(self, label: int, void: int) -> None:
        labels = scene(void)
        distance = np.hypot(*(dots_of(labels, "border", label, points=3) - [40, 50]).T)
        band = BAND * np.sqrt(np.pi) * 18 + 1.5
        if label:
            assert ((distance > 18 - band) & (distance < 19)).all()
        else:
            assert ((distance > 18 + void - 0.5) & (distance < 18 + void + band)).all()

    def test_the_edge_of_the_image_is_no_border(self) -> None:
        labels = np.zeros((40, 40), np.uint8)
        labels[:20] = 5
        assert set(dots_of(labels, "border", 1, points=3)[:, 0].tolist()) <= {18, 19}

    def test_distractors_are_other_objects(self) -> None:
        assert (dots_of(scene(void=4), "distractor", 0) < 12).all()
        rows, columns = dots_of(scene(), "distractor", 1).T
        assert (scene()[rows, columns] == 5).all()


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Mapping[int, int], dict[int, str], int]:
    height, width, seed = draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.integers(0, 2**32))
    shares = draw(st.lists(st.sampled_from([0.0, 0.002, 0.1, 1.0]), min_size=5, max_size=5).filter(any))
    values = np.array([0, 1, 2, 3, IGNORE], np.uint8)
    labels = np.random.default_rng(seed).choice(values, size=(height, width), p=np.array(shares) / sum(shares))
    wanted = {label: draw(st.integers(0, 60)) for label in range(3)}
    places = {label: draw(st.sampled_from(PLACES)) for label in range(3)}
    return labels, wanted, places, seed


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_distinct_pixels_of_the_right_label_as_many_as_there_are(case: Any) -> None:
    labels, wanted, places, seed = case
    mask = binarize(labels, (1, 2))
    dots = place_points(mask, wanted, places, labels, np.random.default_rng(seed))
    assert dots.dtype == torch.int64
    assert torch.equal(dots, place_points(mask, wanted, places, labels, np.random.default_rng(seed)))
    assert all(mask[row, column] == label for row, column, label in dots.tolist())
    assert len({(row, column) for row, column, _ in dots.tolist()}) == len(dots)
    for label in range(3):
        assert int((dots[:, 2] == label).sum()) == min(wanted[label], int((mask == label).sum()))


def test_uniformly_they_are_those_of_an_evaluation() -> None:
    mask = binarize(scene(), (5,))
    dots = place_points(mask, 7, dict.fromkeys((0, 1), "uniform"), scene(), np.random.default_rng(3))
    assert torch.equal(dots, sample_points(mask, 7, (0, 1), np.random.default_rng(3)))


class TestTraining:
    def episodes(self, **place: float) -> list[Episode]:
        points = PointRange(4, 4, dense=0.0, missing=0.0, **({"place": place} if place else {}))
        source = Shapes("train", size=48, min_pixels=40)
        weights: dict[Mode, float] = {"interactive": 1.0, "semantic": 1.0}
        data = TrainEpisodes(source, weights, points, EpisodeOptions(shots=(1, 2)), Augment(48), seed=0)
        return [data[(0, index)] for index in range(40)]

    def test_shares_of_nothing_change_nothing(self, equal: Any) -> None:
        assert equal(self.episodes(), self.episodes(uniform=2.0, centre=0.0))

    def test_an_episode_has_its_dots_there(self) -> None:
        plain, placed = self.episodes(), self.episodes(distractor=1.0)
        assert all(torch.equal(a.query, b.query) for a, b in zip(plain, placed, strict=True))
        source = Shapes("train", size=48, min_pixels=40)
        data = TrainEpisodes(
            source, {"interactive": 1.0}, PointRange(4, 4, 0.0, 0.0, place={"distractor": 1}), EpisodeOptions(), None, 0
        )
        for index in range(20):
            rng = np.random.default_rng((0, 0, index, 0))
            rng.choice(1, p=[1.0])
            key = source.sample("interactive", int(rng.integers(1, 2)), rng).query.key
            shown = source.load(key).labels
            dots = data[(0, index)].support[0].points
            assert dots is not None
            assert all(shown[row, column] > 0 for row, column, label in dots.tolist())

    def test_each_label_of_a_shot_has_its_place(self) -> None:
        points, rng = PointRange(place={"uniform": 1, "centre": 3, "border": 0}), np.random.default_rng(0)
        drawn = [tuple(points.draw_places((0, 1), rng).values()) for _ in range(800)]
        found = {places: number / 800 for places, number in Counter(drawn).items()}
        expected = {
            ("uniform", "uniform"): 1,
            ("uniform", "centre"): 3,
            ("centre", "uniform"): 3,
            ("centre", "centre"): 9,
        }
        assert found == pytest.approx({places: number / 16 for places, number in expected.items()}, abs=0.06)


@pytest.mark.parametrize("place", [{"middle": 1.0}, {"uniform": 0.0}, {"uniform": -1.0, "centre": 2.0}, {}])
def test_shares_that_cannot_be_are_refused(place: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"points\.place=.*: expected shares from 0 of uniform, centre, border, distr"):
        PointRange(place=place)
