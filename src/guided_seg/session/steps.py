"""Steps of annotating that can be undone and redone: changes of dots, masks and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from guided_seg.episode import IGNORE
from guided_seg.session.marks import Painted, Pixel


class Change(NamedTuple):
    """A dot, or all masks of an image (pixel None), before and after a change."""

    image: str
    pixel: Pixel | None
    before: int | Painted | None
    after: int | Painted | None


class Naming(NamedTuple):
    """The name of a label before and after a change; None where there is no such label.

    A label that comes or goes has no annotations then. Those of the labels behind it get other numbers.
    """

    number: int
    before: str | None
    after: str | None


Step = Sequence[Change | Naming]
"""Changes that are undone together."""


def reverse(step: Step) -> Step:
    """The step that takes a step back."""
    return [change._replace(before=change.after, after=change.before) for change in reversed(step)]  # type: ignore[arg-type]


def in_the_way(step: Step, present: Sequence[str]) -> list[Naming]:
    """How the label came that was added meanwhile and has the name, or the room, that a step needs.

    Nothing is annotated with it: that would have been undone before this step, or would have ended what can be
    redone.

    Args:
        step: to be undone or redone.
        present: the names of the labels that there are.
    """
    names = [change for change in step if isinstance(change, Naming)]
    free = {change.before for change in names}
    for number, name in enumerate(present):
        if name not in free and name in {change.after for change in names}:
            return [Naming(number, None, name)]
    more = sum((change.after is not None) - (change.before is not None) for change in names)
    return [Naming(len(present) - 1, None, present[-1])] if len(present) + more > IGNORE else []
