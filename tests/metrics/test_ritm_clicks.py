"""Simulated clicks and NoC against another implementation of the rule of f-BRS and RITM, click by click."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from support.commands import CONF

from guided_seg.data.sources.folder import Folder
from guided_seg.episode import IGNORE
from guided_seg.metrics.human_clicks import Person
from guided_seg.metrics.simulated_clicks import Click, clicks_needed, next_click

DATA = Path(os.environ.get("GUIDED_SEG_DATA") or CONF.parent / "../shared/data").resolve()
Predict = Callable[[list[Click]], np.ndarray]


class Ritm:
    """The clicker and the NoC of RITM's evaluation, written from its description; void is -1 here."""

    def __init__(self, target: np.ndarray) -> None:
        self.object, self.scored = target == 1, target != -1
        self.free = np.ones(target.shape, bool)

    def click(self, found: np.ndarray) -> Click:
        """The deepest point of the missed pixels or of the false ones, whichever is deeper; of equals, the false."""
        missed = self._distances(self.object & ~found & self.scored)
        false = self._distances(~self.object & found & self.scored)
        positive = missed.max() > false.max()
        distances = missed if positive else false
        rows, columns = np.where(distances == distances.max())
        self.free[rows[0], columns[0]] = False
        return Click(int(rows[0]), int(columns[0]), bool(positive))

    def _distances(self, error: np.ndarray) -> np.ndarray:
        inside: np.ndarray = distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        return inside * self.free

    def iou(self, found: np.ndarray) -> float:
        both = (self.object & found & self.scored).sum()
        return float(both / ((self.object | found) & self.scored).sum())

    def clicks(self, predict: Predict, limit: int = 20) -> Iterator[tuple[Click, float]]:
        """Each click with the IoU of the answer to it."""
        found, clicks = np.zeros(self.object.shape, bool), list[Click]()
        while len(clicks) < limit:
            clicks.append(self.click(found))
            found = predict(clicks)
            yield clicks[-1], self.iou(found)


def noc(ious: list[float], threshold: float) -> int:
    """As RITM counts from the IoUs of all clicks."""
    reached = np.array(ious) >= threshold
    return int(np.argmax(reached)) + 1 if reached.any() else len(ious)


def ours(target: np.ndarray, predict: Predict) -> Iterator[tuple[Click, float]]:
    """The same with our functions; void is `IGNORE`."""
    found, clicks = np.zeros(target.shape, bool), list[Click]()
    while (click := next_click(found, target, clicks)) is not None:
        clicks.append(click)
        found = predict(clicks)
        scored = target != IGNORE
        both, either = (found & (target == 1) & scored).sum(), ((found | (target == 1)) & scored).sum()
        yield click, float(both / either)


def nearest_dot(texture: np.ndarray) -> Predict:
    """Each pixel has the label of the nearest dot, in place and in brightness."""

    def predict(clicks: list[Click]) -> np.ndarray:
        rows, columns = np.indices(texture.shape)
        costs = [
            (rows - row) ** 2 + (columns - column) ** 2 + 40 * (texture - texture[row, column]) ** 2
            for row, column, _ in clicks
        ]
        positive = np.array([click.positive for click in clicks])
        return np.asarray(positive[np.argmin(costs, axis=0)])

    return predict


def blobs(seed: int, shape: tuple[int, int] = (70, 90)) -> tuple[np.ndarray, np.ndarray]:
    """A target of irregular regions, some at the edge of the image, with a band of void; and a texture."""
    rng = np.random.default_rng(seed)
    height = gaussian_filter(rng.normal(size=shape), 6)
    target = (height > np.quantile(height, 0.7)).astype(np.uint8)
    target[np.abs(height - np.quantile(height, 0.7)) < 0.004] = IGNORE
    return target, 20 * height / height.std() + rng.normal(size=shape)


def assert_agreement(target: np.ndarray, predict: Predict) -> None:
    theirs = list(Ritm(np.where(target == IGNORE, -1, target.astype(int))).clicks(predict))
    mine = list(islice(ours(target, predict), 20))
    assert [click for click, _ in mine] == [click for click, _ in theirs]
    ious = [iou for _, iou in mine]
    assert ious == pytest.approx([iou for _, iou in theirs], abs=1e-12)
    for threshold in (0.5, 0.8, 0.85, 0.9):
        assert clicks_needed(ious, threshold) == noc(ious, threshold)


@pytest.mark.parametrize("seed", range(12))
def test_twenty_clicks_are_those_of_ritm(seed: int) -> None:
    target, texture = blobs(seed)
    assert {*np.unique(target)} == {0, 1, IGNORE}
    assert_agreement(target, nearest_dot(texture))


@pytest.mark.parametrize("seed", range(4))
def test_people_without_jitter_and_bias_click_as_ritm(seed: int) -> None:
    target, texture = blobs(seed)
    person, predict = Person(np.random.default_rng(seed), jitter=0, bias=0), nearest_dot(texture)
    found, clicks = np.zeros(target.shape, bool), list[Click]()
    for click, _ in Ritm(np.where(target == IGNORE, -1, target.astype(int))).clicks(predict):
        assert person.next_click(found, target, clicks) == click
        clicks.append(click)
        found = predict(clicks)


@pytest.mark.parametrize("name", ["grabcut", "berkeley"])
def test_clicks_on_the_benchmarks_of_the_field_are_those_of_ritm(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name}/ in {DATA}; set GUIDED_SEG_DATA to the folder that holds it")
    source = Folder(DATA / name, "test", whole=True)
    number = source.count("interactive")
    assert number == {"grabcut": 50, "berkeley": 100}[name]
    for index in range(0, number, 17):
        task = source.fixed("interactive", index, 1, np.random.default_rng(0))
        sample = source.load(task.query.key)
        target = np.where(sample.labels == IGNORE, IGNORE, sample.labels == task.query.values[0]).astype(np.uint8)
        grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY).astype(float)
        assert_agreement(target, nearest_dot(grey))
