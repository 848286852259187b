"""Whatever is done in a session, and in whatever order: it answers what a fresh network answers to what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.networks import LATE, TWO_LABELS, ask, network, same_labels

from guided_seg.episode import IGNORE
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.strokes import along

SIZES = [(17, 22), (24, 13), (21, 30)]
share = st.floats(0, 1, exclude_max=True)


class Edits(RuleBasedStateMachine):
    """Edits of a session, beside a record of what is annotated that is kept in the plainest way."""

    model_name: str

    @initialize(seed=st.integers(0, 9), small=st.booleans())
    def begin(self, seed: int, small: bool) -> None:
        self.rng = np.random.default_rng(seed)
        # room for one image or so: what was computed has to go and come back
        self.session = Session(network(self.model_name), cache_mb=0.08 if small else 100)
        self.follower = Session(network(self.model_name))
        self.pictures: dict[str, np.ndarray] = {}
        self.now: dict[str, dict[str, Any]] = {}
        self.before: list[dict[str, dict[str, Any]]] = []
        self.undone: list[dict[str, dict[str, Any]]] = []
        self.new_image()
        self.new_image()
        self.new_label()

    def change(self, after: dict[str, dict[str, Any]]) -> None:
        if not equal(after, self.now):
            self.before.append(self.now)
            self.undone.clear()
            self.now = after

    def pixel(self, where: tuple[float, float], image: str) -> tuple[int, int]:
        height, width = self.pictures[image].shape[:2]
        return int(where[0] * height), int(where[1] * width)

    def choose(self, number: float, names: Any) -> Any:
        names = list(names)
        return names[int(number * len(names))]

    @precondition(lambda self: len(self.pictures) < len(SIZES))
    @rule()
    def new_image(self) -> None:
        size = SIZES[len(self.pictures)]
        name = f"image {len(self.pictures)}"
        self.pictures[name] = self.rng.integers(0, 256, (*size, 3), np.uint8)
        self.session.add_image(name, self.pictures[name])

    @precondition(lambda self: len(self.session.labels) < (2 if self.model_name in TWO_LABELS else 4))
    @rule()
    def new_label(self) -> None:
        self.session.add_label(f"label {len(self.session.labels)}")

    @rule(which=share, label=share, where=st.tuples(share, share))
    def add(self, which: float, label: float, where: tuple[float, float]) -> None:
        image, name = self.choose(which, self.pictures), self.choose(label, self.session.labels)
        pixel = self.pixel(where, image)
        self.session.dot(image, *pixel, name)
        after = copied(self.now)
        state(after, image, self.pictures)["dots"][pixel] = self.session.labels.index(name)
        self.change(after)

    @precondition(lambda self: any(own["dots"] for own in self.now.values()))
    @rule(which=share, where=st.tuples(share, share), keep=st.booleans())
    def move_or_remove(self, which: float, where: tuple[float, float], keep: bool) -> None:
        dots = [(image, pixel) for image, own in self.now.items() for pixel in own["dots"]]
        image, start = self.choose(which, dots)
        after = copied(self.now)
        label = after[image]["dots"].pop(start)
        if keep:
            end = self.pixel(where, image)
            self.session.move(image, start, end)
            after[image]["dots"][end] = label
        else:
            self.session.remove(image, *start)
        self.change(after)

    @rule(which=share, label=share, corner=st.tuples(share, share))
    def paint(self, which: float, label: float, corner: tuple[float, float]) -> None:
        image, name = self.choose(which, self.pictures), self.choose(label, self.session.labels)
        row, column = self.pixel(corner, image)
        mask = np.zeros(self.pictures[image].shape[:2], bool)
        mask[row : row + 5, column : column + 4] = True
        self.session.mask(image, mask, name)
        after = copied(self.now)
        own = state(after, image, self.pictures)
        own["mask"][mask] = self.session.labels.index(name)
        own["dots"] = {pixel: number for pixel, number in own["dots"].items() if not mask[pixel]}
        self.change(after)

    @rule(which=share)
    def clear(self, which: float) -> None:
        image = self.choose(which, self.pictures)
        self.session.clear(image)
        after = copied(self.now)
        after.pop(image, None)
        self.change(after)

    @rule()
    def undo(self) -> None:
        assert self.session.undo() == bool(self.before)
        if self.before:
            self.undone.append(self.now)
            self.now = self.before.pop()

    @rule()
    def redo(self) -> None:
        assert self.session.redo() == bool(self.undone)
        if self.undone:
            self.before.append(self.now)
            self.now = self.undone.pop()

    @rule(which=share, label=share, start=st.tuples(share, share), end=st.tuples(share, share))
    def scribble(self, which: float, label: float, start: tuple[float, float], end: tuple[float, float]) -> None:
        image, name = self.choose(which, self.pictures), self.choose(label, self.session.labels)
        ends = [self.pixel(start, image), self.pixel(end, image)]
        self.session.scribble(image, ends, name)
        after = copied(self.now)
        for pixel in along(ends, self.pictures[image].shape[:2]):
            state(after, image, self.pictures)["dots"][pixel] = self.session.labels.index(name)
        self.change(after)

    @rule(which=share, label=share, where=st.tuples(share, share))
    def suppose(self, which: float, label: float, where: tuple[float, float]) -> None:
        """Changes nothing, whatever is kept and whatever comes next."""
        image, name = self.choose(which, self.pictures), self.choose(label, self.session.labels)
        self.session.preview(image, *self.pixel(where, image), name)

    @rule(which=share)
    def look(self, which: float) -> None:
        self.session.segment(self.choose(which, self.pictures))

    @rule(which=share)
    def follow(self, which: float) -> None:
        """A session that follows now and then has the same annotations, and answers the same."""
        self.follower.follow(self.session)
        for image in self.pictures:
            (mask, dots), (own, own_dots) = self.session.annotation(image), self.follower.annotation(image)
            assert dots == own_dots
            assert (mask is None and own is None) or np.array_equal(mask, own)
        query = self.choose(which, self.pictures)
        expected, found = (each.segment(query, return_scores=True)[1] for each in (self.session, self.follower))
        assert np.allclose(expected, found, atol=1e-4, rtol=0)

    @invariant()
    def answers_are_those_of_a_fresh_network(self) -> None:
        if not hasattr(self, "session"):
            return
        shown = {image: annotation(own) for image, own in self.now.items() if own["dots"] or masked(own)}
        query = self.choose(float(self.rng.random()), self.pictures)
        labels, scores = self.session.segment(query, return_scores=True)
        expected = ask(network(self.model_name), self.pictures, query, shown, len(self.session.labels))
        assert torch.allclose(torch.from_numpy(scores), expected, atol=1e-4, rtol=0)
        assert same_labels(labels, expected)


def state(of: dict[str, dict[str, Any]], image: str, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
    return of.setdefault(image, {"dots": {}, "mask": np.full(pictures[image].shape[:2], IGNORE, np.uint8)})


def copied(of: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {image: {"dots": dict(own["dots"]), "mask": own["mask"].copy()} for image, own in of.items()}


def masked(own: dict[str, Any]) -> bool:
    return bool((own["mask"] != IGNORE).any())


def annotation(own: dict[str, Any]) -> list[tuple[int, int, int]] | np.ndarray:
    dots = [(*pixel, label) for pixel, label in own["dots"].items()]
    if not masked(own):
        return dots
    labels = np.array(own["mask"])
    for row, column, label in dots:
        labels[row, column] = label
    return labels


def equal(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> bool:
    def plain(of: dict[str, dict[str, Any]]) -> dict[str, Any]:
        kept = {image: (own["dots"], own["mask"].tobytes()) for image, own in of.items()}
        return {i: own for i, own in kept.items() if own[0] or set(own[1]) != {IGNORE}}

    return plain(a) == plain(b)


@pytest.mark.parametrize("name", LATE)
def test_any_sequence_of_edits(name: str) -> None:
    machine = type("Edits", (Edits,), {"model_name": name})
    few = settings(
        max_examples=8, stateful_step_count=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
    )
    run_state_machine_as_test(machine, settings=few)


def test_following_encodes_nothing_again_and_leaves_nothing_to_undo() -> None:
    session, other = Session(network("late_global")), Session(network("prototypes"))
    session.add_image("a", np.random.default_rng(0).integers(0, 256, (31, 40, 3), np.uint8))
    session.add_label("x")
    for row in range(3):
        session.dot("a", row, row, "x")
        other.follow(session)
        other.segment("a")
    assert other.encodes == {"a": 1}
    assert (session.can_undo, other.can_undo) == (True, False)


def test_undo_is_exact() -> None:
    """Not only within rounding: the very same scores."""
    session = Session(network("late_global"))
    rng = np.random.default_rng(0)
    session.add_image("a", rng.integers(0, 256, (31, 40, 3), np.uint8))
    session.add_label("x")
    seen = []
    for step in range(30):
        seen.append(session.segment("a", return_scores=True)[1])
        row, column = int(rng.integers(31)), int(rng.integers(40))
        session.dot("a", row, column, ("x", NEGATIVE)[step % 2])
    for scores in reversed(seen):
        assert session.undo()
        assert (session.segment("a", return_scores=True)[1] == scores).all()
    assert not session.undo()
