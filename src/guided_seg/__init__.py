"""Guided networks: a segmentation task is shown with a few dots, not trained."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from guided_seg.machine.openmp import wait_asleep

if TYPE_CHECKING:
    from guided_seg.model.network import Network

__version__ = "0.1.0"

wait_asleep()  # before any module of the package loads torch


def load(name: str | PathLike[str]) -> Network:
    """A trained network, in evaluation mode: for `guided_seg.session.Session`, or to be called with a `Batch`.

    The first call takes seconds, most of them to import what builds networks; a terminal shows that it goes on.

    Args:
        name: of a model that ships, such as ``guided-lite0``, which takes neither training nor a network connection; a
            run folder or a checkpoint in it; the folder or file of a released model; or ``owner/name[@revision]`` of
            one on the Hugging Face hub. See `guided_seg.release.load.checkpoint_file`.

    Raises:
        UserError: there is nothing of that name, or it is damaged.
    """
    from guided_seg.machine.waiting import waiting  # importing the package must stay quick

    with waiting(f"Loading {name}"):
        from guided_seg.release.load import load_network

        return load_network(name)[0]
