"""The panels of the dashboard: the only list, for Weights & Biases and for the page of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guided_seg.report.results import Points, setting_key

Kind = Literal["lines", "bars", "pictures", "chart", "table", "parallel"]
"""What a panel is: values against the step, last values, pictures over time, positive IoU against a number, runs in a
table, or runs as lines across their settings."""

Medium = Literal["scalar", "images/separated", "table-file"]
"""What a run logs under a key; the names of media are those of Weights & Biases."""

MODES = ("interactive", "semantic", "video")
GROUPS = ("fusion", "locality", "conditioning")
"""The config groups by which ablations are grouped."""
BEST = "val/positive_iou"


@dataclass(frozen=True)
class BoardPanel:
    """A panel.

    Attributes:
        title: above the panel.
        kind: what it is.
        keys: what it shows, by the names under which runs log it.
        about: a sentence for readers.
        settings: the settings of a run that it shows or groups by, by dotted key.
        log: whether the values are on a logarithmic axis.
        share: whether the values are shares from 0 to 1.
    """

    title: str
    kind: Kind
    keys: tuple[str, ...]
    about: str
    settings: tuple[str, ...] = ()
    log: bool = False
    share: bool = False

    @property
    def logged(self) -> dict[str, Medium]:
        """Key in the history of a run -> what is logged there."""
        if self.kind == "pictures":
            return dict.fromkeys(self.keys, "images/separated")
        if self.kind == "chart":
            return {f"{key}_table": "table-file" for key in self.keys}
        return dict.fromkeys(self.keys, "scalar")


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: tuple[BoardPanel, ...]


def board(shots: int = 1, points: Points = 5) -> tuple[Section, ...]:
    """The sections of the dashboard.

    Args:
        shots: S of the scores in tables and bars; interactive tasks always have one.
        points: P of these scores.
    """
    scores = tuple(f"test/{mode}/{setting_key(1 if mode == 'interactive' else shots, points)}" for mode in MODES)
    return (Section("Scores", _scores(scores)), *_TRAINING, Section("Ablations", _ablations(scores)))


def panels(sections: tuple[Section, ...]) -> list[BoardPanel]:
    """The panels of all sections, in order."""
    return [panel for section in sections for panel in section.panels]


def _scores(scores: tuple[str, ...]) -> tuple[BoardPanel, ...]:
    return (
        BoardPanel("Test IoU by mode", "bars", scores, "Positive IoU of the best checkpoint.", share=True),
        BoardPanel(
            "IoU against dots per label (P)",
            "chart",
            ("iou_against_points",),
            "Positive IoU in the test.",
        ),
        BoardPanel("IoU against shots (S)", "chart", ("iou_against_shots",), "Positive IoU in the test."),
        BoardPanel(
            "Time of an update",
            "bars",
            ("run/update_ms", "run/encode_ms"),
            "Milliseconds for a new dot on cached features, and to encode an image, on the device of the run.",
        ),
    )


def _ablations(scores: tuple[str, ...]) -> tuple[BoardPanel, ...]:
    chosen = {group: f"choices.{group}" for group in GROUPS}
    tables = [
        BoardPanel(f"By {group}", "table", scores, "The mean of all runs with an option.", settings=(key,), share=True)
        for group, key in chosen.items()
    ]
    across = BoardPanel(
        "Settings and score",
        "parallel",
        (BEST,),
        "A line per run: what it was composed of, and its best IoU in validation.",
        settings=(*chosen.values(), "choices.merge", "seed"),
        share=True,
    )
    return (*tables, across)


_TRAINING = (
    Section(
        "Training",
        (
            BoardPanel("Loss", "lines", ("train/loss",), "The loss of training batches, all modes together.", log=True),
            BoardPanel("IoU in training", "lines", ("train/iou",), "Positive IoU of training batches.", share=True),
            BoardPanel(
                "Loss by mode",
                "lines",
                tuple(f"val/{mode}_loss" for mode in MODES),
                "The same loss on validation episodes: the mean over episodes.",
                log=True,
            ),
            BoardPanel(
                "IoU by mode",
                "lines",
                (*(f"val/{mode}" for mode in MODES), BEST),
                "In validation; their mean chooses the best checkpoint.",
                share=True,
            ),
            BoardPanel(
                "Gradient norm", "lines", ("train/gradient_norm",), "Of all parameters, before clipping.", log=True
            ),
            BoardPanel(
                "Share of data wait",
                "lines",
                ("run/data_wait_share",),
                "The share of training time so far that was spent waiting for batches.",
                share=True,
            ),
        ),
    ),
    Section(
        "Guidance",
        (
            BoardPanel("Guidance norm", "lines", ("val/guidance_norm",), "The mean norm of z on validation episodes."),
            BoardPanel(
                "Guidance variance within a class",
                "lines",
                ("val/guidance_variance",),
                "Variance of z among episodes of one class, as a share of its mean squared norm. Near 0, a class has "
                "one z; near 1, z depends on the image more than on the class.",
            ),
        ),
    ),
    Section(
        "Episodes",
        (
            BoardPanel(
                "Fixed episodes over time", "pictures", ("val/episodes",), "The same validation episodes, by step."
            ),
            BoardPanel("Test episodes", "pictures", ("test/episodes",), "The first of each mode, not chosen by hand."),
            BoardPanel(
                "Worst episodes", "pictures", ("test/worst_episodes",), "The lowest IoU of each mode in the test."
            ),
        ),
    ),
)
