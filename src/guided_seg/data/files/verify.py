"""The check of all files before training: each fault is one clear `DataError`; labels are counted as well.

Within `faults.leaving_out_broken` faults are listed instead, so that an archive can be described as it is.
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

_LONGEST = 500  # letters of a line of a list, which may hold two paths

T = TypeVar("T")


def open_root(root: str | Path, layout: str, folders: Sequence[str], option: str = "data.root") -> Path:
    """The absolute root that ``option`` gave. Raises `DataError` where it or one of its ``folders`` is missing."""
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
    """A further sentence where the folders lie one level above or below."""
    for place in (root.parent, *visible(root)):
        # not is_dir(), which raises an error where one may not look
        if all(os.path.isdir(place / folder) for folder in folders):  # noqa: PTH112
            return f" They are in {place}, so set {option} to that."
    return ""


def read_list(path: Path) -> list[str]:
    """The lines of a list file, once each and without blank ones.

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
    """The lines of a file in which line 1 names value 1, line 2 value 2, and so on; blank lines may end it.

    Raises:
        DataError: the file cannot be read, or has a blank line or the same name twice, which would shift the numbers.
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
    """Raise `DataError` where the lists of train and of what selects or tests a model share a name."""
    both = sorted(set(train) & set(tested))
    if both:
        raise DataError(
            f"{shown(both[0])} is on the list of train and on that of val or test, {len(both)} in all; what is tested "
            "must not be trained on, so take them off one of the lists."
        )


def check_pair(pair: Pair) -> UInt8[np.ndarray, "H W"]:
    """The label map of a pair that can be used.

    Raises:
        DataError: a file is missing or broken, or the sizes differ; the image is not decoded for this.
    """
    pair.check_both_exist()
    labels = pair.read(pair.mask)
    pair.check_sizes(image_size(pair.image), labels.shape)
    check_whole(pair.image)
    return labels


def check_labels(pair: Pair) -> tuple[UInt8[np.ndarray, "H W"], Counts]:
    """The label map of a pair, and the pixels of each value, void left out.

    Raises:
        DataError: see `check_pair`; or a grey mask has soft edges, see `check_plausible`.
    """
    labels = check_pair(pair)
    counts = count_all(labels)
    check_plausible(pair.mask, labels, counts, SOFT_ADVICE)
    counts.pop(IGNORE, None)
    return labels, counts


def count_labels(pair: Pair) -> Counts:
    """Pixels of each label value of the mask, void left out. Raises `DataError` as `check_labels` does."""
    return check_labels(pair)[1]


def count_values(labels: UInt8[np.ndarray, "H W"]) -> Counts:
    """Pixels of each label value, void left out."""
    counts = count_all(labels)
    counts.pop(IGNORE, None)
    return counts


def count_all(labels: UInt8[np.ndarray, "H W"]) -> Counts:
    """Pixels of each value, void as well."""
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def check_plausible(mask: Path, labels: UInt8[np.ndarray, "H W"], counts: Counts, advice: str) -> None:
    """Raise `BrokenFile` where a mask is a black and white picture with soft edges, or a photograph.

    Anti-aliasing, scaling, blurring and JPEG leave grey pixels between black and white ones. Labels fill areas; such
    greys do not: hardly a pixel has only its like around it. Palette masks are label maps whatever they show.

    Args:
        mask: the file.
        labels: its values.
        counts: the pixels of each.
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
"""What may be black and white but for the traces of a JPEG."""
_FEW, _MOST = 0.02, 0.9
_MANY = 8
"""So many greys that fill no area are no labels, wherever they lie."""


def _is_soft(labels: UInt8[np.ndarray, "H W"], counts: Counts) -> bool:
    greys = sum(_DARK < value < _BRIGHT for value in counts)
    nearly_white = any(_BRIGHT <= value < IGNORE for value in counts)
    if not greys and not nearly_white:
        return False
    near = np.ones((3, 3), np.uint8)
    least, most = cv2.erode(labels, near), cv2.dilate(labels, near)
    flat = least == most
    if not greys:  # a JPEG of high quality
        nearly_black = any(0 < value <= _DARK for value in counts)
        return nearly_black and bool(flat[(labels > 0) & (labels < IGNORE)].mean() <= _FEW)
    grey = (labels > _DARK) & (labels < _BRIGHT)
    if flat[grey].mean() > _FEW:
        return False
    if greys >= _MANY or nearly_white:
        return True
    # a few pixels away there is black on one side and white on the other
    far = np.ones((7, 7), np.uint8)
    between = (cv2.erode(least, far)[grey] <= _DARK) & (cv2.dilate(most, far)[grey] >= _BRIGHT)
    return bool(between.mean() >= _MOST)


def survey(keys: Iterable[str], inspect: Callable[[str], T], what: str) -> dict[str, T]:
    """``inspect`` every key on threads, with a progress bar on stderr if it takes more than a second.

    Args:
        keys: what to inspect.
        inspect: its first error, in the order of ``keys``, ends the survey, unless this is `leaving_out_broken`.
        what: the text beside the bar.

    Returns:
        what was found for each key; keys that are left out as broken are not in it.
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
    """Raise `DataError` where a mask holds a class value that has no name."""
    stray = set(values) - set(known) - {0}
    if stray:
        refuse(
            path,
            f"The mask {path} holds the value {min(stray)}, but the values are 0 (background), 1 to "
            f"{max(known)} (classes) and {IGNORE} (void); correct the mask or the class names.",
        )


def check_labelled(counts: Iterable[Counts], where: Path) -> None:
    """Raise `DataError` where one label is all that there is in a mask, or in the masks of a video."""
    all_counts = list(counts)
    values = sorted({value for count in all_counts for value in count})
    if all_counts and len(values) < 2:  # without any, all of them were left out as broken
        found = f"only the label {values[0]}" if values else f"nothing but void ({IGNORE})"
        refuse(
            where,
            f"{where} holds {found}; a task needs something to segment and something around it, so draw it, "
            "or remove the mask with its image.",
        )


def _or_fault(inspect: Callable[[str], T], lenient: bool) -> Callable[[str], T | DataError]:
    """``inspect``, but a fault of the file is its result and not its end."""

    def inspected(key: str) -> T | DataError:
        try:
            return inspect(key)
        except DataError as error:
            return error
        except OSError as error:
            return DataError(why_unreadable(Path(error.filename or key), error))

    return inspected if lenient else inspect
