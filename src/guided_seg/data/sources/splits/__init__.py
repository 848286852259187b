"""Standard splits as small shipped files with verified checksums.

*DAVIS:* `davis2016_train`, `davis2016_val`, `davis2017_train` and `davis2017_val`, the sequences (30, 20, 60, 30).
*PASCAL VOC 2012:* `voc2012_train` and `voc2012_val`, the images of its segmentation task (1,464 and 1,449). The 10,582
images of `trainaug` are derived from lists in the data, see `guided_seg.data.sources.voc`.
*FSS-1000:* `fss1000_test`, the 240 test classes (Li et al., 2020).
*Folds,* the classes that each holds out: `pascal5i_fold0` to `3`, five classes of VOC in order (Shaban et al., 2017);
`coco20i_fold0` to `3`, every fourth class of COCO, its number modulo 4 (Nguyen and Todorovic, 2019).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from guided_seg.data.sources.classes import unknown
from guided_seg.errors import DataError

FOLDER = Path(__file__).parent
PROTOCOLS = {"pascal5i": "PASCAL-5i", "coco20i": "COCO-20i"}
FOLDS = 4


def read_split(name: str) -> list[str]:
    """The names in a shipped list, in its order.

    Args:
        name: name of the list, without its suffix.

    Raises:
        DataError: there is no such list, or its file was changed.

    Example:
        >>> read_split("pascal5i_fold1")
        ['bus', 'car', 'cat', 'chair', 'cow']
    """
    known = checksums()
    if name not in known:
        raise unknown("shipped split", name, known)
    path = FOLDER / f"{name}.txt"
    try:
        text = path.read_text(encoding="utf-8")  # with any line ends, as git may change them
    except (OSError, UnicodeDecodeError):
        text = ""
    if sha256(text.encode()).hexdigest() != known[name]:
        raise DataError(
            f"The shipped split {path} is missing or has been changed: its checksum is not that in SHA256SUMS; install "
            "guided_seg again, and keep lists of your own beside your data."
        )
    return text.splitlines()


def checksums() -> dict[str, str]:
    """The SHA-256 of each shipped list."""
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {file.removesuffix(".txt"): digest for digest, file in (line.split() for line in lines)}


def fold_classes(protocol: str, fold: int) -> tuple[str, ...]:
    """The held-out classes of a fold.

    Args:
        protocol: one of `PROTOCOLS`.
        fold: 0 to 3.

    Raises:
        DataError: there is no such fold.
    """
    if not 0 <= fold < FOLDS:
        raise DataError(
            f"There is no fold {fold} of {PROTOCOLS[protocol]}; choose 0, 1, 2 or 3, or give names of classes."
        )
    return tuple(read_split(f"{protocol}_fold{fold}"))
