"""DAVIS: videos with one mask a frame."""

from __future__ import annotations

from pathlib import Path

from guided_seg.data.classes import as_split, unknown
from guided_seg.data.files import FileSource, Pair, natural, pair_up
from guided_seg.data.source import DataError, Split
from guided_seg.data.tables import Tables, object_list, video_table
from guided_seg.data.verify import check_labelled, count_labels, open_root, read_list, survey

LAYOUT = "JPEGImages/480p/SEQUENCE/, Annotations/480p/SEQUENCE/ and ImageSets/YEAR/train.txt and val.txt"
MIN_PIXELS = 20
"""Objects are small at 240p, and an object of the protocol must not be lost; less than this shows nothing."""
VAL_SHARE = 5


class Davis(FileSource):
    """DAVIS in its own layout, at any resolution, with 1-bit, black and white, or indexed masks.

    ``test`` is val.txt. ``train`` is train.txt without the last fifth of its sequences (at least one), which
    are ``val``, so that model selection does not see the test.

    Each value of a sequence's masks is an object. Video tasks run from the first frame that shows the object
    to the end of the sequence. Interactive tasks are every frame with the object, but in ``test`` the first
    alone. There are no classes.

    Args:
        root: the folder that holds JPEGImages/, Annotations/ and ImageSets/.
        split: train, val or test.
        resolution: a folder of JPEGImages/ such as 240p, 480p, 1080p or Full-Resolution; auto: the lowest.
        year: 2016 or 2017, the folder of ImageSets/. The lists of the first release (ImageSets/480p, lines of
            two paths) are understood as well.
        min_pixels: an object of fewer pixels counts as not visible in a frame.
        cache_mb: megabytes of decoded samples that each process keeps.
        oracle: changes nothing: there are no classes to hold out, and the sequences of a split are its own.

    Raises:
        DataError: a missing folder, an empty list, an unknown split or resolution, or an unusable file.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        resolution: str = "auto",
        year: str | int = "2016",
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        oracle: bool = False,
    ) -> None:
        split = as_split(split)
        root = open_root(root, LAYOUT, ("JPEGImages", "Annotations", "ImageSets"))
        resolution = _resolution(root / "JPEGImages", resolution)
        sequences = _sequences(root / "ImageSets", str(year), resolution, split)
        files = {name: _pairs(root, resolution, name) for name in sequences}
        pairs = {key: pair for found in files.values() for key, pair in found.items()}
        counts = survey(pairs, lambda key: count_labels(pairs[key]), "Checking the frames")
        for name, frames in files.items():
            check_labelled((counts[key] for key in frames), root / "Annotations" / resolution / name)
        videos = video_table(counts, {name: list(frames) for name, frames in files.items()}, min_pixels)
        objects = object_list(videos, first_only=split == "test")
        super().__init__("davis", pairs, Tables(objects, videos=videos), cache_mb)


def _resolution(images: Path, wanted: str) -> str:
    found = sorted((path.name for path in images.iterdir() if path.is_dir()), key=_height)
    if not found:
        raise DataError(f"The folder {images} is empty; expected a folder for each resolution, such as 480p.")
    if wanted == "auto":
        return found[0]
    if wanted not in found:
        raise unknown(f"resolution in {images}", wanted, found)
    return wanted


def _height(resolution: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    # Full-Resolution comes after every number
    return not resolution[:1].isdigit(), natural(resolution)


def _sequences(lists: Path, year: str, resolution: str, split: Split) -> list[str]:
    folder = next((lists / name for name in (year, resolution) if (lists / name).is_dir()), None)
    if folder is None:
        raise unknown(f"year in {lists}", year, sorted(path.name for path in lists.iterdir()))
    path = folder / ("val.txt" if split == "test" else "train.txt")
    names = list(dict.fromkeys(_sequence(line) for line in read_list(path)))
    if split == "test":
        return names
    if len(names) < 2:
        raise DataError(f"The list {path} names one sequence; train and val need two at least, so add some.")
    cut = len(names) - max(1, len(names) // VAL_SHARE)
    return names[:cut] if split == "train" else names[cut:]


def _sequence(line: str) -> str:
    """The sequence of a line of a list: its name, or two paths of a frame and its mask."""
    first = Path(line.split(maxsplit=1)[0])
    return first.parent.name if first.suffix else first.name


def _pairs(root: Path, resolution: str, sequence: str) -> dict[str, Pair]:
    images, masks = (root / kind / resolution / sequence for kind in ("JPEGImages", "Annotations"))
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(
                f"The sequence {sequence} is listed, but the folder {folder} is missing; add it, take the "
                "sequence off the list, or choose another data.resolution."
            )
    return pair_up(images, masks, f"{sequence}/")
