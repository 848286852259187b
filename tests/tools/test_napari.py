"""The widget of napari: its logic always, its layers and buttons where napari is installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.tools.napari import widget
from guided_seg.tools.napari_layers import DOTS, MASKS, Guided, Panel, as_rgb, frames_of

MANIFEST = Path(__file__).parents[2] / "src" / "guided_seg" / "tools" / "napari.yaml"
needs_napari = pytest.mark.skipif(
    find_spec("napari") is None, reason="napari is not installed; pip install '.[napari]' runs this test"
)


def until(app: Any, condition: Callable[[], bool]) -> None:
    """Let the window work until a condition holds."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it took too long"
        app.processEvents()
        time.sleep(0.005)


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)


def session() -> Session:
    return Session(network("late_global"))


def test_images_that_pass_are_guided_by_those_that_stay() -> None:
    guided, own = Guided(session()), session()
    guided.show("a", pixels(0), [(3, 4, "cell"), (20, 30, NEGATIVE)])
    for number, name in enumerate("abc"):
        own.add_image(name, pixels(number))
    own.dot("a", 3, 4, own.add_label("cell"))
    own.dot("a", 20, 30, NEGATIVE)
    for number, name in enumerate("abc"):
        np.testing.assert_array_equal(guided.answer(name, pixels(number)), own.segment(name))
        np.testing.assert_array_equal(guided.answer(name, pixels(number), refined=True), own.refined(name))
    guided.show("a", pixels(0), [(9, 9, "cell")])
    own.clear()
    own.dot("a", 9, 9, "cell")
    np.testing.assert_array_equal(guided.answer("b", pixels(1)), own.segment("b"))
    assert guided.labels == [NEGATIVE, "cell"]


def test_a_frame_that_passes_again_is_not_encoded_again() -> None:
    asked = session()
    guided = Guided(asked)
    guided.show("a", pixels(0), [(3, 4, "cell")])
    for _ in range(3):
        guided.answer("b", pixels(1))
    assert asked.encodes["b"] == 1
    assert asked.images == ["a", "b"]


def test_without_dots_there_is_no_answer() -> None:
    guided = Guided(session())
    with pytest.raises(UserError, match="no dots yet"):
        guided.answer("a", pixels(0))
    guided.show("a", pixels(0), [(3, 4, NEGATIVE)])
    with pytest.raises(UserError, match="no dots yet"):
        guided.answer("a", pixels(0))
    with pytest.raises(UserError, match="row 30, column 4 lies outside its 30 x 40 image"):
        guided.show("a", pixels(0), [(30, 4, "cell")])


@pytest.mark.parametrize(
    ("data", "rgb", "frames"),
    [
        (np.zeros((30, 40), np.uint8), False, 1),
        (np.zeros((30, 40, 4), np.uint8), True, 1),
        (np.zeros((5, 30, 40), np.uint16), False, 5),
        (np.zeros((5, 30, 40, 3), np.float32), True, 5),
    ],
)
def test_layers_of_every_kind_are_read(data: np.ndarray, rgb: bool, frames: int) -> None:
    layer = SimpleNamespace(name="a", data=data, rgb=rgb, multiscale=False, contrast_limits=(0, 1))
    readers = frames_of(layer)
    assert len(readers) == frames
    assert all(read().shape == (30, 40, 3) and read().dtype == np.uint8 for read in readers)
    layer.data, layer.multiscale = [data, data[..., ::2, ::2]], True
    assert len(frames_of(layer)) == frames


@pytest.mark.parametrize(
    ("data", "limits", "expected"),
    [
        (np.array([[100, 200, 400]], np.uint16), (100, 300), [0, 127, 255]),
        (np.array([[np.nan, -1.0, 9.0]]), (0, 10), [0, 0, 229]),
        (np.array([[7, 9, 255]], np.uint8), (50, 60), [7, 9, 255]),
        (np.array([[5, 5, 5]], np.int32), (5, 5), [0, 0, 0]),
        (np.array([[[0.0] * 3, [0.5] * 3, [1.0] * 3]]), (0, 9), [0, 127, 255]),
        (np.array([[[0] * 3, [32768] * 3, [65535] * 3]], np.uint16), (0, 9), [0, 127, 255]),
    ],
)
def test_values_are_scaled_as_they_are_shown(
    data: np.ndarray, limits: tuple[float, float], expected: list[int]
) -> None:
    assert as_rgb(data, limits)[0, :, 0].tolist() == expected


def test_a_stack_of_stacks_is_refused() -> None:
    layer = SimpleNamespace(
        name="cube", data=np.zeros((2, 3, 4, 5)), rgb=False, multiscale=False, contrast_limits=(0, 1)
    )
    with pytest.raises(UserError, match=r"'cube' has the shape \(2, 3, 4, 5\); expected an image, or a stack"):
        frames_of(layer)


def test_the_manifest_names_the_widget() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    (command,), (shown,) = (manifest["contributions"][kind] for kind in ("commands", "widgets"))
    assert shown["command"] == command["id"]
    assert command["id"].startswith(f"{manifest['name']}.")
    module, _, name = command["python_name"].partition(":")
    assert (module, name) == (widget.__module__, widget.__name__)


def test_an_installation_has_the_manifest() -> None:
    (entry,) = [each for each in entry_points(group="napari.manifest") if each.name == "guided_seg"]
    module, _, name = entry.value.partition(":")
    assert files(module).joinpath(name).read_text(encoding="utf-8") == MANIFEST.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_manifest_is_one_of_napari() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed; it comes with pip install '.[napari]'")
    assert npe2.PluginManifest.from_file(MANIFEST).name == "guided_seg"


@needs_napari
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # napari 0.9 uses what pydantic gives up
def test_the_layers_of_a_viewer_are_segmented() -> None:
    from napari.components import ViewerModel

    viewer: Any = ViewerModel()
    stack = viewer.add_image(np.stack([pixels(number) for number in range(3)]), rgb=True, name="stack")
    single = viewer.add_image(pixels(7), rgb=True, name="single", scale=(2, 2))
    panel = Panel(viewer, session)
    with pytest.raises(UserError, match="no dots yet"):
        list(panel.segment(stack))
    dots = panel.dots(stack)
    dots.add([1, 3, 4])
    panel.choose(NEGATIVE)
    dots.add([1, 20, 30])
    assert list(dots.features["label"]) == ["object", NEGATIVE]
    own = session()
    for number in range(3):
        own.add_image(f"{number}", pixels(number))
    own.add_image("single", pixels(7))
    own.dot("1", 3, 4, own.add_label("object"))
    own.dot("1", 20, 30, NEGATIVE)
    assert list(panel.segment(stack, everything=True)) == [(done, 4) for done in range(1, 5)]
    for number in range(3):
        np.testing.assert_array_equal(viewer.layers["stack" + MASKS].data[number], own.segment(f"{number}"))
    np.testing.assert_array_equal(viewer.layers["single" + MASKS].data, own.segment("single"))
    assert tuple(viewer.layers["single" + MASKS].scale) == (2, 2)
    panel.dots(single).add([9, 9])
    own.dot("single", 9, 9, NEGATIVE)
    viewer.dims.set_current_step(0, 2)
    assert list(panel.segment(stack)) == [(1, 1)]
    np.testing.assert_array_equal(viewer.layers["stack" + MASKS].data[2], own.segment("2"))
    viewer.layers["stack" + DOTS].data = np.empty((0, 3))
    viewer.layers["single" + DOTS].data = np.empty((0, 2))
    with pytest.raises(UserError, match="no dots yet"):
        list(panel.segment(stack))


@needs_napari
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # napari 0.9 uses what pydantic gives up
def test_the_buttons_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    from napari._qt.qt_event_loop import get_qapp
    from napari.components import ViewerModel

    errors: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", errors.append)
    monkeypatch.setattr("guided_seg.tools.napari.Session.load", lambda _: session())
    app = get_qapp()
    viewer: Any = ViewerModel()
    made: Any = widget(viewer)
    image, label, background, refined, begin, this, everything, stop, said = made
    this.changed.emit(True)
    assert errors == ["No image is chosen; open one in napari."]
    viewer.add_image(pixels(0), rgb=True, name="photo")
    image.value, refined.value = "photo", False
    label.value = "cell"
    begin.changed.emit(True)
    viewer.layers["photo" + DOTS].add([3, 4])
    background.value = True
    viewer.layers["photo" + DOTS].add([20, 30])
    assert list(viewer.layers["photo" + DOTS].features["label"]) == ["cell", NEGATIVE]
    everything.changed.emit(True)
    until(app, lambda: everything.enabled)
    assert said.value == "1 of 1"
    assert viewer.layers["photo" + MASKS].data.any()
    assert len(errors) == 1
    viewer.layers["photo" + DOTS].add([99, 4])
    this.changed.emit(True)
    until(app, lambda: everything.enabled)
    assert "row 99, column 4 lies outside" in errors[1]
    assert (said.value, stop.enabled) == ("That did not work.", False)
    made.close()
    app.processEvents()


@needs_napari
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # napari 0.9 uses what pydantic gives up
def test_the_window_answers_while_it_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    from napari._qt.qt_event_loop import get_qapp
    from napari.components import ViewerModel

    go_on, answer = Semaphore(0), Guided.answer

    def slow(self: Guided, *arguments: Any) -> Any:
        assert go_on.acquire(timeout=60)
        return answer(self, *arguments)

    monkeypatch.setattr(Guided, "answer", slow)
    monkeypatch.setattr("guided_seg.tools.napari.Session.load", lambda _: session())
    app = get_qapp()
    viewer: Any = ViewerModel()
    made: Any = widget(viewer)
    image, _, _, _, begin, this, everything, stop, said = made
    viewer.add_image(np.stack([pixels(number) for number in range(5)]), rgb=True, name="stack")
    image.value = "stack"
    begin.changed.emit(True)
    viewer.layers["stack" + DOTS].add([0, 3, 4])
    everything.changed.emit(True)  # it returns, though no frame is answered
    assert (this.enabled, everything.enabled, stop.enabled) == (False, False, True)
    viewer.dims.set_current_step(0, 3)
    for number in (1, 2):
        go_on.release()
        until(app, lambda expected=f"{number} of 5": said.value == expected)  # type: ignore[misc]
    stop.changed.emit(True)
    go_on.release()  # it is at the third frame, and ends behind it
    until(app, lambda: everything.enabled)
    written = viewer.layers["stack" + MASKS].data.any((1, 2))
    assert written[:2].all()
    assert not written[3:].any()
    everything.changed.emit(True)
    viewer.layers.clear()  # also while it works
    for _ in range(5):
        go_on.release()
    until(app, lambda: everything.enabled)
    assert not viewer.layers
    made.close()
    app.processEvents()
