"""What it costs to annotate 1,000 images of one class by hand and with dots, by simulated clicks.

python experiments/annotation_cost/measure.py FOLDER_OF_VOC [--held_out cow] [--images 0] [--checkpoint guided-lite0]
python experiments/annotation_cost/measure.py                  # only the table, from results.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from guided_seg.session import Session  # before OpenCV, see "Beside other programs" in docs/session.md

import cv2  # isort: skip
import numpy as np  # isort: skip
from jaxtyping import UInt8  # isort: skip

from guided_seg.data.sources.voc import Voc
from guided_seg.episode import IGNORE
from guided_seg.formats.rings import rings
from guided_seg.metrics.intervals import bootstrap
from guided_seg.metrics.j_and_f import region_similarity
from guided_seg.metrics.simulated_clicks import LIMIT, Click, next_click
from guided_seg.report.table import Table, columns

HERE = Path(__file__).parent
RESULTS, TABLE = HERE / "results.csv", HERE / "table.md"
TARGETS = (0.85, 0.90)
SHOWN = (1, 5, 10)
"""How many images are annotated before the rest is segmented."""
HAND, ALONE, REST = "hand", "alone", "rest"
SECONDS = 7 / 4
"""Of a click: 7 s for four clicks on the outline of an object (Papadopoulos et al., ICCV 2017)."""
MANY = 1000
FEW = 5
"""Number of dots after which a person may give up and outline the object by hand."""
_FINE = 8
"""How many rows and columns a pixel is divided into to fill outlines."""

Target = UInt8[np.ndarray, "H W"]
"""0 is the background, 1 the object, 255 void."""


@dataclass(frozen=True)
class Row:
    """What an image takes in one way of annotating it.

    Attributes:
        image: its name.
        target: the IoU to reach.
        way: ``hand``; ``alone``, dots from nothing; ``rest1``, ``rest5``, ``rest10``, dots after the guided answer.
        start: IoU before the first click.
        clicks: vertices, or dots.
        reached: whether these clicks reach the target.
        seconds: of computing, with encoding the image.
    """

    image: str
    target: float
    way: str
    start: float
    clicks: int
    reached: bool
    seconds: float


class Step(NamedTuple):
    """The answer after some clicks: its IoU, and the seconds of computing until then."""

    iou: float
    seconds: float


def polygons(target: Target, least: float) -> int:
    """How many vertices outline an object, simplified as far as the IoU stays at ``least``.

    Parts and holes that shrink to a line are left out. An IoU need not fall as the outline gets simpler, so a range of
    tolerances is tried.
    """
    outlines = [ring.corners.astype(np.int32)[:, None] for ring in rings(target == 1)]
    best = sum(map(len, outlines))
    for tolerance in np.geomspace(0.5, max(target.shape) / 2, 40):
        kept = [cv2.approxPolyDP(outline, tolerance, closed=True) for outline in outlines]
        kept = [outline for outline in kept if len(outline) > 2]
        vertices = sum(map(len, kept))
        if vertices < best and _reaches(kept, target, least):
            best = vertices
    return best


def _reaches(outlines: Sequence[np.ndarray], target: Target, least: float) -> bool:
    """Whether the pixels with a centre within an odd number of outlines have the IoU."""
    # OpenCV also fills the pixels that an edge passes; on a finer grid these are not the centres of pixels
    painted = np.zeros([_FINE * side for side in target.shape], np.uint8)
    cv2.fillPoly(painted, [outline * _FINE for outline in outlines], 1)
    return _iou(painted[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE], target) >= least


class Annotator:
    """Simulated clicks in a session on images of one class, each to the deepest point of the error.

    Args:
        session: a session without images.
        targets: image id -> its target.
        label: the name of the class.
    """

    def __init__(self, session: Session, targets: dict[str, Target], label: str) -> None:
        self.session, self.targets, self.label = session, targets, label
        session.add_label(label)

    def clear(self) -> None:
        """Forget all dots."""
        self.session.clear()
        self.session.forget_history()

    def show(self, image: str, clicks: Sequence[Click]) -> None:
        """Set dots."""
        for row, column, positive in clicks:
            self.session.dot(image, row, column, self.label if positive else "negative")

    def correct(self, image: str, until: float, guided: bool) -> tuple[list[Click], list[Step]]:
        """Click until the IoU is reached, or `LIMIT` clicks; the steps begin with the one before any click.

        Args:
            image: id of the image, which has no dots.
            until: the IoU to reach.
            guided: begin with the answer that dots on other images give; else with an empty one.
        """
        target, clicks = self.targets[image], list[Click]()
        found, spent = np.zeros(target.shape, np.uint8), 0.0
        if guided:
            found, spent = self._answer(image)
        steps = [Step(_iou(found, target), spent)]
        while steps[-1].iou < until and len(clicks) < LIMIT and (click := next_click(found, target, clicks)):
            clicks.append(click)
            self.show(image, [click])
            found, seconds = self._answer(image)
            spent += seconds
            steps.append(Step(_iou(found, target), spent))
        return clicks, steps

    def _answer(self, image: str) -> tuple[UInt8[np.ndarray, "H W"], float]:
        began = time.perf_counter()
        found = self.session.refined(image)
        return found, time.perf_counter() - began


def _iou(found: UInt8[np.ndarray, "H W"], target: Target) -> float:
    return region_similarity(found == 1, target == 1, target == IGNORE)


def _row(image: str, until: float, way: str, steps: Sequence[Step], encoding: float = 0.0) -> Row:
    """The row of the first step that reaches the target, or of the last one."""
    number = next((number for number, step in enumerate(steps) if step.iou >= until), None)
    clicks = len(steps) - 1 if number is None else number
    seconds = round(encoding + steps[clicks].seconds, 3)
    return Row(image, until, way, round(steps[0].iou, 4), clicks, number is not None, seconds)


def measure(annotator: Annotator) -> Iterator[Row]:
    """The rows of all images. Each image of the rest is guided by images of its own, drawn at random."""
    targets, session = annotator.targets, annotator.session
    dots: dict[tuple[str, float], list[Click]] = {}
    encoding: dict[str, float] = {}
    for image, target in targets.items():
        annotator.clear()
        began = time.perf_counter()
        session.warm_up(*target.shape)
        encoding[image] = time.perf_counter() - began
        clicks, steps = annotator.correct(image, max(TARGETS), guided=False)
        for until in TARGETS:
            row = _row(image, until, ALONE, steps)
            dots[image, until] = clicks[: row.clicks]
            yield row
            yield Row(image, until, HAND, 0.0, polygons(target, until), True, 0.0)
    rng = np.random.default_rng(0)
    for image in targets:
        others = [str(name) for name in rng.permutation([name for name in targets if name != image])]
        for until in TARGETS:
            for shown in SHOWN:
                annotator.clear()
                for other in others[:shown]:
                    annotator.show(other, dots[other, until])
                # what the others show is known before the image comes, so it is no part of its time
                session.segment(others[0])
                steps = annotator.correct(image, until, guided=True)[1]
                yield _row(image, until, f"{REST}{shown}", steps, encoding[image])


def table(rows: Sequence[Row]) -> Table:
    """The costs of `MANY` images in each way."""
    head = (
        "IoU to reach",
        "way",
        f"images to correct, of {MANY:,}",
        f"not reached by {LIMIT} dots",
        "clicks an image",
        "computing an image, s",
        "a person, hours",
        f"hours if dots end after {FEW}",
    )
    cells = []
    for until in TARGETS:
        of = _by_way(rows, until)
        for way in _ways():
            clicks = _clicks(of, way)
            by_dots: tuple[str | None, str | None] = (None, None)
            if way != HAND:
                failed = _of_many(of, way, lambda row: not row.reached)
                by_dots = f"{failed:.0f}", f"{np.mean([row.seconds for row in of[way]]):.1f}"
            wrong = _of_many(of, way, lambda row, until=until: row.start < until)
            words = (f"{until:.2f}", _name(way), f"{wrong:,.0f}", by_dots[0], _mean(clicks), by_dots[1])
            looks = int(way != HAND)
            hours = [_mean((each + looks) * SECONDS * MANY / 3600) for each in (clicks, _clicks(of, way, FEW))]
            cells.append((*words, *hours))
    return Table(columns(head), cells)


def _of_many(of: dict[str, list[Row]], way: str, which: Callable[[Row], bool]) -> float:
    """How many of `MANY` images are so, with those that are annotated first."""
    shown = int(way.removeprefix(REST)) if way.startswith(REST) else 0
    first, rest = (float(np.mean([which(row) for row in of[each]])) for each in (ALONE if shown else way, way))
    return shown * first + (MANY - shown) * rest


def differences(rows: Sequence[Row]) -> Iterator[str]:
    """Clicks an image of pairs of ways, subtracted image by image."""
    for until in TARGETS:
        of = _by_way(rows, until)
        for way in _ways()[1:]:
            for other in (HAND, ALONE)[: 1 if way == ALONE else 2]:
                yield f"{until:.2f}: {way} - {other}: {_mean(_clicks(of, way) - _clicks(of, other))} clicks"


def _by_way(rows: Sequence[Row], until: float) -> dict[str, list[Row]]:
    return {way: [row for row in rows if row.target == until and row.way == way] for way in _ways()}


def _ways() -> list[str]:
    return [HAND, ALONE, *(f"{REST}{shown}" for shown in SHOWN)]


def _name(way: str) -> str:
    names = {HAND: "by hand, polygons", ALONE: "dots, each image alone"}
    return names.get(way) or f"dots on {way.removeprefix(REST)}, then the rest corrected"


def _clicks(of: dict[str, list[Row]], way: str, limit: int = LIMIT) -> np.ndarray:
    """Clicks of each image, as a mean over `MANY`: of those annotated first, and of the rest.

    An image that ``limit`` dots do not finish is outlined by hand after them.
    """

    def with_outline(way: str) -> np.ndarray:
        assert [row.image for row in of[way]] == [row.image for row in of[HAND]]
        pairs = zip(of[way], of[HAND], strict=True)
        return np.array(
            [row.clicks if row.reached and row.clicks <= limit else limit + hand.clicks for row, hand in pairs], float
        )

    if way == HAND:
        return np.array([row.clicks for row in of[way]], float)
    if way == ALONE:
        return with_outline(way)
    shown = int(way.removeprefix(REST))
    return (shown * with_outline(ALONE) + (MANY - shown) * with_outline(way)) / MANY


def _mean(values: np.ndarray) -> str:
    low, high = bootstrap(lambda times: times @ values / times.sum(1), len(values))
    return f"{values.mean():.1f} [{low:.1f}, {high:.1f}]"


def read() -> list[Row]:
    """The rows of `RESULTS`."""
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return [
            Row(
                row["image"],
                float(row["target"]),
                row["way"],
                float(row["start"]),
                int(row["clicks"]),
                row["reached"] == "True",
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


def write(rows: Sequence[Row]) -> None:
    """Write `RESULTS`."""
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def annotator_of(root: Path, held_out: str, images: int, checkpoint: str) -> Annotator:
    """A session with the images of a class in VOC's val list: ``images`` of them, evenly spread, or all for 0."""
    source = Voc(root, "test", held_out)
    session, targets = Session.load(checkpoint), dict[str, Target]()
    there = source.classes[held_out]
    number = min(images or len(there), len(there))
    for found in (there[index * len(there) // number] for index in range(number)):
        sample = source.load(found.key)
        name = Path(str(found.key)).name
        session.add_image(name, sample.image)
        labels = np.where(sample.labels == IGNORE, IGNORE, sample.labels == found.value)
        targets[name] = labels.astype(np.uint8)
    return Annotator(session, targets, held_out)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--held_out", default="cow")
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--checkpoint", default="guided-lite0")
    words = parser.parse_args()
    if words.root:
        annotator = annotator_of(words.root, words.held_out, words.images, words.checkpoint)
        rows = []
        for row in measure(annotator):
            rows.append(row)
            sys.stderr.write(f"{row}\n")
        write(rows)
    text = table(read()).markdown("bare")
    TABLE.write_text(text, encoding="utf-8")
    sys.stdout.write("\n".join([text, *differences(read()), ""]))


if __name__ == "__main__":
    main()
