"""Released models, and those that ship in the package.

A released model is a folder with weights and config (`MODEL`, see `guided_seg.release.weights`), a checksum
(`CHECKSUMS`, in the format of ``sha256sum``) and a model card (`CARD`). ``python -m guided_seg.release`` makes one.
Folders elsewhere on disk, or on the Hugging Face hub, work in the same way.
"""

from __future__ import annotations

from pathlib import Path

from guided_seg.errors import UserError
from guided_seg.files.writing import sha256

FOLDER = Path(__file__).parent
MODEL, CHECKSUMS, CARD = "model.safetensors", "SHA256SUMS", "card.md"

DEFAULT = "guided-lite0"
"""The model that is used where none is named."""


def names() -> list[str]:
    """The names of the shipped models."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{MODEL}"))


def shipped(name: str) -> Path:
    """The file of a shipped model."""
    return FOLDER / name / MODEL


def with_checksum(digest: str) -> Path | None:
    """The file of the shipped model with this SHA-256; None if there is none."""
    return next((shipped(name) for name in names() if listed_checksum(shipped(name)) == digest), None)


def listed_checksum(file: Path) -> str | None:
    """The SHA-256 of a file according to the checksum list in its folder; None if it is not listed."""
    beside = file.with_name(CHECKSUMS)
    lines = beside.read_text(encoding="utf-8", errors="replace").splitlines() if beside.is_file() else []
    return next((line.split()[0] for line in lines if line.split()[1:] == [file.name]), None)


def check_whole(file: Path) -> None:
    """Raise `UserError` if the checksum of a file differs from the listed one."""
    expected = listed_checksum(file)
    if expected is not None and sha256(file) != expected:
        raise UserError(
            f"{file} is damaged or has been changed: its checksum differs from that in {CHECKSUMS}; install "
            "guided_seg again, or get the model again."
        )
