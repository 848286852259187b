"""What the values of grey masks mean: labels with 255 for void, or black and white.

This is one decision for a data set. A single mask of 0 and 255 does not tell.
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
    """What names of masks end in."""
    return BRIGHT_SUFFIXES if masks == BLACK_WHITE else MASK_SUFFIXES


def count_masks(
    pairs: Mapping[str, Pair], items: Iterable[Sequence[str]], others: Iterable[Path], masks: str, what: str
) -> tuple[dict[str, Pair], dict[str, Counts]]:
    """Check all pairs, decide what their grey masks mean, and count pixels.

    Args:
        pairs: the files of a split.
        items: the keys of each image, or of the frames of each video.
        others: masks of the rest of the data set, looked at only where the split's do not decide.
        masks: ``auto``: 255 is the object where every grey mask holds 0 and 255 alone, and void otherwise;
            ``labels``: 255 is void; ``black_white``: 128 and more is the object, in masks of any kind.
        what: the text beside the progress bar.

    Returns:
        the pairs as they are to be read, and the pixels of each label (void left out) of those that can be used.

    Raises:
        DataError: ``masks`` is unknown, or a fault of a file, see `survey`.
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
    """A grey mask whose values are labels, if there is any."""
    rest = seen.keys() - set(white)
    found = next((pairs[key].mask for key in seen if key in rest and _has_labels(pairs[key].mask, seen[key])), None)
    if found is not None:
        return found
    return next((mask for mask in others if _other_has_labels(mask)), None)


def _has_labels(mask: Path, counts: Counts) -> bool:
    """Whether a grey mask holds labels. What a palette or one bit means is plain, and tells nothing of grey ones."""
    return bool(counts.keys() - {0, IGNORE}) and mask_mode(mask) not in NOT_GREY


def _other_has_labels(mask: Path) -> bool:
    try:
        return _has_labels(mask, count_all(read_labels(mask)))
    except DataError:
        return False  # told where its own split is opened


def _refuse_white(
    pairs: Mapping[str, Pair],
    seen: Mapping[str, Counts],
    items: Iterable[Sequence[str]],
    white: set[str],
    labelled: Path,
) -> None:
    """Refuse black and white items beside labelled ones, as nothing is left of them once 255 is void."""
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
