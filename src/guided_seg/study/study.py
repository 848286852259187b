"""A study: gather runs, and write their tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from guided_seg.dashboard.board import board
from guided_seg.errors import UserError
from guided_seg.report.results import Points
from guided_seg.settings.preflight import check_can_be_made
from guided_seg.study.averages import modes, settings, shown_at
from guided_seg.study.compositions import Composition, compose, find
from guided_seg.study.runs import gather
from guided_seg.study.study_csv import write_groups, write_scores
from guided_seg.study.study_figures import draw
from guided_seg.study.study_table import build, protocol, unfinished


def study(
    folders: Sequence[Path],
    out: Path | None = None,
    shots: int = 1,
    points: Points = 5,
    reference: str | None = None,
    timing: bool = False,
    html: bool = False,
) -> Path:
    """Gather the runs in ``folders`` and write study.csv, study_groups.csv, study.md, study.tex and figures.

    The same runs give the same files.

    Args:
        folders: searched recursively.
        out: the folder for the files; by default ``study`` in the first of ``folders``.
        shots: S of the table.
        points: P of the table.
        reference: settings of the composition to compare with, such as ``fusion=late,locality=global``.
        timing: whether the table shows how long a new dot takes.
        html: whether to write study.html too, a page with the panels of the dashboard.

    Returns:
        The folder of the files.

    Raises:
        UserError: there are no runs, none was tested at this (S, P), or the reference does not name one composition.
    """
    folders = [folder.expanduser() for folder in folders]
    out = (out or folders[0] / "study").expanduser()
    runs, missing = gather(folders)
    check_can_be_made(out.absolute(), "study's folder", "--out")
    compositions, repeated = compose(runs)
    _check_measured(compositions, shots, points)
    basis = find(compositions, reference) if reference else None
    out.mkdir(parents=True, exist_ok=True)
    write_scores(compositions, out / "study.csv")
    write_groups(compositions, out / "study_groups.csv")
    table = build(compositions, shots, points, basis, timing)
    said = protocol(compositions, shots, points, basis) if compositions else []
    long, short = ([*said, *unfinished(missing, repeated, folders)] for folders in (True, False))
    (out / "study.md").write_text(replace(table, notes=long).markdown("spaced"), encoding="utf-8")
    (out / "study.tex").write_text(replace(table, notes=short).latex(), encoding="utf-8")
    draw(compositions, shots, points, out)
    if html:
        from guided_seg.study.page import Page

        Page(compositions, out).write(out / "study.html", board(shots, points), table, long)
    return out


def _check_measured(compositions: Sequence[Composition], shots: int, points: Points) -> None:
    known = {(mode, *at) for mode in modes(compositions) for at in settings(compositions, mode)}
    if known and not any((mode, shown_at(mode, shots), points) in known for mode, _, _ in known):
        listed = sorted({f"{s} and {p}" for _, s, p in known})
        raise UserError(
            f"No run was tested at {shots} shots and {points} dots; choose --shots and --points from: "
            f"{', '.join(listed)}."
        )
