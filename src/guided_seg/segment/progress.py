"""The progress bar of the batch command: how many images, how many a second, and how long it still takes."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from guided_seg.formats.saving import Step

_WHAT = "Segmenting"


def left_out(image: str, why: str) -> str:
    """The line for an image that is left out."""
    return f"left out: {image}: {why}"


class Rate(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """See `ProgressColumn.render`."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


class Bar:
    """A progress bar on a terminal's stderr. It is called with each step; what is logged meanwhile stands above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(_WHAT, total=None)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, step: Step) -> None:
        """Show that an image or a frame is done, and say why if it is left out."""
        if step.fault:
            self.say(left_out(step.image, step.fault))
        self._bar.update(self._task, completed=step.done, total=step.total, description=_WHAT)

    def elsewhere(self, done: int, total: int) -> None:
        """Show how many images other processes have segmented."""
        self._bar.update(self._task, completed=done, total=total, description=f"{_WHAT} on Ray")

    def say(self, sentence: str) -> None:
        """Print a sentence on stderr, above the bar."""
        self._console.print(sentence, soft_wrap=True)
