"""The session that shows what to segment: a saved one, or one of dots or masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from guided_seg.data.sources.folder import LAYOUT, annotated_files
from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.files.text import is_there
from guided_seg.release import DEFAULT
from guided_seg.segment.dots_file import EXAMPLE, read_dots
from guided_seg.segment.queries import short_names
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.file import SUFFIX

KINDS = f"a saved session ({SUFFIX}), a file of dots (.json), such as {EXAMPLE}, or a folder that holds {LAYOUT}"


def open_support(cfg: DictConfig) -> Session:
    """The session of ``support``, with the network of ``checkpoint``.

    Raises:
        UserError: there is no such support, it is none of these or has no annotations, or an image is missing.
    """
    path = Path(cfg.support).expanduser().absolute()
    if not is_there(path):
        raise UserError(f"There is no support {path}; give {KINDS}.")
    if path.is_dir():
        session = _new(cfg)
        _add_masks(session, path)
    elif path.suffix.lower() == ".json":
        dots = read_dots(path)  # before the network, which takes seconds
        session = _new(cfg)
        for label in dots.labels:
            session.add_label(label)
        for name, (image, there) in zip(short_names(list(dots.images)), dots.images.items(), strict=True):
            session.add_image(name, image)
            for row, column, label in there:
                session.dot(name, row, column, label)
    elif path.suffix.lower() == SUFFIX:
        session = _saved(cfg, path)
    else:
        raise UserError(f"support={cfg.support} is a file of another kind; give {KINDS}.")
    _check(session, path)
    return session


def _new(cfg: DictConfig) -> Session:
    return Session.load(cfg.checkpoint or DEFAULT, cfg.device, cfg.precision, cfg.k_way, cfg.cache_mb)


def _saved(cfg: DictConfig, path: Path) -> Session:
    if not cfg.checkpoint:
        return Session.open(path, cfg.device, cfg.precision, cfg.cache_mb)
    other = _new(cfg)
    session = Session.open(path, cfg.device, cfg.precision, cfg.cache_mb, other.network)
    session.model = other.model
    return session


def _add_masks(session: Session, root: Path) -> None:
    """Add the images of a folder and their masks. Void stays open."""
    pairs, names = annotated_files(root, "support")
    read = {key: pair.read(pair.mask) for key, pair in pairs.items()}
    present = sorted({value for labels in read.values() for value in np.unique(labels).tolist()} - {0, IGNORE})
    for value in present:
        session.add_label(names[value])
    for key, labels in read.items():
        session.add_image(key, pairs[key].image)
        for value in set(np.unique(labels).tolist()) - {IGNORE}:
            session.mask(key, labels == value, names[value] if value else NEGATIVE)


def _check(session: Session, path: Path) -> None:
    """Refuse now what every image would be refused for later."""
    if not session.annotated or len(session.labels) < 2:
        raise UserError(f"Nothing is annotated in {path}; set dots on an object, and on what surrounds it.")
    if session.network.needs_same_image:
        raise UserError(
            "This network uses only the dots of the image that it segments, so what is annotated in one image does not "
            "guide others; choose a network with global guidance, such as checkpoint=guided-lite0."
        )
    session.segment(session.annotated[0])
