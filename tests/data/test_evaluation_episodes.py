"""Frozen episodes with their pixels, at their own size or another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.boxes import Boxes

from guided_seg.data.frozen.evaluation_episodes import (
    EvaluationEpisode,
    EvaluationEpisodes,
    first_of_each,
    resize,
    resize_dots,
    shot_with,
)
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.data.sampling.points import binarize
from guided_seg.data.source import MODES, Mode, Sample
from guided_seg.episode import IGNORE, Shot
from guided_seg.errors import DataError

many = settings(max_examples=60, deadline=None)
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))

IMAGES = {f"{name}/{i}": values for name, values in {"a": (1, 2), "b": (2, 3)}.items() for i in range(5)}
SOURCE = Boxes(IMAGES)


def asked(mode: Mode, size: tuple[int, int] | None = None, objects: int = 1, **plan: int) -> EvaluationEpisodes:
    frozen = freeze(SOURCE, "test", Plan([mode], shots=3, points=4, objects=objects, **plan))
    return EvaluationEpisodes(SOURCE, frozen, size)


@st.composite
def dots_of(draw: st.DrawFn, size: tuple[int, int]) -> torch.Tensor:
    row = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1), st.integers(0, 3))
    return torch.tensor(draw(st.lists(row, max_size=8)), dtype=torch.int64).reshape(-1, 3)


@many
@given(st.data(), sizes, sizes)
def test_a_dot_goes_to_the_pixel_that_holds_its_centre(
    data: st.DataObject, old: tuple[int, int], new: tuple[int, int]
) -> None:
    dots = data.draw(dots_of(old))
    moved = resize_dots(dots, old, new)
    assert moved.dtype == torch.int64
    assert torch.equal(moved[:, 2], dots[:, 2])
    for before, after in zip(dots.tolist(), moved.tolist(), strict=True):
        for axis in (0, 1):
            # in whole numbers, as centres fall on borders: after <= (before + 1/2) new / old < after + 1
            centre = (2 * before[axis] + 1) * new[axis]
            assert 2 * old[axis] * after[axis] <= centre < 2 * old[axis] * (after[axis] + 1)
            assert 0 <= after[axis] < new[axis]


@many
@given(st.data(), sizes)
def test_a_dot_stays_where_the_size_does_and_comes_back_from_a_larger_one(
    data: st.DataObject, size: tuple[int, int]
) -> None:
    dots = data.draw(dots_of(size))
    assert torch.equal(resize_dots(dots, size, size), dots)
    larger = (size[0] + data.draw(st.integers(0, 300)), size[1] + data.draw(st.integers(0, 300)))
    assert torch.equal(resize_dots(resize_dots(dots, size, larger), larger, size), dots)


@many
@given(*(st.integers(1, 60) for _ in range(4)))
def test_masks_take_the_nearest_pixel_so_that_dots_keep_their_label(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    new = new_height, new_width
    found = [resize(Sample(np.full((height, width, 3), 77, np.uint8), labels), new) for labels in (rows, columns)]
    for axis, old in enumerate((height, width)):
        centre = (2 * np.mgrid[:new_height, :new_width][axis] + 1) * old
        # where a centre falls between two pixels, either is as near
        nearest = [(centre - tie) // (2 * new[axis]) == found[axis].labels for tie in (0, 1)]
        assert np.logical_or(*nearest).all()
        assert found[axis].image.shape == (*new, 3)
        assert (found[axis].image == 77).all()
    if new_height >= height and new_width >= width:
        dots = torch.tensor([[row, column, 0] for row in range(height) for column in range(width)])
        row, column, _ = resize_dots(dots, (height, width), new).T.numpy()
        assert np.array_equal(found[0].labels[row, column], rows.ravel())
        assert np.array_equal(found[1].labels[row, column], columns.ravel())


@many
@given(st.data(), st.integers(0, 4))
def test_the_first_of_each_label(data: st.DataObject, number: int) -> None:
    dots = data.draw(dots_of((9, 9)))
    expected = [dot for label in range(4) for dot in [d for d in dots.tolist() if d[2] == label][:number]]
    assert first_of_each(dots, number).tolist() == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_question_is_asked_with_any_shots_and_dots(mode: Mode) -> None:
    items = asked(mode)
    for number in range(len(items)):
        item, frozen = items[number], items.frozen.episodes[number]
        query = SOURCE.load(frozen.query.key)
        assert item.number == item.dense.meta["index"] == number
        assert np.array_equal(item.dense.target, binarize(query.labels, frozen.query.values))
        for shots in (1, 2, 3):
            views = frozen.support[:shots]
            dense, dotted = item.with_setting(shots, None), item.with_setting(shots, 2)
            if mode == "video" and frozen.query.key in [view.key for view in views]:
                assert dense is None
                assert dotted is None
                continue
            assert dense is not None
            assert dotted is not None
            for view, full, few in zip(views, dense.support, dotted.support, strict=True):
                labels = binarize(SOURCE.load(view.key).labels, view.values)
                assert full.points is None
                assert full.mask is not None
                assert np.array_equal(full.mask, labels)
                assert few.mask is None
                assert few.points is not None
                assert few.points[:, 2].tolist() == [0, 0, 1, 1]
                assert set(map(tuple, few.points.tolist())) <= set(view.dots)
                assert all(labels[row, column] == label for row, column, label in few.points.tolist())
                assert full.is_query == few.is_query == (mode == "interactive")


def test_an_annotated_frame_is_no_question() -> None:
    # frames 0, 4 and 2 of five are shown, in this order
    unasked = {
        shots: {
            item.frozen.query.key
            for item in map(asked("video").__getitem__, range(16))
            if not item.with_setting(shots, 1)
        }
        for shots in (1, 2, 3)
    }
    assert unasked == {1: set(), 2: {"a/4", "b/4"}, 3: {"a/4", "b/4", "a/2", "b/2"}}


def test_an_image_of_each_class_makes_a_shot() -> None:
    item = asked("semantic", objects=3)[0]
    assert (item.frozen.ways, item.dense.num_labels) == (3, 4)
    for shots in (1, 2):
        episode = item.with_setting(shots, 1)
        assert episode is not None
        assert len(episode.support) == 3 * shots


def test_everything_is_asked_at_another_size() -> None:
    for mode in MODES:
        own, other = asked(mode)[0], asked(mode, (50, 31))[0]
        assert other.dense.query.shape == (3, 50, 31)
        assert other.dense.target.shape == (50, 31)
        for shot, before, dots, view in zip(
            other.dense.support, own.dense.support, other.dots, own.frozen.support, strict=True
        ):
            assert shot.image.shape == (3, 50, 31)
            old = (before.image.shape[1], before.image.shape[2])
            assert torch.equal(dots, resize_dots(torch.tensor(view.dots), old, (50, 31)))
            assert shot.mask is not None
            assert shot.mask.shape == (50, 31)
            assert (shot.mask == IGNORE).any()


def test_images_that_questions_share_are_one_tensor() -> None:
    items = asked("video")
    first, second = items[0], items[1]
    assert first.dense.support[0].image is second.dense.support[0].image
    interactive = asked("interactive")[0]
    assert interactive.dense.support[0].image is interactive.dense.query


def test_a_shot_with_other_dots() -> None:
    shot = Shot(torch.zeros(3, 4, 4), mask=torch.zeros(4, 4, dtype=torch.uint8), is_query=True, meta={"image": "x"})
    found = shot_with(shot, torch.tensor([[1, 2, 1]]))
    assert found.points is not None
    assert found.points.tolist() == [[1, 2, 1]]
    assert found.mask is None
    assert found.image is shot.image
    assert (found.is_query, found.meta) == (True, {"image": "x"})


@pytest.mark.parametrize("change", ["a label", "the size"])
@pytest.mark.parametrize("role", ["query", "support"])
def test_other_data_than_was_frozen_is_refused(change: str, role: str) -> None:
    class Other(Boxes):
        def load(self, key: object) -> Sample:
            sample = super().load(key)
            if key != spoilt:
                return sample
            if change == "the size":
                return Sample(sample.image[:-1].copy(), sample.labels[:-1].copy())
            sample.labels[0, 9] = 7
            return sample

    frozen = freeze(SOURCE, "test", Plan(["semantic"], 1, shots=1, points=1))
    spoilt = (frozen.episodes[0].query if role == "query" else frozen.episodes[0].support[0]).key
    expected = rf"The image {spoilt} is \d+ x \d+ with label checksum \d+, but .* use the data that they were frozen on"
    with pytest.raises(DataError, match=expected):
        EvaluationEpisodes(Other(IMAGES), frozen)[0]


def test_a_question_keeps_all_but_its_support() -> None:
    item: EvaluationEpisode = asked("semantic")[0]
    episode = item.with_support([])
    assert episode.query is item.dense.query
    assert episode.target is item.dense.target
    assert (episode.meta, episode.num_labels) == (item.dense.meta, item.dense.num_labels)
