"""Turn Lightning's errors into sentences, and silence its remarks."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from guided_seg.errors import UserError


@contextmanager
def lightning_refusals(setting: str) -> Iterator[None]:
    """Convert errors of Lightning's Trainer, such as for a missing GPU, to a `UserError` about ``setting``."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException, InstantiationException) as error:
        raise UserError(f"{setting}: {_first_sentence(error.__cause__ or error)}") from error


@contextmanager
def lost_workers() -> Iterator[None]:
    """Convert the error of a data worker that was killed to a `UserError`."""
    try:
        yield
    except RuntimeError as error:
        if not re.search(r"DataLoader worker \(pid", str(error)):
            raise
        raise UserError(
            f"A process that samples episodes was killed, as when memory runs out ({_first_sentence(error)}); use "
            "fewer with num_workers=..., and go on with ckpt_path=last."
        ) from error


def _first_sentence(error: BaseException) -> str:
    """The first line; and the next, if the first ends in mid-sentence (what was found, after what was expected)."""
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return first if first.endswith((".", "!")) or not rest else f"{first} {rest[0]}"


def quiet_lightning() -> None:
    """Silence Lightning except for progress bars, tables and errors."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    known = (".*does not have many workers.*", ".*LeafSpec.*", ".*exists and is not empty.*")
    agreed = ".*recommended to use `self.log.*sync_dist=True.*"  # processes agree on each metric before it is logged
    frozen = ".*in eval mode at the start of training.*"  # see Backbone.freeze
    strides = ".*Grad strides do not match bucket view strides.*"  # of single columns, which are the same in memory
    resumable = ".*dataloader is not resumable.*"  # it asks the trainer how far the epoch is, see `Episodes`
    for message in (*known, agreed, frozen, strides, resumable):
        warnings.filterwarnings("ignore", message)
