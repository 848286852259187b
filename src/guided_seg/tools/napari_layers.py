"""The layers of napari: dots in a points layer guide the segmentation of all images and stacks of a viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.annotating import Annotating
from guided_seg.session.arguments import RGB
from guided_seg.session.store import Labels

Dot = tuple[int, int, str]
"""Row, column and label."""

FIRST_LABEL = "object"
"""The label of the first dots."""

DOTS, MASKS = " dots", " labels"
"""What the names of layers with dots and with answers end with, after that of their image."""


class Guided:
    """Images that pass, guided by those that stay because they have dots.

    Args:
        session: answers. Its images and labels are replaced.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._stays = session, Annotating()

    @property
    def labels(self) -> list[str]:
        """The labels; the index is the number in an answer."""
        return self._stays.labels

    def knows(self, name: str) -> bool:
        """Whether an image has, or had, dots."""
        return name in self._stays.images

    def show(self, name: str, pixels: RGB, dots: Iterable[Dot]) -> None:
        """Replace the dots of an image.

        Raises:
            UserError: a dot lies outside the image. The dots stay as they are then.
        """
        wanted = {(row, column): label for row, column, label in dots}
        height, width = pixels.shape[:2]
        for row, column in wanted:
            if not (0 <= row < height and 0 <= column < width):
                raise UserError(
                    f"The dot at row {row}, column {column} lies outside its {height} x {width} image; move it."
                )
        if not self.knows(name):
            if not wanted:
                return
            self._stays.add_image(name, pixels)
        for label in dict.fromkeys(wanted.values()):
            if label not in self._stays.labels:
                self._stays.add_label(label)
        for row, column, label in self._stays.dots(name):
            if wanted.get((row, column)) != label:
                self._stays.remove(name, row, column)
        for (row, column), label in wanted.items():
            self._stays.dot(name, row, column, label)

    def answer(self, name: str, pixels: RGB, refined: bool = False) -> Labels:
        """The label map of an image.

        Raises:
            UserError: nothing is annotated.
        """
        if not self._stays.annotated or len(self.labels) < 2:
            raise UserError("There are no dots yet; add a layer for dots and click on an object.")
        self._session.follow(self._stays)  # drops the image that passed before
        if not self.knows(name):
            self._session.add_image(name, pixels)
        return self._session.refined(name) if refined else self._session.segment(name)


def frames_of(layer: Any) -> list[Callable[[], RGB]]:
    """How to read each frame of an image layer; one for a plain image.

    Grey values are scaled by the contrast limits of the layer.

    Raises:
        UserError: the layer has more than one axis of frames.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    extra = len(data.shape) - (3 if layer.rgb else 2)
    if extra > 1:
        raise UserError(
            f"The layer {layer.name!r} has the shape {tuple(data.shape)}; expected an image, or a stack of images "
            "along one axis. Slice it first."
        )
    limits = tuple(layer.contrast_limits)
    if not extra:
        return [partial(as_rgb, data, limits)]
    return [partial(_frame, data, index, limits) for index in range(len(data))]


def _frame(data: Any, index: int, limits: tuple[float, float]) -> RGB:
    return as_rgb(data[index], limits)


def as_rgb(data: Any, limits: tuple[float, float]) -> RGB:
    """Pixels as RGB of 8 bits; values between the limits become 0 to 255, if they are not bytes already.

    Example:
        >>> as_rgb(np.array([[0.0, 0.5, 2.0]]), (0.0, 1.0))[0, :, 0].tolist()
        [0, 127, 255]
    """
    pixels = np.asarray(data)
    if pixels.dtype != np.uint8:
        low, high = (0.0, 1.0) if pixels.ndim == 3 and pixels.dtype.kind == "f" else limits
        if pixels.ndim == 3 and pixels.dtype.kind in "iu":
            low, high = 0.0, float(np.iinfo(pixels.dtype).max)
        share = (pixels.astype(np.float32) - low) / max(high - low, 1e-12)
        pixels = (np.nan_to_num(share).clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels[..., :3])


class Found(NamedTuple):
    """The answer to a frame.

    Attributes:
        image: its image layer.
        number: that of the frame there.
        frames: how many frames the layer has.
        labels: the label map.
        done: how many answers there are with this one.
        of: how many there will be.
    """

    image: Any
    number: int
    frames: int
    labels: Labels
    done: int
    of: int


class Panel:
    """What the buttons of the widget do, with the layers of a viewer.

    Args:
        viewer: a viewer of napari, or its model.
        load: makes the session, once it is needed.
    """

    def __init__(self, viewer: Any, load: Callable[[], Session]) -> None:
        self._viewer, self._load = viewer, load
        self._guided: Guided | None = None
        self._seen: dict[str, Any] = {}
        self._known: set[str] = set()  # frames whose dots were handed over once
        self.label = FIRST_LABEL

    @property
    def guided(self) -> Guided:
        """The images and their dots."""
        if self._guided is None:
            self._guided = Guided(self._load())
        return self._guided

    def images(self) -> list[Any]:
        """The image layers."""
        return [layer for layer in self._viewer.layers if layer._type_string == "image"]

    def dots(self, image: Any) -> Any:
        """The points layer of an image, added if there is none, ready for the next dot."""
        name = image.name + DOTS
        if name not in self._viewer.layers:
            number = len(image.data.shape) - (1 if image.rgb else 0)
            places = {"scale": image.scale[-number:], "translate": image.translate[-number:]}
            self._viewer.add_points(
                np.empty((0, number)),
                ndim=number,
                name=name,
                features={"label": np.array([], dtype=object)},
                face_color="label",
                face_color_cycle=["deepskyblue", "orange", "limegreen", "magenta", "gold"],
                size=max(max(image.data.shape) // 60, 3),
                **places,
            )
        layer = self._viewer.layers[name]
        layer.mode = "add"
        self.choose(self.label)
        return layer

    def choose(self, label: str) -> None:
        """Give this label to the dots that come."""
        if not label.strip():
            raise UserError(f"A label has no name; write one, or {NEGATIVE} for the background.")
        self.label = label.strip()
        for layer in self._viewer.layers:
            if layer.name.endswith(DOTS):
                layer.feature_defaults = {"label": self.label}

    def segment(self, image: Any, everything: bool = False, refined: bool = False) -> Iterator[tuple[int, int]]:
        """Segment the frame of an image that is visible, or all frames of all images, into labels layers.

        Yields:
            How many frames are done, and of how many.

        Raises:
            UserError: nothing is annotated, or a layer does not fit.
        """
        for found in self.answers(image, everything, refined):
            self.write(found)
            yield found.done, found.of

    def answers(self, image: Any, everything: bool = False, refined: bool = False) -> Iterator[Found]:
        """The answers of `segment`. The layers are read now; a thread may then take the answers one by one.

        Raises:
            UserError: see `segment`.
        """
        readers = {layer.name: frames_of(layer) for layer in self.images()}
        shown = [each for layer in self.images() for each in self._shown(layer, readers[layer.name])]
        if everything:
            places = [(layer, index) for layer in self.images() for index in range(len(readers[layer.name]))]
        else:
            index = int(self._viewer.dims.current_step[0]) if len(readers[image.name]) > 1 else 0
            places = [(image, min(index, len(readers[image.name]) - 1))]
        todo = [(layer, index, self._key(layer, index), readers[layer.name]) for layer, index in places]

        def work() -> Iterator[Found]:
            for name, read, dots in shown:
                self.guided.show(name, read(), dots)
            for done, (layer, index, name, frames) in enumerate(todo, 1):
                labels = self.guided.answer(name, frames[index](), refined)
                yield Found(layer, index, len(frames), labels, done, len(todo))

        return work()

    def _shown(
        self, image: Any, readers: list[Callable[[], RGB]]
    ) -> Iterator[tuple[str, Callable[[], RGB], list[Dot]]]:
        """The frames of an image layer that have, or had, dots: name, how to read it, and its dots."""
        keys = [self._key(image, index) for index in range(len(readers))]
        by_frame: dict[int, list[Dot]] = {index: [] for index, key in enumerate(keys) if key in self._known}
        if image.name + DOTS in self._viewer.layers:
            layer = self._viewer.layers[image.name + DOTS]
            for place, label in zip(layer.data, layer.features["label"], strict=True):
                *before, row, column = (round(float(number)) for number in place)
                if not 0 <= (index := before[0] if before else 0) < len(readers):
                    raise UserError(f"A dot of {image.name!r} is in frame {index}, which is not there; move it.")
                by_frame.setdefault(index, []).append((row, column, str(label)))
        self._known.update(keys[index] for index in by_frame)
        for index, dots in by_frame.items():
            yield keys[index], readers[index], dots

    def _key(self, image: Any, index: int) -> str:
        """The name of a frame in the session; another one if a layer gets other pixels."""
        data = self._seen.setdefault(f"{image.name} {id(image.data)}", image.data)  # kept, so that its id is not reused
        return f"{image.name} {id(data)} [{index}]"

    def write(self, found: Found) -> None:
        """Put an answer into the labels layer of its image, which is added if there is none."""
        image, labels = found.image, found.labels
        if image not in self._viewer.layers:  # it was removed meanwhile
            return
        name, shape = image.name + MASKS, (found.frames, *labels.shape) if found.frames > 1 else labels.shape
        if name not in self._viewer.layers or self._viewer.layers[name].data.shape != shape:
            if name in self._viewer.layers:
                self._viewer.layers.remove(name)
            number = len(shape)
            places = {"scale": image.scale[-number:], "translate": image.translate[-number:]}
            self._viewer.add_labels(np.zeros(shape, np.uint8), name=name, **places)
            if image.name + DOTS in self._viewer.layers:  # clicks go on setting dots
                self._viewer.layers.selection.active = self._viewer.layers[image.name + DOTS]
        layer = self._viewer.layers[name]
        layer.data[found.number if found.frames > 1 else ...] = labels
        layer.refresh()
