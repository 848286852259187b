"""Functions for CVAT: a mask from clicks, a mask through a video, and the rest of a task from its annotated images.

``cvat-cli`` makes one of them with `create`. They are plain objects of the protocols of ``cvat_sdk.auto_annotation``.
What does not fit raises its ``BadFunctionError``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Any

from cvat_sdk import auto_annotation as cvat
from cvat_sdk.masks import encode_mask

from guided_seg.errors import UserError
from guided_seg.formats.rings import rings
from guided_seg.model.video.previous_frame import Memory, check_memory
from guided_seg.release import DEFAULT
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.annotating import Annotating
from guided_seg.session.arguments import RGB, one_of
from guided_seg.session.store import Labels
from guided_seg.tools.cvat_shapes import Dataset, Mask, annotate, bad_function, decoded, pixel_at, rgb, taken

KINDS = ("interact", "track", "rest")
"""What `create` makes."""

LABEL = "object"
"""The label of a function that is asked about one object."""

POINTS = ("pos_points", "neg_points")
"""What a person clicks, positive points first."""

TRACKING_MB = 256
"""Size of the cache of each tracked object. An agent keeps them for hours."""


def create(
    kind: str = "interact",
    checkpoint: str = DEFAULT,
    device: str = "cpu",
    refined: bool = True,
    memory: str = "shot",
    task: int | None = None,
    session: str | None = None,
    server: str | None = None,
    organization: str | None = None,
) -> Interactor | Tracker | Rest:
    """A function for CVAT. ``cvat-cli`` calls this with the parameters of ``-p``, as in ``-p kind=str:track``.

    Args:
        kind: ``interact`` for masks from clicks and boxes, ``track`` for masks through a video, ``rest`` for masks of
            all images of a task.
        checkpoint: a run folder, a checkpoint, or a released model.
        device: device of the network.
        refined: give refined answers, which take longer (see `Session.refined`). Tracking never refines.
        memory: how a tracked object is remembered from frame to frame.
        task: for ``rest``: the id of the task. Its annotated images guide the others.
        session: for ``rest``, in place of the task: a saved session that guides.
        server: address of the CVAT server with the task; None for that of the saved profile.
        organization: the organization of the task in CVAT.

    Raises:
        BadFunctionError: the parameters do not fit, or nothing is annotated.
    """
    with bad_function():
        one_of(kind, "kind", KINDS)
        if kind != "rest":
            loaded = Session.load(checkpoint, device)
            return (
                Interactor(loaded, refined)
                if kind == "interact"
                else Tracker(loaded, check_memory(memory, loaded.network))
            )
        if (task is None) == (session is None):
            raise UserError(
                "What guides the rest is not said; give the task that is partly annotated (-p task=int:7), or a saved "
                "session (-p session=str:FILE)."
            )
        if task is None:
            assert session is not None
            return Rest(Session.open(session, device), refined)
        return rest_of(_dataset(task, server, organization), Session.load(checkpoint, device), refined)


class Interactor:
    """A mask from positive and negative points and a box: an ``InteractionFunction``.

    Args:
        session: gives the network. Its images and labels are replaced.
        refined: give refined answers.
    """

    def __init__(self, session: Session, refined: bool = True) -> None:
        self.spec = cvat.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)
        self._session, self._refined, self._numbers = session, refined, count()

    def preprocess_image(self, context: cvat.InteractionFunctionContext, image: object) -> Annotating:
        """Encode an image once for all calls of `detect`."""
        with bad_function():
            prepared = Annotating()
            name = f"image {next(self._numbers)}"
            prepared.add_image(name, rgb(image))
            prepared.add_label(LABEL)
            self._session.follow(prepared)
            self._session.segment(name)
        return prepared

    def detect(
        self, context: cvat.InteractionFunctionContext, pp_image: object, prompts: cvat.InteractionPrompts
    ) -> list[cvat.InteractionResultShape]:
        """The mask of the object; none if nothing was found."""
        with bad_function():
            if not isinstance(pp_image, Annotating):
                raise UserError(f"The image is a {type(pp_image).__name__}; give what preprocess_image returned.")
            (name,) = pp_image.images
            size = pp_image.picture(name).size
            positive, negative = ([pixel_at(point, size) for point in _listed(prompts, what)] for what in POINTS)
            box = prompts.bounding_box
            if not positive and box is None:
                raise UserError("The object is not shown; click on it, or draw a box around it.")
            self._session.follow(pp_image)
            if box is not None:
                if len(corners := _listed(prompts, "bounding_box")) != 2:
                    raise UserError(f"The box has {len(corners)} corners; expected its top left and bottom right one.")
                (top, left), (bottom, right) = (pixel_at(corner, size) for corner in corners)
                self._session.box(name, (top, left, bottom, right), LABEL)
            for points, label in ((positive, LABEL), (negative, NEGATIVE)):
                for row, column in points:
                    self._session.dot(name, row, column, label)
            mask = _answer(self._session, name, self._refined) == 1
        return [cvat.InteractionResultShape(type="mask", points=encode_mask(mask))] if mask.any() else []


class Tracked:
    """An object that is followed: a video to which each call of `Tracker.track` adds one frame."""

    def __init__(self, network: Session, first: RGB, mask: Mask, memory: Memory) -> None:
        self._frames: deque[RGB] = deque()
        device = next(network.network.parameters()).device
        session = Session(network.network, device, cache_mb=TRACKING_MB)
        session.add_image("first", first)
        session.add_label(LABEL)
        session.mask("first", mask, LABEL)
        session.mask("first", ~mask, NEGATIVE)
        session.add_video("video", self._coming())
        self._steps = session.segment_video("video", memory=memory)
        self.size = mask.shape

    def _coming(self) -> Iterator[RGB]:
        while True:
            yield self._frames.popleft()

    def next(self, frame: RGB) -> Mask:
        """The object in the next frame."""
        self._frames.append(frame)
        return next(self._steps)[1] == 1


class Tracker:
    """A mask through the frames of a video: a ``TrackingFunction``.

    Each object has a session of its own, and its mask in the first frame guides all later ones.

    Args:
        session: gives the network.
        memory: see `guided_seg.model.video.previous_frame.Memory`.
    """

    def __init__(self, session: Session, memory: Memory = "shot") -> None:
        self.spec = cvat.TrackingFunctionSpec(supported_shape_types={"mask"})
        self._session, self._memory = session, memory

    def preprocess_image(self, context: cvat.TrackingFunctionContext, image: object) -> RGB:
        """The pixels of an image."""
        with bad_function():
            return rgb(image)

    def init_tracking_state(
        self, context: cvat.TrackingFunctionShapeContext, pp_image: RGB, shape: cvat.TrackableShape
    ) -> Tracked:
        """Begin with an object in this image."""
        with bad_function():
            if shape.type != "mask":
                raise UserError(f"The shape is a {shape.type}; only masks are tracked, so turn it into one first.")
            return Tracked(self._session, pp_image, decoded(shape.points, pp_image.shape[:2]), self._memory)

    def track(
        self, context: cvat.TrackingFunctionShapeContext, pp_image: RGB, state: Tracked
    ) -> cvat.TrackableShape | None:
        """The object in the next image; None if it is not there."""
        with bad_function():
            if pp_image.shape[:2] != state.size:
                raise UserError(
                    f"The image has {pp_image.shape[0]} x {pp_image.shape[1]} pixels, but tracking began in one of "
                    f"{state.size[0]} x {state.size[1]}; track in frames of one size."
                )
            mask = state.next(pp_image)
        return cvat.TrackableShape(type="mask", points=encode_mask(mask)) if mask.any() else None


class Rest:
    """Masks of all images that are not annotated, guided by those that are: a ``DetectionFunction``.

    Args:
        session: with annotated images.
        refined: give refined answers.
        done: names of images in the task that are annotated and get no answer.
        polygons: labels that CVAT wants as polygons.

    Raises:
        BadFunctionError: nothing is annotated.
    """

    def __init__(
        self,
        session: Session,
        refined: bool = True,
        done: frozenset[str] = frozenset(),
        polygons: frozenset[str] = frozenset(),
    ) -> None:
        with bad_function():
            if not session.annotated or len(session.labels) < 2:
                raise UserError("No image is annotated with a label; annotate one or more, and save, before the rest.")
        self._labels = dict(enumerate(session.labels[1:], 1))
        self._session, self._refined, self._done, self._polygons = session, refined, done, polygons
        self._guiding, self._numbers = Annotating(), count()
        self._guiding.follow(session)
        self.spec = cvat.DetectionFunctionSpec(
            labels=[
                cvat.label_spec(name, number, type="polygon" if name in polygons else "mask")
                for number, name in self._labels.items()
            ]
        )

    def detect(self, context: cvat.DetectionFunctionContext, image: object) -> list[cvat.DetectionAnnotation]:
        """The objects in an image; none if it is annotated already or the answer is less sure than asked for."""
        if context.frame_name in self._done:
            return []
        with bad_function():
            name = f"rest {next(self._numbers)}: {context.frame_name}"
            self._session.follow(self._guiding)  # drops the last image, so that memory does not grow
            self._session.add_image(name, rgb(image))
            labels = _answer(self._session, name, self._refined)
            least = context.conf_threshold
            if least is not None and self._session.confidence(name) < least:
                return []
        return [
            shape
            for number, label in self._labels.items()
            if (mask := labels == number).any()
            for shape in _shapes(number, mask, context.conv_mask_to_poly or label in self._polygons)
        ]


def rest_of(dataset: Dataset, session: Session, refined: bool = True) -> Rest:
    """The function for the rest of a task.

    Masks and polygons are taken as they are, and what they leave open in their image is background, unless the image
    has other shapes. Points are dots, polylines are scribbles, and rectangles are boxes. Other shapes and tags are
    left out. The label ``negative`` is the background.

    Args:
        dataset: the task with its annotations.
        session: gives the network; without images.
        refined: give refined answers.

    Raises:
        BadFunctionError: no image is annotated, or a shape does not fit its image.
    """
    names = {label.id: str(label.name) for label in dataset.labels}
    done = set()
    with bad_function():
        for sample in dataset.samples:
            if shapes := taken(sample):
                annotate(session, sample, shapes, names)
                done.add(sample.frame_name)
    polygons = frozenset(str(label.name) for label in dataset.labels if str(label.type) == "polygon")
    return Rest(session, refined, frozenset(done), polygons)


def _shapes(number: int, mask: Mask, polygons: bool) -> Iterator[cvat.DetectionAnnotation]:
    """A mask in the form that CVAT wants. Polygons have no holes, so one is made for each part."""
    if not polygons:
        yield cvat.mask(number, encode_mask(mask))
        return
    for ring in rings(mask):
        if not ring.hole:
            yield cvat.polygon(number, ring.corners.astype(float).ravel().tolist())


def _answer(session: Session, name: str, refined: bool) -> Labels:
    return session.refined(name) if refined else session.segment(name)


def _listed(prompts: cvat.InteractionPrompts, what: str) -> list[Any]:
    try:
        return list(getattr(prompts, what))
    except (TypeError, AttributeError):
        raise UserError(f"{what} is not a list of points (x, y).") from None


def _dataset(task: int, server: str | None, organization: str | None) -> Dataset:
    """Download a task, with the credentials of ``cvat-cli``: a saved profile, or CVAT_ACCESS_TOKEN."""
    from cvat_sdk.core.auth import ClientAuthParameters, make_client_from_cli
    from cvat_sdk.datasets import TaskDataset

    login = ClientAuthParameters(server_host=server, organization=organization)
    return TaskDataset(make_client_from_cli(login), task)
