"""Models that ship in the package, each a folder of its name.

A folder holds the tensors and the config of a network (`MODEL`, see `guided_seg.release.weights`), its checksum
(`CHECKSUMS`, as ``sha256sum`` writes and checks it) and what there is to know of it (`CARD`). ``python -m
guided_seg.release`` makes such a folder; one elsewhere on disk, or on the Hugging Face hub, is used in the same way.
"""

from __future__ import annotations

from pathlib import Path

from guided_seg.errors import UserError
from guided_seg.files.writing import sha256

FOLDER = Path(__file__).parent
MODEL, CHECKSUMS, CARD = "model.safetensors", "SHA256SUMS", "card.md"


def names() -> list[str]:
    """The models that ship."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{MODEL}"))


def shipped(name: str) -> Path:
    """The file of a model that ships."""
    return FOLDER / name / MODEL


def with_checksum(digest: str) -> Path | None:
    """The file of the model that ships with this SHA-256, if there is one."""
    return next((shipped(name) for name in names() if listed_checksum(shipped(name)) == digest), None)


def listed_checksum(file: Path) -> str | None:
    """The SHA-256 that the list beside a file gives it; None where there is no list, or it names other files."""
    beside = file.with_name(CHECKSUMS)
    lines = beside.read_text(encoding="utf-8", errors="replace").splitlines() if beside.is_file() else []
    return next((line.split()[0] for line in lines if line.split()[1:] == [file.name]), None)


def check_whole(file: Path) -> None:
    """Raise `UserError` where a file is not the one that the list beside it names."""
    expected = listed_checksum(file)
    if expected is not None and sha256(file) != expected:
        raise UserError(
            f"{file} is damaged or has been changed: its checksum is not that in {CHECKSUMS} beside it; install "
            "guided_seg again, or get the model again."
        )
