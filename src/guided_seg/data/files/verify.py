"""Check all files before training and count their labels. Each fault is one clear `DataError`.

Within `faults.leaving_out_broken`, faults are listed instead, to describe a data set as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress

from guided_seg.data.files.faults import current, refuse
from guided_seg.data.files.pairs import MASK_SUFFIXES, Pair, visible
from guided_seg.data.images import NOT_GREY, check_whole, image_size, mask_mode
from guided_seg.data.source import reading
from guided_seg.data.sources.tables import Counts
from guided_seg.episode import IGNORE
from guided_seg.errors import BrokenFile, DataError, why_unreadable
from guided_seg.files.text import read_text, shown
from guided_seg.machine.waiting import SHOW_AFTER

_LONGEST = 500  # characters per line of a list, which may have two paths

T = TypeVar("T")


def open_root(root: str | Path, layout: str, folders: Sequence[str], option: str = "data.root") -> Path:
    """The absolute path of the root in ``option``. Raises `DataError` if it or one of its ``folders`` is missing."""
    path = Path(root).expanduser().absolute()
    with reading(path):
        if path.is_file():
            raise DataError(
                f"The data root {path} is a file; unpack it if it is an archive, and set {option} to a folder that "
                f"holds {layout}."
            )
        if not path.is_dir():
            raise DataError(f"The data root {path} does not exist; set {option} to a folder that holds {layout}.")
        for folder in folders:
            if not (path / folder).is_dir():
                near = _near(path, folders, option)
                raise DataError(f"The data root {path} has no folder {folder}; expected {layout}.{near}")
    return path


def _near(root: Path, folders: Sequence[str], option: str) -> str:
    """A hint, if the folders are one level above or below."""
    for place in (root.parent, *visible(root)):
        # not is_dir(), which raises an error without permission
        if all(os.path.isdir(place / folder) for folder in folders):  # noqa: PTH112
            return f" They are in {place}, so set {option} to that."
    return ""


def read_list(path: Path) -> list[str]:
    """The distinct lines of a list file, without blank ones.

    Raises:
        DataError: the file is missing, empty, not text, or has a line that is too long for a name.
    """
    if not path.exists():
        raise DataError(f"The list {path} is missing; expected a text file with one name a line.")
    lines = (line.strip() for line in read_text(path, "list", DataError).splitlines())
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise DataError(f"The list {path} is empty; expected one name a line.")
    if long := next((name for name in names if len(name) > _LONGEST), None):
        raise DataError(f"The list {path} has the line {shown(long[:40] + '...')}; expected one name a line.")
    return names


def read_names(path: Path) -> list[str]:
    """The lines of a file in which line i names value i; blank lines may follow at the end.

    Raises:
        DataError: the file cannot be read, or has a blank line or a name twice, which would shift the numbers.
    """
    lines = [line.strip() for line in read_text(path, "list", DataError).rstrip().splitlines()]
    for number, line in enumerate(lines, 1):
        if not line:
            raise DataError(f"Line {number} of {path} is blank, but line N names value N; write a name there.")
        if line in lines[: number - 1]:
            raise DataError(
                f"The list {path} names {shown(line)} twice (lines {lines.index(line) + 1} and {number}), but line N "
                "names value N; give each value its own name."
            )
    if not lines:
        raise DataError(f"The list {path} is empty; expected one name a line.")
    return lines


def check_apart(train: Iterable[str], tested: Iterable[str]) -> None:
    """Raise `DataError` if the training list shares a name with the lists for model selection or testing."""
    both = sorted(set(train) & set(tested))
    if both:
        raise DataError(
            f"{shown(both[0])} is on the list of train and on that of val or test, {len(both)} in all; what is tested "
            "must not be trained on, so take them off one of the lists."
        )


def check_pair(pair: Pair) -> UInt8[np.ndarray, "H W"]:
    """Check a pair and return its label map.

    Raises:
        DataError: a file is missing or broken, or the sizes differ. The image is not decoded.
    """
    pair.check_both_exist()
    labels = pair.read(pair.mask)
    pair.check_sizes(image_size(pair.image), labels.shape)
    check_whole(pair.image)
    return labels


def check_labels(pair: Pair) -> tuple[UInt8[np.ndarray, "H W"], Counts]:
    """Check a pair; return its label map and the pixel count of each value, without void.

    Raises:
        DataError: see `check_pair`; or a grey mask has soft edges, see `check_plausible`.
    """
    labels = check_pair(pair)
    counts = count_all(labels)
    check_plausible(pair.mask, labels, counts, SOFT_ADVICE)
    counts.pop(IGNORE, None)
    return labels, counts


def count_labels(pair: Pair) -> Counts:
    """Pixel count of each label value of a mask, without void. Raises the errors of `check_labels`."""
    return check_labels(pair)[1]


def count_values(labels: UInt8[np.ndarray, "H W"]) -> Counts:
    """Pixel count of each label value, without void."""
    counts = count_all(labels)
    counts.pop(IGNORE, None)
    return counts


def count_all(labels: UInt8[np.ndarray, "H W"]) -> Counts:
    """Pixel count of each value, including void."""
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def check_plausible(mask: Path, labels: UInt8[np.ndarray, "H W"], counts: Counts, advice: str) -> None:
    """Raise `BrokenFile` if a mask is a photograph, or a black and white picture with soft edges.

    Anti-aliasing, scaling, blurring and JPEG produce grey pixels between black and white ones. Labels fill areas, but
    these grey values hardly ever have only equal neighbours. Palette masks always count as label maps.

    Args:
        mask: the file.
        labels: its values.
        counts: the pixel count of each value.
        advice: what to do.
    """
    if mask.suffix.lower() in MASK_SUFFIXES and _is_soft(labels, counts) and mask_mode(mask) not in NOT_GREY:
        greys = [value for value in counts if 0 < value < IGNORE]
        raise BrokenFile(
            f"The mask {mask} is no label map: its greys, such as {greys[len(greys) // 2]} ({len(greys)} values), lie "
            "along edges and fill no area, as in a photograph, or in a black and white mask that was smoothed or saved "
            f"as JPEG; {advice}."
        )


SOFT_ADVICE = "save it as PNG without smoothing"

_DARK, _BRIGHT = 15, 240
"""Values up to the first and from the second are black and white, apart from JPEG artefacts."""
_FEW, _MOST = 0.02, 0.9
_MANY = 8
"""From this number on, grey values that fill no area are not labels, wherever they are."""


def _is_soft(labels: UInt8[np.ndarray, "H W"], counts: Counts) -> bool:
    greys = sum(_DARK < value < _BRIGHT for value in counts)
    nearly_white = any(_BRIGHT <= value < IGNORE for value in counts)
    if not greys and not nearly_white:
        return False
    near = np.ones((3, 3), np.uint8)
    least, most = cv2.erode(labels, near), cv2.dilate(labels, near)
    flat = least == most
    if not greys:  # a high-quality JPEG
        nearly_black = any(0 < value <= _DARK for value in counts)
        return nearly_black and bool(flat[(labels > 0) & (labels < IGNORE)].mean() <= _FEW)
    grey = (labels > _DARK) & (labels < _BRIGHT)
    if flat[grey].mean() > _FEW:
        return False
    if greys >= _MANY or nearly_white:
        return True
    # soft edges have black and white within a few pixels
    far = np.ones((7, 7), np.uint8)
    between = (cv2.erode(least, far)[grey] <= _DARK) & (cv2.dilate(most, far)[grey] >= _BRIGHT)
    return bool(between.mean() >= _MOST)


def survey(keys: Iterable[str], inspect: Callable[[str], T], what: str) -> dict[str, T]:
    """Run ``inspect`` on every key in threads, with a progress bar on stderr after the first second.

    Args:
        keys: the keys.
        inspect: the check. Its first error, in the order of ``keys``, ends the survey, except within
            `leaving_out_broken`.
        what: text of the progress bar.

    Returns:
        The result for each key, without keys left out as broken.
    """
    keys, found, began, how = list(keys), {}, time.monotonic(), current()
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    bar = progress.add_task(what, total=len(keys))
    with ThreadPoolExecutor(how.workers) as pool:
        try:
            for key, result in zip(keys, pool.map(_or_fault(inspect, how.lenient), keys), strict=True):
                if isinstance(result, DataError):
                    how.broken[key] = str(result)
                else:
                    found[key] = result
                progress.advance(bar)
                if not progress.live.is_started and time.monotonic() - began > SHOW_AFTER:
                    progress.start()
        finally:
            progress.stop()
    return found


def check_named(values: Iterable[int], known: Iterable[int], path: Path) -> None:
    """Raise `DataError` if a mask has a class value without a name."""
    stray = set(values) - set(known) - {0}
    if stray:
        refuse(
            path,
            f"The mask {path} holds the value {min(stray)}, but the values are 0 (background), 1 to "
            f"{max(known)} (classes) and {IGNORE} (void); correct the mask or the class names.",
        )


def check_labelled(counts: Iterable[Counts], where: Path) -> None:
    """Raise `DataError` if a mask, or the masks of a video, have only one label."""
    all_counts = list(counts)
    values = sorted({value for count in all_counts for value in count})
    if all_counts and len(values) < 2:  # without counts, all were left out as broken
        found = f"only the label {values[0]}" if values else f"nothing but void ({IGNORE})"
        refuse(
            where,
            f"{where} holds {found}; a task needs something to segment and something around it, so draw it, "
            "or remove the mask with its image.",
        )


def _or_fault(inspect: Callable[[str], T], lenient: bool) -> Callable[[str], T | DataError]:
    """Wrap ``inspect`` to return a fault instead of raising it, if lenient."""

    def inspected(key: str) -> T | DataError:
        try:
            return inspect(key)
        except DataError as error:
            return error
        except OSError as error:
            return DataError(why_unreadable(Path(error.filename or key), error))

    return inspected if lenient else inspect
