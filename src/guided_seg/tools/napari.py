"""The widget of napari: its fields and buttons. What they do to the layers is in `guided_seg.tools.napari_layers`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.tools.napari_layers import FIRST_LABEL, Found, Panel

if TYPE_CHECKING:
    from magicgui.widgets import Container


def widget(napari_viewer: Any) -> Container:
    """The widget "Segment by dots", as the manifest names it."""
    return Fields(napari_viewer).shown


class Fields:
    """The fields and buttons of the widget.

    Args:
        viewer: see `Panel`.

    Attributes:
        shown: what napari docks.
    """

    def __init__(self, viewer: Any) -> None:
        from magicgui.widgets import CheckBox, ComboBox, Container, Label, LineEdit, PushButton

        panel = self._panel = Panel(viewer, partial(Session.load, "guided-lite0"))
        self._viewer = viewer
        self._work: Any = None  # the thread, once there is one
        image = ComboBox(label="image", choices=lambda _: [layer.name for layer in panel.images()], nullable=True)
        self._image, self._label = image, LineEdit(label="label", value=FIRST_LABEL)
        self._background = CheckBox(text="dots are background", value=False)
        self._refined = CheckBox(text="refined (slower)", value=True)
        begin, self._this = PushButton(text="Set dots"), PushButton(text="Segment this image")
        self._all = PushButton(text="Segment all images and frames")
        self._stop, self._said = PushButton(text="Stop", enabled=False), Label(value="Set dots on an object.")
        begin.changed.connect(_carefully(self._add_dots, self._failed))
        self._label.changed.connect(_carefully(self._choose, self._failed))
        self._background.changed.connect(_carefully(self._choose, self._failed))
        self._this.changed.connect(_carefully(partial(self._run, False), self._failed))
        self._all.changed.connect(_carefully(partial(self._run, True), self._failed))
        self._stop.changed.connect(_carefully(self._end, self._failed))
        buttons = (begin, self._this, self._all, self._stop)
        self.shown = Container(widgets=[image, self._label, self._background, self._refined, *buttons, self._said])
        viewer.layers.events.inserted.connect(lambda _: image.reset_choices())
        viewer.layers.events.removed.connect(lambda _: image.reset_choices())
        image.reset_choices()

    def _failed(self, error: Exception) -> None:
        from napari.utils.notifications import show_error

        if not isinstance(error, UserError):
            raise error
        self._said.value = "That did not work."
        show_error(str(error))

    def _chosen(self) -> Any:
        if not self._image.value:
            raise UserError("No image is chosen; open one in napari.")
        return self._viewer.layers[self._image.value]

    def _choose(self) -> None:
        self._panel.choose(NEGATIVE if self._background.value else self._label.value)

    def _add_dots(self) -> None:
        self._choose()
        self._viewer.layers.selection.active = self._panel.dots(self._chosen())

    def _run(self, everything: bool) -> None:
        """Segment in a thread, so that the window answers meanwhile; the window's own writes the answers to layers."""
        from napari.qt.threading import create_worker

        answers = self._panel.answers(self._chosen(), everything, self._refined.value)
        self._free(False)
        heard = {"yielded": self._came, "errored": self._failed, "finished": partial(self._free, True)}
        self._work = create_worker(lambda: (yield from answers), _connect=heard, _ignore_errors=True)

    def _came(self, found: Found) -> None:
        self._panel.write(found)
        self._said.value = f"{found.done} of {found.of}"

    def _free(self, free: bool) -> None:
        """Whether the next run may begin, or this one be stopped."""
        self._this.enabled = self._all.enabled = free
        self._stop.enabled = not free

    def _end(self) -> None:
        if self._work is not None:
            self._work.quit()


def _carefully(act: Callable[[], None], failed: Callable[[Exception], None]) -> Callable[[], None]:
    """The same, with errors of the person's own told."""

    def call() -> None:
        try:
            act()
        except UserError as error:
            failed(error)

    return call
