"""J and F of predictions saved as DAVIS files, against the package `vos-benchmark` that scores the same files."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import vos_benchmark.benchmark as official

from guided_seg.data.images import read_labels
from guided_seg.metrics.j_and_f import contour_accuracy, region_similarity
from guided_seg.report.prediction_files import write_voc

FRAMES = 5


def discs(height: int, width: int, objects: int, frame: int, error: float = 0.0) -> np.ndarray:
    """A frame of discs that drift; ``error`` moves, shrinks and roughens them."""
    rng = np.random.default_rng((frame, objects))
    rows, columns = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.uint8)
    for number in range(1, objects + 1):
        row, column = height * (0.2 + 0.15 * number), width * number / (objects + 1) + 2 * frame
        distance = np.hypot(rows - row - 9 * error, columns - column - 6 * error)
        labels[distance + 4 * error * rng.normal(size=labels.shape) < height / 5] = number
    return labels


def perfect(height: int, width: int, objects: int, frame: int) -> np.ndarray:
    return discs(height, width, objects, frame)


def rough(height: int, width: int, objects: int, frame: int) -> np.ndarray:
    return discs(height, width, objects, frame, error=0.2 * frame)


def missing(height: int, width: int, objects: int, frame: int) -> np.ndarray:
    """The last object is lost halfway, and one that there is not comes up."""
    labels = discs(height, width, objects, frame, error=0.1)
    labels[labels == objects] = objects if frame < 2 else 0
    labels[-9:, -9:] = objects + 3
    return labels


def ours(truth: Path, predictions: Path, frames: slice) -> dict[str, dict[int, tuple[float, float]]]:
    """Mean J and F in percent of every object of every sequence."""
    scores: dict[str, dict[int, tuple[float, float]]] = {}
    for sequence in sorted(truth.iterdir()):
        files = sorted(sequence.iterdir())[frames]
        pairs = [(read_labels(predictions / sequence.name / file.name), read_labels(file)) for file in files]
        numbers = sorted({int(number) for _, target in pairs for number in np.unique(target)} - {0})
        scores[sequence.name] = {
            number: (
                100 * float(np.mean([region_similarity(found == number, true == number) for found, true in pairs])),
                100 * float(np.mean([contour_accuracy(found == number, true == number) for found, true in pairs])),
            )
            for number in numbers
        }
    return scores


@pytest.mark.parametrize("skip", [True, False], ids=["without first and last frame", "all frames"])
@pytest.mark.parametrize("predict", [perfect, rough, missing])
def test_saved_predictions_score_the_same(
    predict: Callable[..., np.ndarray], skip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, predictions = tmp_path / "Annotations", tmp_path / "predictions"
    for sequence, size in {"single": (97, 143, 1), "several": (150, 211, 3)}.items():
        for frame in range(FRAMES):
            write_voc(truth, f"{sequence}/{frame:05d}", discs(*size, frame))
            write_voc(predictions, f"{sequence}/{frame:05d}", predict(*size, frame))
    monkeypatch.setattr(official, "Pool", ThreadPool)  # its pool of processes takes longer than the work
    jf, j, f, (objects,) = official.benchmark(
        [str(truth)], [str(predictions)], num_processes=1, verbose=False, skip_first_and_last=skip
    )

    found = ours(truth, predictions, slice(1, -1) if skip else slice(None))
    assert {name: set(scores) for name, scores in found.items()} == {"single": {1}, "several": {1, 2, 3}}
    for sequence, scores in found.items():
        for number, (similarity, accuracy) in scores.items():
            theirs = [scores[number] for scores in objects[sequence]]
            assert [similarity, accuracy] == pytest.approx(theirs, abs=1e-3)
    mean = np.mean([pair for scores in found.values() for pair in scores.values()], axis=0)
    assert [mean.mean(), *mean] == pytest.approx([jf[0], j[0], f[0]], abs=1e-3)
