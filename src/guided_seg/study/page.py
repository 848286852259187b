"""The page of a study: one HTML file with the panels of the dashboard, from local files alone."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from guided_seg.cli.run_folders import read_environments
from guided_seg.dashboard.board import BoardPanel, Section
from guided_seg.errors import UserError
from guided_seg.files.writing import whole_file
from guided_seg.report.drawing import DPI, curves
from guided_seg.report.table import Cell, Cells, Table, columns
from guided_seg.study.compositions import Composition, natural, varied
from guided_seg.study.page_figures import bars, embedded, lines, mean_value, parallel
from guided_seg.study.runs import Run
from guided_seg.study.study_figures import looks

PICTURED = 6
"""The largest number of compositions whose episodes are on the page."""
_WIDTH = 760
"""The largest width of an embedded picture, in pixels."""
_COMMIT = 10
_PIXELS_PER_INCH = 96
_BORDERS = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "double"}
"""The style of a line in a figure -> of a border."""


class Page:
    """The page of some runs.

    Args:
        compositions: the runs.
        folder: the folder of the study's own figures.
    """

    def __init__(self, compositions: Sequence[Composition], folder: Path) -> None:
        self.compositions, self.folder = compositions, folder
        self.runs = [run for composition in compositions for run in composition.runs.values()]
        self.faults: list[str] = []
        self.curves = {run.folder: self._curves(run) for run in self.runs}

    def write(self, path: Path, sections: Sequence[Section], table: Table, notes: Sequence[str]) -> None:
        """Write the page.

        Args:
            path: the file.
            sections: the panels.
            table: the table of the study.
            notes: sentences below it.
        """
        parts = [
            ("Table", f"<p>{escape(table.title)}</p>\n<div class=wide>{table.html()}</div>\n{_listed(notes)}"),
            *((section.title, self._section(section)) for section in sections),
            ("Runs", f"<div class=wide>{self._table_of_runs().html()}</div>\n{_listed(self.faults)}"),
        ]
        links = "".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title, _ in parts)
        body = "\n".join(
            f'<section id="{_anchor(title)}">\n<h2>{escape(title)}</h2>\n{text}\n</section>' for title, text in parts
        )
        head = f"{_count(self.runs, 'run')}, {_count(self.compositions, 'composition')}"
        with whole_file(path) as partial:
            partial.write_text(_FRAME.format(style=_STYLE, links=links, head=head, body=body), encoding="utf-8")

    def _curves(self, run: Run) -> dict[str, np.ndarray]:
        try:
            return curves(run.path / "metrics.csv")
        except UserError as error:
            self.faults.append(
                f"The curves of {run.folder} are missing: {str(error).replace(str(run.path), run.folder)}"
            )
            return {}

    def _section(self, section: Section) -> str:
        """The panels, and before curves the colours of the compositions."""
        colours = self._legend() if any(panel.kind == "lines" for panel in section.panels) else ""
        shown = "\n".join(self._panel(panel) for panel in section.panels)
        return f"{colours}<div class=grid>\n{shown}\n</div>"

    def _legend(self) -> str:
        """The line of each composition; nothing for one alone."""
        if len(self.compositions) < 2:
            return ""
        items = [
            f'<li><i style="border-top: 3px {_BORDERS[style]} {colour}"></i>{escape(composition.label)}</li>'
            for composition, (colour, style) in zip(self.compositions, looks(), strict=False)
        ]
        return f"<ul class=legend>{''.join(items)}</ul>\n"

    def _panel(self, panel: BoardPanel) -> str:
        content = "".join(self._content(panel))
        keys = ", ".join(f"<code>{escape(key)}</code>" for key in panel.keys)
        content = content or f"<p class=none>These runs have nothing for it: {keys}.</p>"
        half = " class=half" if panel.kind == "table" or (panel.kind == "lines" and len(panel.keys) == 1) else ""
        title, about = escape(panel.title), escape(panel.about)
        return f"<div{half}><h3>{title}</h3>\n<p class=about>{about}</p>\n{content}</div>"

    def _content(self, panel: BoardPanel) -> Iterator[str]:
        """The panel as HTML; nothing if the runs have nothing for it."""
        if panel.kind == "pictures":
            yield from self._pictures(panel.keys[0])
        elif panel.kind == "table":
            if self.runs:
                yield f"<div class=wide>{self._ablation(panel).html()}</div>"
        elif panel.kind == "chart":
            picture = self.folder / f"{panel.keys[0]}.png"
            if picture.is_file():
                yield _figure(picture, panel.title)
        else:
            figure = {
                "lines": lambda: lines(panel, self.compositions, self.curves),
                "bars": lambda: bars(panel, self.compositions),
                "parallel": lambda: self._parallel(panel),
            }[panel.kind]()
            if figure is not None:
                yield _image(embedded(figure), panel.title)

    def _pictures(self, key: str) -> Iterator[str]:
        """The pictures of the first run of each composition: of every step, or the one of the test."""
        stage, _, name = key.partition("/")
        pattern = f"{name}.png" if stage == "test" else "validation/step_*.png"
        for number, composition in enumerate(self.compositions):
            run = next(iter(composition.runs.values()))
            paths = sorted((run.path / "figures").glob(pattern))
            if number < PICTURED and any(found := [_picture(path) for path in paths]):
                title = f"{escape(composition.label)}, seed {run.seed}"
                yield f"<details{' open' if number == 0 else ''}><summary>{title}</summary>\n"
                yield f"<div class=strip>{''.join(found)}</div></details>\n"
            elif number == PICTURED and paths:
                more = _count(self.compositions[PICTURED:], "more composition")
                yield f"<p class=about>{more}: see <code>figures/</code> in the run folders.</p>"

    def _ablation(self, panel: BoardPanel) -> Table:
        """A row for each combination of the panel's settings, with the mean over its runs."""
        names = [key.removeprefix("choices.") for key in panel.settings]
        groups: dict[tuple[str, ...], list[Run]] = {}
        for run in self.runs:
            groups.setdefault(tuple(_setting(run, key) for key in panel.settings), []).append(run)
        ordered = sorted(groups.items(), key=lambda entry: [natural(value) for value in entry[0]])
        keys = [key for key in panel.keys if math.isfinite(mean_value(self.runs, key))]
        best = {key: max(m for _, runs in ordered if math.isfinite(m := mean_value(runs, key))) for key in keys}
        rows: list[Cells] = [
            [*values, str(len(runs)), *(Cell(100 * (m := mean_value(runs, key)), m == best[key]) for key in keys)]
            for values, runs in ordered
        ]
        titles = [key.split("/")[1] + " %" for key in keys]
        return Table([*columns(names, left=len(names)), *columns(("runs", *titles), left=0, number=".1f")], rows)

    def _parallel(self, panel: BoardPanel) -> Figure | None:
        """The settings of the panel, and all others that differ between runs."""
        key = panel.keys[0]
        runs = [run for run in self.runs if math.isfinite(_score(run, key))]
        found = {name.removeprefix("choices."): [_setting(run, name) for run in runs] for name in panel.settings}
        found |= {name: [values[run.folder] for run in runs] for name, values in varied(self.runs).items()}
        differing = {name: values for name, values in found.items() if len(set(values)) > 1}
        return parallel(differing, [_score(run, key) for run in runs], key) if differing else None

    def _table_of_runs(self) -> Table:
        rows = []
        for run in self.runs:
            starts = read_environments(run.path)
            last = starts[-1] if starts else {}
            code = last.get("git") or {}
            commit = str(code.get("commit", ""))[:_COMMIT] + (" + changes" if code.get("dirty") else "")
            steps, seconds = (run.facts.get(name, math.nan) for name in ("steps", "seconds"))
            machine = next(iter(last.get("gpus") or []), last.get("cpu"))
            who = [str(value) if value else None for value in (commit, last.get("host"), machine, last.get("python"))]
            rows.append([run.folder, run.seed, steps, seconds, *who])
        head = columns(("run", "seed", "steps", "seconds"), number=".0f")
        return Table([*head, *columns(("commit", "host", "machine", "Python"), left=4)], rows)


def _score(run: Run, key: str) -> float:
    """The best score in validation, which a run repeats among its facts."""
    return run.facts.get(key.replace("/", "_"), math.nan)


def _setting(run: Run, key: str) -> str:
    group, _, name = key.partition(".")
    value = run.choices.get(name, "") if group == "choices" else run.config.get(key, "")
    return value if isinstance(value, str) else str(value)


def _picture(path: Path) -> str:
    """A picture of a run, made smaller, with the step in its name; nothing if it cannot be read."""
    try:
        with Image.open(path) as whole:
            image = whole.convert("RGB")
            image.thumbnail((_WIDTH, 10 * _WIDTH), Image.Resampling.LANCZOS)
            image.save(content := BytesIO(), "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    name, _, number = path.stem.partition("_")
    step = f"after step {int(number)}" if name == "step" and number.isdecimal() else ""
    address = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    return f"<figure>{_image(address, step or path.stem)}<figcaption>{step}</figcaption></figure>"


def _figure(path: Path, title: str) -> str:
    """A figure of the study at its size in inches."""
    with Image.open(path) as image:
        width = round(image.width / DPI * _PIXELS_PER_INCH)
    return _image(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", title, f" width={width}")


def _image(address: str, title: str, size: str = "") -> str:
    return f'<img loading=lazy alt="{escape(title)}"{size} src="{address}">'


def _listed(sentences: Sequence[str]) -> str:
    return f"<ul class=about>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


_STYLE = """
:root { color-scheme: light; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
header, main { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
h1 { font-size: 26px; margin: 28px 0 2px; }
h2 { font-size: 20px; margin: 44px 0 6px; padding-bottom: 5px; border-bottom: 1px solid #ddd; }
h3 { font-size: 16px; margin: 28px 0 0; }
nav { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #ddd; z-index: 1; }
nav div { max-width: 1080px; margin: 0 auto; padding: 9px 24px; }
nav a { margin-right: 20px; color: #0072b2; text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { scroll-margin-top: 40px; }
img { max-width: 100%; display: block; }
.about, figcaption { color: #666; font-size: 13.5px; margin: 2px 0 8px; }
.none { color: #888; font-style: italic; margin: 4px 0; }
.wide { overflow-x: auto; }
.grid { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 28px; align-items: start; }
.grid > div { grid-column: span 2; }
.grid > .half { grid-column: span 1; }
.legend { display: flex; flex-wrap: wrap; gap: 0 24px; margin: 8px 0 0; padding: 6px 0; font-size: 13px; }
.legend li { list-style: none; }
.legend i { display: inline-block; width: 22px; margin-right: 7px; vertical-align: middle; }
table { border-collapse: collapse; margin: 8px 0; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid #eee; white-space: nowrap; }
th { border-bottom: 1px solid #999; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: 6px 0; }
summary { cursor: pointer; color: #0072b2; font-size: 14px; }
.strip { display: flex; gap: 18px; overflow-x: auto; align-items: flex-start; padding: 8px 0; }
figure { margin: 0; flex: 0 0 min(100%, 560px); }
code { font-size: 13px; }
"""

_FRAME = """<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>Study</title>
<style>{style}</style>
</head>
<body>
<header><h1>Study</h1><p class=about>{head}</p></header>
<nav><div>{links}</div></nav>
<main>
{body}
</main>
</body>
</html>
"""
