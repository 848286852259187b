"""Functions for CVAT: tested against the types, the driver and the command of cvat-sdk, without a server."""

from __future__ import annotations

import logging
import time
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk import auto_annotation as cvat
from cvat_sdk import models
from cvat_sdk.auto_annotation import driver
from cvat_sdk.datasets import FrameAnnotations, MediaElement, Sample
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image
from support.networks import network

from guided_seg.app.opening import SAMPLES
from guided_seg.model.network import Network
from guided_seg.session import NEGATIVE, Session
from guided_seg.tools.cvat import Interactor, Rest, Tracker, create, rest_of

SIZE = (40, 60)


class Clicks(cvat.InteractionPrompts):
    """What a person clicked."""

    pos_points: Any = ()
    neg_points: Any = ()
    bounding_box: Any = None

    def __init__(self, positive: Any = (), negative: Any = (), box: Any = None) -> None:
        self.pos_points, self.neg_points, self.bounding_box = positive, negative, box


class Frame(cvat.DetectionFunctionContext):
    """An image that CVAT asks about."""

    frame_name = ""
    conf_threshold: float | None = None
    conv_mask_to_poly = False

    def __init__(self, name: str, least: float | None = None, polygons: bool = False) -> None:
        self.frame_name, self.conf_threshold, self.conv_mask_to_poly = name, least, polygons


class Shape(cvat.TrackingFunctionShapeContext):
    original_shape_type = "mask"


class Media(MediaElement):
    def __init__(self, image: Image.Image) -> None:
        self._image = image

    def load_image(self) -> Image.Image:
        return self._image


HERE, TRACKING = cvat.InteractionFunctionContext(), Shape()


def image(number: int = 0) -> Image.Image:
    return small(("coffee", "chelsea", "rocket")[number % 3])


@cache
def small(name: str) -> Image.Image:
    """A photo of the samples, made small."""
    return Image.open(SAMPLES / f"{name}.jpg").resize(SIZE[::-1])


def decoded(shape: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    assert getattr(shape.type, "value", shape.type) == "mask"
    return decode_mask(shape.points, image_width=size[1], image_height=size[0])


def session(name: str = "late_global") -> Session:
    return Session(network(name))


def a_mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[8:20, 10:30] = True
    return mask


def shape(kind: str, points: list[float], label: int = 5, **more: Any) -> models.LabeledShape:
    return models.LabeledShape(type=kind, points=points, label_id=label, frame=0, rotation=0.0, z_order=0, **more)


def task(*shapes: models.LabeledShape, of_type: str = "any", images: int = 3) -> SimpleNamespace:
    """A task with labels 5 and 6 whose second image has these shapes."""
    more: dict[str, Any] = {"attributes": [], "sublabels": []}
    labels = [models.Label(name=name, id=number, type=of_type, **more) for number, name in ((5, "cup"), (6, NEGATIVE))]
    annotated = [FrameAnnotations(shapes=list(shapes) if number == 1 else []) for number in range(images)]
    samples = [
        Sample(number, f"photos/{number}.png", found, Media(image(number))) for number, found in enumerate(annotated)
    ]
    return SimpleNamespace(labels=labels, samples=samples)


# ---- clicks ----


@pytest.mark.parametrize("refined", [False, True])
def test_clicks_and_a_box_give_the_mask_of_the_session(lite: Network, refined: bool) -> None:
    function, own = Interactor(Session(lite), refined), Session(lite)
    own.add_image("a", np.asarray(image()))
    own.add_label("object")
    prepared = function.preprocess_image(HERE, image())
    for positive, negative, box in (
        ([(12.7, 9.2)], [], None),
        ([(12.7, 9.2), (60, 40)], [(0, 0)], None),
        ([], [(3, 4)], ((5.0, 6.0), (30.0, 20.0))),
    ):
        own.clear()
        if box:
            own.box("a", (6, 5, 20, 30), "object")
        for points, label in ((positive, "object"), (negative, NEGATIVE)):
            for x, y in points:
                own.dot("a", min(int(y), SIZE[0] - 1), min(int(x), SIZE[1] - 1), label)
        expected = (own.refined("a") if refined else own.segment("a")) == 1
        found = function.detect(HERE, prepared, Clicks(positive, negative, box))
        assert [type(each) for each in found] == [cvat.InteractionResultShape]
        np.testing.assert_array_equal(decoded(found[0]), expected)


def test_an_image_is_encoded_once_and_stays_as_it_was_prepared() -> None:
    asked = session()
    function = Interactor(asked)
    first, second = (function.preprocess_image(HERE, image(number)) for number in range(2))
    masks = []
    for prepared in (first, second, first):
        masks.append(function.detect(HERE, prepared, Clicks([(12, 9)], [(1, 1)])))
        assert not prepared.annotated
    assert sorted(asked.encodes.values()) == [1, 1]
    assert [each.points for each in masks[0]] == [each.points for each in masks[2]]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
def test_images_of_every_kind_are_taken(mode: str) -> None:
    function = Interactor(session())
    made = Image.new("I;16", SIZE[::-1]) if mode == "I;16" else image().convert(mode)
    assert isinstance(function.detect(HERE, function.preprocess_image(HERE, made), Clicks([(1, 1)])), list)


@pytest.mark.parametrize(
    ("clicks", "sentence"),
    [
        (Clicks(), "not shown; click on it, or draw a box"),
        (Clicks(negative=[(1, 1)]), "not shown"),
        (Clicks([(61, 3)]), "x 61, y 3 lies outside its image of 60 x 40"),
        (Clicks([(float("nan"), 3)]), "lies outside"),
        (Clicks([(1, 2, 3)]), "expected two numbers"),
        (Clicks(["ab"]), "expected two numbers"),
        (Clicks(3), "pos_points is not a list"),
        (Clicks(box=((1, 1),)), "1 corners"),
        (Clicks(box=((30, 20), (5, 6))), "before it begins"),
    ],
)
def test_prompts_that_do_not_fit_are_bad_functions(clicks: Clicks, sentence: str) -> None:
    function = Interactor(session())
    prepared = function.preprocess_image(HERE, image())
    with pytest.raises(cvat.BadFunctionError, match=sentence):
        function.detect(HERE, prepared, clicks)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(cvat.BadFunctionError, match="expected a PIL image"):
        Interactor(session()).preprocess_image(HERE, np.zeros((4, 4, 3)))
    with pytest.raises(cvat.BadFunctionError, match="what preprocess_image returned"):
        Interactor(session()).detect(HERE, image(), Clicks([(1, 1)]))


# ---- videos ----


def test_a_mask_is_tracked_as_a_session_does_it(lite: Network) -> None:
    function, own = Tracker(Session(lite), "shot"), Session(lite)
    moved = [np.roll(np.asarray(image()), number, axis=1) for number in range(4)]
    frames = [function.preprocess_image(TRACKING, Image.fromarray(pixels)) for pixels in moved]
    own.add_image("first", frames[0])
    own.add_label("object")
    own.mask("first", a_mask(), "object")
    own.mask("first", ~a_mask(), NEGATIVE)
    own.add_video("v", frames[1:])
    start = cvat.TrackableShape(type="mask", points=encode_mask(a_mask()))
    state = function.init_tracking_state(TRACKING, frames[0], start)
    another = function.init_tracking_state(TRACKING, frames[0], start)
    for frame, (_, labels) in zip(frames[1:], own.segment_video("v", memory="shot"), strict=True):
        found = function.track(TRACKING, frame, state)
        same = function.track(TRACKING, frame, another)
        assert found is not None
        np.testing.assert_array_equal(decoded(found), labels == 1)
        assert found == same


@pytest.mark.parametrize(
    ("kind", "points", "sentence"),
    [
        ("rectangle", [1.0, 2.0, 3.0, 4.0], "only masks are tracked"),
        ("mask", [1.0], "cannot be read"),
        ("mask", [5.0, 5.0, 0.0, 0.0, 70.0, 3.0], "cannot be read"),
        ("mask", [1e12, 0.0, 0.0, 3.0, 3.0], "runs are longer than the image"),
        ("mask", [0.5, 3.5, 0.0, 0.0, 1.0, 1.0], "non-integer"),
    ],
)
def test_shapes_that_cannot_be_tracked_are_refused(kind: str, points: list[float], sentence: str) -> None:
    function = Tracker(session())
    with pytest.raises(cvat.BadFunctionError, match=sentence):
        function.init_tracking_state(TRACKING, np.asarray(image()), cvat.TrackableShape(type=kind, points=points))


def test_frames_of_another_size_are_refused_and_tracking_goes_on() -> None:
    function, frame = Tracker(session(), "none"), np.asarray(image())
    shown = cvat.TrackableShape(type="mask", points=encode_mask(a_mask()))
    state = function.init_tracking_state(TRACKING, frame, shown)
    with pytest.raises(cvat.BadFunctionError, match="20 x 30 pixels, but tracking began in one of 40 x 60"):
        function.track(TRACKING, frame[::2, ::2], state)
    function.track(TRACKING, frame, state)


# ---- the rest of a task ----


def run(function: Rest, dataset: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    """The shapes that cvat-sdk's own driver would send to the server."""
    sent: list[Any] = []
    api = SimpleNamespace(
        partial_update_annotations=lambda *_, patched_labeled_data_request: sent.extend(
            patched_labeled_data_request.shapes
        )
    )
    client = SimpleNamespace(logger=logging.getLogger("test"), tasks=SimpleNamespace(api=api))
    monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: dataset)
    cvat.annotate_task(client, 1, function, **options)
    return sent


@pytest.mark.parametrize("refined", [False, True])
def test_the_rest_of_a_task_is_annotated(lite: Network, refined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, own = task(shape("mask", encode_mask(a_mask()))), Session(lite)
    sent = run(rest_of(dataset, Session(lite), refined), dataset, monkeypatch)
    for number in range(3):
        own.add_image(f"{number}", np.asarray(image(number)))
    own.add_label("cup")
    own.mask("1", a_mask(), "cup")
    own.mask("1", ~a_mask(), NEGATIVE)
    assert {each.label_id for each in sent} == {5}
    assert {each.frame for each in sent} == {0, 2}  # the annotated image keeps what a person drew
    for each in sent:
        labels = own.refined(f"{each.frame}") if refined else own.segment(f"{each.frame}")
        np.testing.assert_array_equal(decoded(each), labels == 1)


@pytest.mark.parametrize(
    ("given", "dots", "masked"),
    [
        (shape("points", [12.5, 9.0, 20.0, 11.0]), [(9, 12, "cup"), (11, 20, "cup")], False),
        (shape("points", [1.0, 2.0], label=6), [(2, 1, NEGATIVE)], False),
        (shape("polygon", [10, 8, 30, 8, 30, 20, 10, 20]), [], True),
    ],
)
def test_other_shapes_guide_too(given: Any, dots: list[Any], masked: bool) -> None:
    asked = session()
    rest_of(task(given, shape("points", [40.0, 30.0])), asked)
    name = "photos/1.png"
    assert sorted(asked.dots(name)) == sorted([*dots, (30, 40, "cup")])
    labels = asked.annotation(name)[0]
    assert (labels is not None) == masked
    if labels is not None:
        np.testing.assert_array_equal(labels == 1, a_mask())


def test_boxes_and_lines_are_strokes() -> None:
    asked, own = session(), session()
    rest_of(task(shape("rectangle", [5.0, 6.0, 30.0, 20.0]), shape("polyline", [1.0, 2.0, 50.0, 30.0])), asked)
    own.add_image("a", np.asarray(image(1)))
    own.add_label("cup")
    own.box("a", (6, 5, 20, 30), "cup")
    own.scribble("a", [(2, 1), (30, 50)], "cup")
    assert asked.dots("photos/1.png") == own.dots("a")


@pytest.mark.parametrize(("of_type", "converted"), [("polygon", False), ("any", True), ("mask", True)])
def test_polygons_where_cvat_wants_them(of_type: str, converted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = task(shape("mask", encode_mask(a_mask())), of_type=of_type)
    if of_type == "mask":
        dataset.labels[0].type = "polygon"  # what the driver expects of converted masks
    sent = run(rest_of(dataset, session()), dataset, monkeypatch, conv_mask_to_poly=converted)
    assert {each.type.value for each in sent} == {"polygon"}
    assert all(len(each.points) >= 8 for each in sent)


def test_answers_that_are_less_sure_than_asked_for_are_left_out() -> None:
    function = rest_of(task(shape("points", [12.0, 9.0])), session())
    assert function.detect(Frame("a", least=0.0), image(0)) != []
    assert function.detect(Frame("a", least=1.0), image(0)) == []


def test_memory_does_not_grow_with_the_task() -> None:
    asked = session()
    function = rest_of(task(shape("points", [12.0, 9.0])), asked)
    for number in range(20):
        function.detect(Frame(f"{number}.png"), image(number))
    assert len(asked.images) == 2


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ([], "No image is annotated with a label"),
        ([shape("ellipse", [3.0, 3.0, 2.0, 2.0])], "No image is annotated"),
        ([shape("points", [3.0, 3.0], label=6)], "No image is annotated"),
        ([shape("points", [3.0, 3.0], label=99)], "label 99, which the task does not have"),
        ([shape("points", [3.0, 300.0])], "lies outside its image"),
        ([shape("points", [3.0])], "has 1 coordinates; expected 2 or more"),
        ([shape("polygon", [3.0, 1.0, 2.0, 2.0])], "has 4 coordinates; expected 6 or more"),
        ([shape("polygon", [3.0, 1.0, 2.0, 2.0, 1e9, 0.0])], "x goes from 0 to 60"),
        ([shape("mask", [3.0, 1.0])], "cannot be read"),
    ],
)
def test_tasks_that_cannot_guide_are_refused(shapes: list[Any], sentence: str) -> None:
    with pytest.raises(cvat.BadFunctionError, match=sentence):
        rest_of(task(*shapes), session())


# ---- the command ----


def test_the_command_of_cvat_makes_each_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guided_seg.tools.cvat.Session.load", lambda *_: session())
    monkeypatch.setattr("guided_seg.tools.cvat._dataset", lambda *_: task(shape("mask", encode_mask(a_mask()))))
    made = [
        FunctionLoader("guided_seg.tools.cvat", None, parameters).load()
        for parameters in ({}, {"kind": "track"}, {"kind": "rest", "task": 7})
    ]
    assert [type(each) for each in made] == [Interactor, Tracker, Rest]
    specs = [cvat.InteractionFunctionSpec, cvat.TrackingFunctionSpec, cvat.DetectionFunctionSpec]
    assert [type(each.spec) for each in made] == specs


def test_a_saved_session_guides_a_task(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = session()
    drawn.add_image("a", np.asarray(image(1)))
    drawn.dot("a", 9, 12, drawn.add_label("cup"))
    file = drawn.save(tmp_path / "cups.session")
    opened = Session.open(file, network=network("late_global"))
    monkeypatch.setattr("guided_seg.tools.cvat.Session.open", lambda *_: opened)
    function = create("rest", session=str(file))
    assert isinstance(function, Rest)
    assert [label.name for label in function.spec.labels] == ["cup"]
    assert isinstance(function.detect(Frame("b.png"), image(2)), list)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"kind": "everything"}, "kind=everything: expected"),
        ({"kind": "rest"}, "What guides the rest is not said"),
        ({"kind": "rest", "task": 3, "session": "a.session"}, "What guides the rest"),
        ({"checkpoint": "nowhere"}, "nowhere"),
        ({"kind": "rest", "session": "nowhere.session"}, "nowhere.session"),
        ({"device": "toaster"}, "toaster"),
    ],
)
def test_parameters_that_do_not_fit_are_bad_functions(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(cvat.BadFunctionError, match=sentence):
        create(**parameters)


def test_a_memory_that_the_network_lacks_is_refused() -> None:
    with pytest.raises(cvat.BadFunctionError, match="memory"):
        Tracker(session(), "map").init_tracking_state(
            TRACKING, np.asarray(image()), cvat.TrackableShape(type="mask", points=encode_mask(a_mask()))
        )


# ---- speed ----


def test_a_click_costs_little_more_than_an_edit() -> None:
    """At most 30 ms beyond the edit itself, on a photo of the samples."""
    photo = Image.open(SAMPLES / "coffee.jpg")
    asked = session()
    function = Interactor(asked)
    prepared = function.preprocess_image(HERE, photo)
    beyond, clock = [], time.process_time  # of this process alone, as others share the cores
    spent = 0.0

    def timed(name: str) -> Any:
        nonlocal spent
        began = clock()
        labels = Session.refined(asked, name)
        spent = clock() - began
        return labels

    asked.refined = timed  # type: ignore[method-assign]
    for number in range(8):
        began = clock()
        function.detect(HERE, prepared, Clicks([(300 + number, 200)], [(20, 20)]))
        beyond.append(clock() - began - spent)
    assert min(beyond) < 0.030
