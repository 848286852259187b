"""Messages from the server to a page: the state, dots, label maps and grey maps."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from operator import sub
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from guided_seg.app import transport
from guided_seg.data.files.pairs import image_files
from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.formats import FORMATS
from guided_seg.model.network import Network
from guided_seg.model.video.previous_frame import Memory, check_memory
from guided_seg.report.prediction_files import label_colours
from guided_seg.session import Session
from guided_seg.session.confidence import confidence
from guided_seg.session.films.videos import announced_frames

NOTHING = "There was nothing to remove."

Of = Literal["answer", "preview", "refined", "other"]


@runtime_checkable
class Outbox(Protocol):
    """Takes messages to a page, from any thread."""

    def send(self, message: str | bytes) -> None:
        """Send a message; does nothing if the page is gone."""

    @property
    def full(self) -> bool:
        """Whether many messages wait, so that background work should too."""


class Replies:
    """Answers from a session to its page. Nothing here changes the session.

    Args:
        session: the session.
        other: a session with a second network, which follows this one whenever it is asked; None for none.

    Attributes:
        outbox: of the page; None while there is none.
        confidence: of each image since the last change of dots or masks.
    """

    def __init__(self, session: Session, other: Session | None = None) -> None:
        self.session, self._other = session, other
        self.outbox: Outbox | None = None
        self.confidence: dict[str, float] = {}
        self._lengths: dict[str, int | None] = {}

    def tell(self, **message: Any) -> None:
        """Send a message in JSON."""
        if (outbox := self.outbox) is not None:
            outbox.send(json.dumps(message, ensure_ascii=False))

    def refuse(self, text: str, n: int | None = None) -> None:
        """Say on the page why something was refused."""
        self.tell(type="error", n=n, text=text)

    @property
    def can_answer(self) -> bool:
        """Whether the network was shown anything. Otherwise it has nothing to say."""
        return bool(self.session.annotated) and len(self.session.labels) > 1

    def answer(self, n: int | None, name: str) -> None:
        """Segment an image and send its label map."""
        began, sure = time.perf_counter(), None
        if self.can_answer:
            labels, scores = self.session.segment(name, return_scores=True)
            sure = self.confidence[name] = confidence(scores)
        else:
            labels = np.zeros(self.session.picture(name).size, np.uint8)
        self.mask(n, name, "answer", labels, began, sure)

    def other(self, n: int, name: str) -> None:
        """Segment an image by the second network, which follows the session first, and send its label map.

        Raises:
            UserError: there is no second network, or no such image.
        """
        if (other := self._other) is None:
            raise UserError("There is no second network to compare with; start the page with compare=CHECKPOINT.")
        began, size = time.perf_counter(), self.session.picture(name).size
        other.follow(self.session)
        labels = other.segment(name) if self.can_answer else np.zeros(size, np.uint8)
        self.mask(n, name, "other", labels, began)

    def mask(
        self, n: int | None, name: str, of: Of, labels: np.ndarray, began: float, sure: float | None = None
    ) -> None:
        """Send a label map.

        Args:
            n: number of the message that asked for it.
            name: id of the image or frame.
            of: what it is.
            labels: uint8 ``[H, W]``.
            began: when the work on it began, by ``time.perf_counter``.
            sure: its confidence.
        """
        if (outbox := self.outbox) is None:
            return
        payload = transport.runs(labels)
        header = {
            "type": "mask",
            "n": n,
            "image": name,
            "of": of,
            "height": labels.shape[0],
            "width": labels.shape[1],
            "ms": round(1e3 * (time.perf_counter() - began), 2),
            "confidence": sure,
        }
        outbox.send(transport.frame(header, payload))

    def map(self, n: int, name: str, what: str, label: int) -> None:
        """Send the probability of a label, or the similarity to its z, as a grey map.

        Raises:
            UserError: there is no such image or label, or the network has no z.
        """
        if (outbox := self.outbox) is None or not self.can_answer:
            return
        if what == "similarity":
            values = (self.session.similarity(name, label) + 1) / 2
        else:
            scores = self.session.segment(name, return_scores=True)[1]
            if label >= len(scores):
                raise UserError(f"There is no label {label}; labels go from 0 to {len(scores) - 1}.")
            odds = np.exp(scores - scores.max(0))
            values = odds[label] / odds.sum(0)
        height, width = values.shape
        header = {"type": "map", "n": n, "image": name, "what": what, "label": label, "height": height, "width": width}
        outbox.send(transport.frame(header, transport.grey(values)))

    def where_next(self, n: int, visible: str | None) -> None:
        """Say where the next dot would help most: in the least confident image."""
        place, known = None, {name: self.confidence[name] for name in self.session.images if name in self.confidence}
        name = min(known, key=lambda each: known[each]) if known else visible
        if name is not None and self.can_answer:
            place = self.session.next_click(name)
        # the page asks about the chosen label: which one it is there is right too rarely to choose it
        row, column, _ = place or (None, None, None)
        self.tell(type="next", n=n, image=name if place else None, row=row, column=column)

    def dots(self, n: int, name: str) -> None:
        """Send the dots of an image."""
        self.tell(type="dots", n=n, image=name, dots=self.session.annotation(name)[1], **self._steps())

    def frame(self, n: int, name: str) -> None:
        """Say that a frame of a video is an image now."""
        self.tell(type="frame", n=n, **self._image(name))

    def labels(self, n: int) -> None:
        """Send names and colours of the positive labels, in the order of their numbers from 1."""
        self.tell(type="labels", n=n, labels=self._labels(), **self._steps())

    def marks(self) -> dict[str, tuple[int, int]]:
        """The number of dots and of masks of each annotated image."""
        found = {}
        for name in self.session.annotated:
            painted, dots = self.session.annotation(name)
            found[name] = len(dots), 0 if painted is None else len(set(np.unique(painted).tolist()) - {IGNORE})
        return found

    def removed(self, n: int, before: dict[str, tuple[int, int]], label: str | None = None) -> None:
        """Say what an edit removed.

        Args:
            n: number of the edit.
            before: `marks` before it.
            label: name of the label that was removed too.
        """
        after = self.marks()
        lost = [tuple(map(sub, marks, after.get(name, (0, 0)))) for name, marks in before.items()]
        dots, masks, images = sum(one[0] for one in lost), sum(one[1] for one in lost), sum(map(any, lost))
        counts = " and ".join(_counted(*each) for each in ((dots, "dot"), (masks, "mask")) if each[0])
        what = " with ".join(filter(None, (label and f"the label {label}", counts)))
        where = f" from {_counted(images, 'image')}" if counts else ""
        text = f"Removed {what}{where}." if what else NOTHING
        self.tell(type="removed", n=n, text=text, undo=bool(what))

    def progress(self, n: int, what: str, done: int, of: int, ended: bool) -> None:
        """Say how far work in the background is."""
        self.tell(type="progress", n=n, what=what, done=done, of=of, ended=ended)

    def saved(self, n: int) -> None:
        """Say that the session was saved just now, with the edits of the page up to number ``n``."""
        self.tell(type="saved", n=n, at=datetime.now(UTC).isoformat(timespec="seconds"))

    def state(self, page: str) -> None:
        """Send everything that a page needs when it opens."""
        session = self.session
        model, other = _names_of(session, self._other) if self._other else (_name_of(session), None)
        videos = []
        for name in session.videos:
            height, width = session.frame_pixels(name, 0).shape[:2]
            videos.append({"id": name, "frames": self.length(name), "height": height, "width": width})
        self.tell(
            type="state",
            id=page,
            model=model,
            other=other,
            labels=self._labels(),
            images=[self._image(name) for name in session.images],
            videos=videos,
            versions={name: self._version(name) for name in (*session.images, *session.videos)},
            formats=[{"name": each.name, "about": each.about} for each in FORMATS.values()],
            memories=[each for each in get_args(Memory) if _accepts(session.network, each)],
            **self._steps(),
        )

    def length(self, video: str) -> int | None:
        """The number of frames that a video announces, which may be wrong; None if it says nothing."""
        if video not in self._lengths:
            path = self.session.path_of(video)
            self._lengths[video] = announced_frames(path) if path else None
        return self._lengths[video]

    def _version(self, name: str) -> str:
        """What changes with the file of an image or video, so that a page never shows the one before."""
        path = self.session.path_of(name)
        if path is None:
            return str(self.session.picture(name).checksum) if name in self.session.images else "0"
        try:
            files = [file.stat() for file in (image_files(path) if path.is_dir() else [path])]
        except OSError:
            return "0"  # it is gone, which is said where it is read
        return f"{max(file.st_mtime_ns for file in files):x}-{sum(file.st_size for file in files):x}"

    def _image(self, name: str) -> dict[str, Any]:
        height, width = self.session.picture(name).size
        return {"id": name, "height": height, "width": width, "dots": self.session.annotation(name)[1]}

    def _steps(self) -> dict[str, bool]:
        return {"undo": self.session.can_undo, "redo": self.session.can_redo}

    def _labels(self) -> list[dict[str, Any]]:
        named = zip(self.session.labels, label_colours().tolist(), strict=False)
        return [{"name": name, "colour": colour} for name, colour in named][1:]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _names_of(session: Session, other: Session) -> tuple[str, str]:
    """What a page calls two networks: their runs or releases, and their files if those are the same."""
    both = (session, other)
    for first, second in (map(_name_of, both), map(_file_of, both)):
        if first != second:
            return first, second
    return f"A: {first}", f"B: {second}"


def _name_of(session: Session) -> str:
    """The folder of the run or release of a network."""
    if session.model is None:
        return type(session.network).__name__
    folder = session.model.checkpoint.parent
    return (folder.parent if folder.name == "checkpoints" else folder).name


def _file_of(session: Session) -> str:
    """The same with the name of the checkpoint."""
    return f"{_name_of(session)}/{session.model.checkpoint.stem}" if session.model else _name_of(session)


def _accepts(network: Network, memory: str) -> bool:
    try:
        check_memory(memory, network)
    except UserError:
        return False
    return True
