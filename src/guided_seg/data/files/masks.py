"""The meaning of values in grey masks: labels with 255 for void, or black and white.

It is decided once per data set, because a single mask with values 0 and 255 is ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from guided_seg.data.files.faults import refuse
from guided_seg.data.files.pairs import BLACK_AND_WHITE, BRIGHT_SUFFIXES, MASK_SUFFIXES, Pair
from guided_seg.data.files.verify import SOFT_ADVICE, check_pair, check_plausible, count_all, survey
from guided_seg.data.images import NOT_GREY, mask_mode, read_bright, read_labels
from guided_seg.data.sources.classes import unknown
from guided_seg.data.sources.tables import Counts
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError

AUTO, LABELS, BLACK_WHITE = "auto", "labels", "black_white"
MASKS = (AUTO, LABELS, BLACK_WHITE)
"""The values of ``data.masks``."""

_OPTION = (
    f"or set data.masks={BLACK_WHITE} to take 128 and more as the object (data.masks={LABELS} takes values as they are)"
)


def suffixes_of(masks: str) -> Sequence[str]:
    """File name suffixes of masks."""
    return BRIGHT_SUFFIXES if masks == BLACK_WHITE else MASK_SUFFIXES


def count_masks(
    pairs: Mapping[str, Pair], items: Iterable[Sequence[str]], others: Iterable[Path], masks: str, what: str
) -> tuple[dict[str, Pair], dict[str, Counts]]:
    """Check all pairs, decide the meaning of their grey masks, and count pixels.

    Args:
        pairs: the files of a split.
        items: the keys of each image, or of the frames of each video.
        others: masks of the other splits, read only if those of the split do not decide.
        masks: ``auto``: 255 is the object if every grey mask has only 0 and 255, and void otherwise; ``labels``: 255 is
            void; ``black_white``: 128 and more is the object, in masks of any kind.
        what: text of the progress bar.

    Returns:
        The pairs with the right reader, and the pixel counts of each label (without void) of the usable ones.

    Raises:
        DataError: ``masks`` is unknown, or a file is faulty, see `survey`.
    """
    if masks not in MASKS:
        raise unknown("data.masks", masks, MASKS)
    read = read_bright if masks == BLACK_WHITE else read_labels
    pairs = {key: replace(pair, read=read) for key, pair in pairs.items()}
    seen = survey(pairs, lambda key: _count(pairs[key], masks), what)
    if masks == AUTO:
        white = [key for key, found in seen.items() if _is_white(pairs[key].mask, found)]
        labelled = _labelled(pairs, seen, white, others) if white else None
        if white and labelled is None:
            pairs = {key: replace(pair, read=BLACK_AND_WHITE) for key, pair in pairs.items()}
            for key in white:
                seen[key] = {1 if value == IGNORE else value: pixels for value, pixels in seen[key].items()}
        elif labelled is not None:
            _refuse_white(pairs, seen, items, set(white), labelled)
    return pairs, {key: {v: n for v, n in found.items() if v != IGNORE} for key, found in seen.items()}


def _count(pair: Pair, masks: str) -> Counts:
    labels = check_pair(pair)
    counts = count_all(labels)
    if masks == AUTO:
        check_plausible(pair.mask, labels, counts, f"{SOFT_ADVICE}, {_OPTION}")
    return counts


def _is_white(mask: Path, counts: Counts) -> bool:
    return IGNORE in counts and counts.keys() <= {0, IGNORE} and mask_mode(mask) not in NOT_GREY


def _labelled(
    pairs: Mapping[str, Pair], seen: Mapping[str, Counts], white: Iterable[str], others: Iterable[Path]
) -> Path | None:
    """A grey mask with label values, if there is any."""
    rest = seen.keys() - set(white)
    found = next((pairs[key].mask for key in seen if key in rest and _has_labels(pairs[key].mask, seen[key])), None)
    if found is not None:
        return found
    return next((mask for mask in others if _other_has_labels(mask)), None)


def _has_labels(mask: Path, counts: Counts) -> bool:
    """Whether a grey mask has label values. Palette and 1-bit masks are unambiguous and do not count."""
    return bool(counts.keys() - {0, IGNORE}) and mask_mode(mask) not in NOT_GREY


def _other_has_labels(mask: Path) -> bool:
    try:
        return _has_labels(mask, count_all(read_labels(mask)))
    except DataError:
        return False  # reported with its own split


def _refuse_white(
    pairs: Mapping[str, Pair],
    seen: Mapping[str, Counts],
    items: Iterable[Sequence[str]],
    white: set[str],
    labelled: Path,
) -> None:
    """Refuse black and white items among labelled ones: with 255 as void, nothing would remain of them."""
    for keys in items:
        there = [key for key in keys if key in seen]
        if any(key in white for key in there) and not any(seen[key].keys() - {0, IGNORE} for key in there):
            path = pairs[next(key for key in there if key in white)].mask
            refuse(
                path,
                f"The mask {path} holds nothing but 0 and 255, while {labelled} of the same data set holds labels, so "
                f"255 is void in all. Save the object with a label, such as 1, in place of 255; or, if all masks are "
                f"black and white, set data.masks={BLACK_WHITE}.",
            )
