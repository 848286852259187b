"""Segment the images or videos of a session one after another, and hand them to a format."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from guided_seg.errors import UserError
from guided_seg.files.disk import disk_refusals
from guided_seg.formats.inputs import Input, Inputs, Unread, file_name
from guided_seg.formats.kept import KeptMaps
from guided_seg.formats.naming import class_names
from guided_seg.formats.overlap import looked_at, passed_on
from guided_seg.formats.registry import FORMATS, kind_of
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.formats.unfinished import filling
from guided_seg.session import Session
from guided_seg.session.arguments import RGB, local_path
from guided_seg.session.store import Labels

log = logging.getLogger(__name__)


class Step(NamedTuple):
    """An image or a frame that is done.

    Attributes:
        done: how many are, with this one.
        total: how many there will be; None for videos, whose length is known at their end.
        image: its id.
        fault: why it was left out; empty if it was written.
    """

    done: int
    total: int | None
    image: str
    fault: str = ""


Progress = Callable[[Step], None]
Begin = Callable[[Sequence[Input], KeptMaps], None]

_Look = tuple[RGB, Labels | None] | UserError
"""Pixels and the label map if it was kept, or why they cannot be had."""


class _Done(NamedTuple):
    """A segmented input, whether its label map was kept before, and why it cannot be part of the result."""

    input: Input
    segmented: Segmented
    kept: bool
    fault: str


class _Job(NamedTuple):
    """What is to be written: ids of images or videos of a session or of files, in a format."""

    session: Session
    kind: Format
    chosen: Sequence[str]
    files: Mapping[str, Path]
    refined: bool


class Result(NamedTuple):
    """What a call has written.

    Attributes:
        files: the files.
        images: how many images and frames are in them.
        left_out: id -> why it was left out.
        before: whether an earlier call had written all of it.
    """

    files: list[Path]
    images: int
    left_out: Mapping[str, str]
    before: bool = False


def write(
    session: Session,
    folder: str | PathLike[str],
    format: str,  # noqa: A002
    names: str | Iterable[str] | None = None,
    progress: Progress | None = None,
    annotated: bool = False,
    refined: bool = False,
) -> list[Path]:
    """Segment images or videos of a session and write them in the format of another tool.

    An image that cannot be read is logged and left out. A call that was stopped can be repeated: it fills the folder
    again, as long as the annotations are the same, and does not segment again what it had segmented.

    Args:
        session: the session, with a label and dots or masks. It is used by this thread alone.
        folder: a new or an empty folder, or one that the same call began to fill.
        format: a name in `FORMATS`.
        names: ids of the images, or for ``davis`` and ``video`` of the videos. None for all videos, or for all images
            and annotated frames.
        progress: called after each image or frame. What it raises stops the work.
        annotated: leave out images without dots and masks, and videos without such a frame.
        refined: write refined answers (`Session.refined`), which take longer; for images only.

    Returns:
        The files.

    Raises:
        UserError: before anything is written: there is no such format, image or video; the session has no label or no
            dots; nothing chosen is annotated; refined answers of videos; the folder is not empty, or another process
            fills it. Or: no image could be read, or the disk does not take the files.
    """
    kind, where = kind_of(format), local_path(folder, "The folder")
    _check_annotated(session)
    _check_refined(kind, refined)
    chosen = _chosen(session, kind, names, annotated)

    def told(step: Step) -> None:
        if step.fault:
            log.warning("Left out %s: %s", step.image, step.fault)
        if progress:
            progress(step)

    return _filled(_Job(session, kind, chosen, {}, refined), where, told).files


def write_files(
    session: Session,
    folder: str | PathLike[str],
    format: str,  # noqa: A002
    files: Mapping[str, Path],
    names: Sequence[str],
    progress: Progress | None = None,
    refined: bool = False,
    begin: Begin | None = None,
) -> Result:
    """Segment files that are not in a session, each read once, and write them as `write` does.

    The same call again goes on where it was stopped, and does nothing once it has finished.

    Args:
        session: see `write`.
        folder: see `write`; or one that the same call has filled.
        format: a name in `FORMATS`. Formats of images take all frames of a video.
        files: id -> image file, video, or folder of frames.
        names: ids in ``files``, or of images or videos of the session.
        progress: see `write`.
        refined: see `write`.
        begin: segments images of ``files`` elsewhere, before those that it left out are segmented here.

    Raises:
        UserError: see `write`.
    """
    kind, where = kind_of(format), local_path(folder, "The folder")
    _check_annotated(session)
    _check_refined(kind, refined)
    job = _Job(session, kind, list(dict.fromkeys(names)), files, refined)
    return _filled(job, where, progress, begin, again=True)


def _filled(
    job: _Job, where: Path, progress: Progress | None, begin: Begin | None = None, again: bool = False
) -> Result:
    inputs = Inputs(job.session, job.kind, job.chosen, job.files)
    with disk_refusals(where, "output_dir" if again else "folder"), filling(where, _checksum(job)) as begun:
        if begun.finished is not None:
            return Result([], begun.finished["images"], begun.finished["left_out"], before=True)
        kept = KeptMaps(begun.work)
        if begin:
            begin([each for each in inputs.stills() if not kept.has(each.image, each.version)], kept)
        work, labels = _Work(job, inputs, kept, progress), class_names(job.session.labels)
        with closing(work.done()) as done:
            written = passed_on(done, lambda coming: list(job.kind.write(where, work.to_write(coming), labels)))
        if not work.written:
            raise UserError(f"Nothing could be written. {next(iter(work.left_out.values()), '')}")
        if again:
            begun.says = {"images": work.written, "left_out": work.left_out}
    return Result(written, work.written, work.left_out)


def _check_refined(kind: Format, refined: bool) -> None:
    if refined and kind.of == "videos":
        images = ", ".join(each.name for each in FORMATS.values() if each.of == "images")
        raise UserError(
            f"The format {kind.name} is of videos, and refined answers are of images; leave out refined, or choose one "
            f"of {images}."
        )


def _check_annotated(session: Session) -> None:
    if len(session.labels) < 2:
        raise UserError("The session has no labels, so there is nothing to write; add_label names what to segment.")
    if not any(_is_annotated(session, name) for name in session.images):
        raise UserError("The session has no dots or masks, so there is nothing to write; annotate at least one image.")


def _is_annotated(session: Session, name: str) -> bool:
    mask, dots = session.annotation(name)
    return mask is not None or bool(dots)


def _chosen(session: Session, kind: Format, names: str | Iterable[str] | None, annotated: bool) -> list[str]:
    """The ids of what to write, which `_Work` checks."""
    if names is not None:
        found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    elif kind.of == "videos":
        found = session.videos
    else:
        found = [name for name in session.images if not session.picture(name).frame or _is_annotated(session, name)]
    if not found:
        there = (
            f"the session has none, so choose another format than {kind.name}" if names is None else "names is empty"
        )
        raise UserError(f"There are no {kind.of} to write: {there}.")
    if not annotated:
        return found
    with_dots = [name for name in found if _has_annotation(session, kind, name)]
    if not with_dots:
        raise UserError(
            f"None of the {len(found):,} {kind.of} to write is annotated; annotate one, or write the others too."
        )
    return with_dots


def _has_annotation(session: Session, kind: Format, name: str) -> bool:
    """Whether an image has dots or masks, or a video a frame that has; also true if there is no such video."""
    if kind.of == "images":
        return _is_annotated(session, name)
    frames = (each for each in session.annotated if (frame := session.picture(each).frame) and frame[0] == name)
    return name not in session.videos or any(frames)


class _Work:
    """Segments inputs. What was kept is not segmented again.

    Attributes:
        written: how many can be part of the result.
        left_out: id -> why it cannot.
    """

    def __init__(self, job: _Job, inputs: Inputs, kept: KeptMaps, progress: Progress | None) -> None:
        self._job, self._inputs, self._kept, self._progress = job, inputs, kept, progress
        self.written = 0
        self.left_out: dict[str, str] = {}

    def done(self) -> Generator[_Done, None, None]:
        """Each input with its label map. Progress is reported after it was consumed."""
        with closing(looked_at(self._inputs, self._look)) as looked:
            for number, (each, found) in enumerate(looked, 1):
                segmented = self._segmented(each, found)
                name = each.image if isinstance(each, Input) else each[0]
                fault = str(segmented) if isinstance(segmented, UserError) else self._job.kind.refuses(segmented.labels)
                if fault:
                    self.left_out[name] = fault
                else:
                    self.written += 1
                if isinstance(each, Input) and isinstance(segmented, Segmented):
                    before = not isinstance(found, UserError) and found[1] is segmented.labels
                    yield _Done(each, segmented, before, fault)
                if self._progress:
                    self._progress(Step(number, self._inputs.total, name, fault))

    def _look(self, each: Input | Unread) -> _Look:
        """The pixels, and the label map if it was kept. Called by threads."""
        if not isinstance(each, Input):
            return each[1]
        try:
            return each.read(), self._kept.find(each.image, each.version)
        except UserError as error:
            return error

    def _segmented(self, each: Input | Unread, found: _Look) -> Segmented | UserError:
        if isinstance(found, UserError):
            return found
        assert isinstance(each, Input)
        pixels, labels = found
        if labels is None or labels.shape != pixels.shape[:2]:
            try:
                own = each.image if each.own else None
                labels = self._job.session.segment_pixels(pixels, own, self._job.refined)
            except UserError as error:
                return error
        return Segmented(each.image, each.name, pixels, labels, each.rate, each.file)

    def to_write(self, done: Iterator[_Done]) -> Iterator[Segmented]:
        """What can be part of the result. All label maps are kept at once."""
        for each in done:
            if not each.kept:
                self._kept.keep(each.input.image, each.input.version, each.segmented.labels)
            if not each.fault:
                yield each.segmented


def _checksum(job: _Job) -> str:
    """A checksum of all that the result depends on, but the pixels of files that are not in the session."""
    session, model, images = job.session, job.session.model, []
    for name in session.images:
        mask, dots = session.annotation(name)
        painted = mask is not None and zlib.crc32(mask.tobytes())
        images.append((name, file_name(session, name, {}), session.picture(name).checksum, painted, dots))
    network = (model.sha256, model.reading) if model else None
    files = [(name, str(path)) for name, path in job.files.items()]
    parts = [job.kind.name, network, session.precision, session.labels, list(job.chosen), job.refined, images, files]
    return sha256(json.dumps(parts).encode()).hexdigest()
