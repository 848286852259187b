"""Download released models from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from guided_seg.errors import UserError
from guided_seg.release import CHECKSUMS, MODEL

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
_FILES = (".ckpt", ".pt", ".pth", ".safetensors")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a model id on the hub.

    Example:
        >>> is_hub_id("owner/name"), is_hub_id("owner/name@v1.0"), is_hub_id("runs/best.ckpt"), is_hub_id("../name")
        (True, True, False, False)
    """
    return _ID.fullmatch(name) is not None and not name.endswith(_FILES)


def from_hub(name: str) -> Path:
    """The local folder of a model on the hub, downloaded if it is not in the cache.

    Args:
        name: ``owner/name`` for the newest version, or ``owner/name@revision`` with a tag, branch or commit.

    Raises:
        UserError: the model cannot be downloaded, or is not a released model.
    """
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"{name} does not exist on this machine, and loading it from the Hugging Face hub needs another package: "
            "run `pip install huggingface_hub`, or check the path."
        ) from error
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=[MODEL, CHECKSUMS]))
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
        raise UserError(
            f"{name} does not exist on this machine and cannot be loaded from the Hugging Face hub "
            f"({reason.rstrip('.')}); check the name, or connect to the network; a private model also needs hf auth "
            "login."
        ) from error
    if not (folder / MODEL).is_file():
        raise UserError(f"{name} on the Hugging Face hub has no {MODEL}, so it is not a released model of guided_seg.")
    return folder
