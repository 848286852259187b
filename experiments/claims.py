"""The paper's claims, tested by intervals of the committed results.

python experiments/claims.py [--check]

The claims and their comparisons are in claims.yaml, the results in the CSV files of the folders. Verdicts and tables
are written between the markers of the pages. --check writes nothing, and exits with 1 if a page is outdated.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from guided_seg.metrics.intervals import t_interval
from guided_seg.report.table import Cell, Table, columns

HERE = Path(__file__).parent
BLOCK = re.compile(r"(<!-- begin (\S+)(?: (\S+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBERS = {
    "difference": lambda ours, theirs: ours - theirs,
    "ratio": lambda ours, theirs: ours / theirs,
    "itself": lambda ours, _: ours,
}
CONFIRMED, PARTLY, REFUTED, OPEN = "confirmed", "partly", "refuted", "open"
HOLDS = "holds"


@dataclass(frozen=True)
class Comparison:
    """One number that decides a claim, and the bounds of its interval.

    Attributes:
        text: what is compared.
        on: the data.
        number: of a pair of figures: a key of `NUMBERS`.
        values: the number of each seed, or round of a measurement.
        above: the lower bound of the whole 95 % interval, if any.
        below: its upper bound, if any.
        gap: which runs are missing, if any; then the comparison stays open.
    """

    text: str
    on: str
    number: str
    values: Sequence[float]
    above: float | None = None
    below: float | None = None
    gap: str = ""

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean and 95 % interval over the seeds, by Student's t."""
        return fmean(self.values), *t_interval(self.values)

    @property
    def verdict(self) -> str:
        """By the interval: it holds, is refuted (the interval is on the other side of a bound), or is open."""
        if self.gap or len(self.values) < 2:
            return OPEN
        _, low, high = self.interval
        if (self.above is None or low > self.above) and (self.below is None or high < self.below):
            return HOLDS
        beyond = (self.above is not None and high < self.above) or (self.below is not None and low > self.below)
        return REFUTED if beyond else OPEN

    def __str__(self) -> str:
        sign, unit = ("+", "") if self.number == "difference" else ("", " %")
        if self.gap or len(self.values) < 2:
            return f"gap: {self.gap or 'a single seed'}"
        mean, low, high = (f"{100 * value:{sign}.1f}" for value in self.interval)
        return f"{mean} [{low}, {high}]{unit}"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and the comparisons that decide it."""

    claim: str
    section: str
    folder: str
    comparisons: Sequence[Comparison]

    def verdict(self, on: str) -> str:
        """The verdict on one source of data.

        Confirmed if all comparisons hold, partly if some do, refuted if all are on the other side, and else open. A
        comparison whose runs are not complete leaves the claim open: nothing is concluded from what is left.
        """
        found = self._found(on)
        gaps = [comparison.gap for comparison in self.comparisons if comparison.on == on]
        if any(gaps) or not found:
            return OPEN
        if HOLDS in found:
            return CONFIRMED if set(found) == {HOLDS} else PARTLY
        return REFUTED if set(found) == {REFUTED} else OPEN

    def share(self, on: str) -> str:
        """How many comparisons hold and how many are refuted, where the verdict alone does not say it; else nothing."""
        found = self._found(on)
        if self.verdict(on) not in (PARTLY, OPEN) or len(found) < 2:
            return ""
        refuted = f", {found.count(REFUTED)} refuted" if REFUTED in found else ""
        return f" ({found.count(HOLDS)} of {len(found)} hold{refuted})"

    def _found(self, on: str) -> list[str]:
        return [comparison.verdict for comparison in self.comparisons if comparison.on == on]


def load(root: Path = HERE) -> list[Claim]:
    """The claims of ``root/claims.yaml`` with the figures of the tables there.

    Raises:
        ValueError: settings that a table lacks, or several of its rows are of one seed.
    """
    entries = yaml.safe_load((root / "claims.yaml").read_text(encoding="utf-8"))
    return [
        Claim(
            entry["claim"],
            str(entry["section"]),
            entry["folder"],
            [made for wanted in entry["comparisons"] for made in _comparisons(root / entry["folder"], wanted)],
        )
        for entry in entries
    ]


def _comparisons(folder: Path, wanted: Mapping[str, Any]) -> Iterator[Comparison]:
    """One for every combination of the lists in ``each``."""
    each = wanted.get("each", {})
    for chosen in product(*each.values()):
        shared = dict(wanted.get("both", {})) | dict(zip(each, chosen, strict=True))
        table, column = folder / wanted["table"], wanted.get("column", "positive_iou")
        number = wanted.get("number", "difference")
        ours = figures(table, shared | wanted["ours"], column)
        theirs = ours if number == "itself" else figures(table, shared | wanted["theirs"], column)
        pairs = [NUMBERS[number](ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
        text = re.sub(r"{([^}]+)}", lambda match, names=shared: str(names[match[1]]), wanted["text"])
        bounds = wanted.get("above"), wanted.get("below")
        yield Comparison(text, wanted["data"], number, pairs, *bounds, _gap(ours, theirs))


def _gap(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Which runs are missing, in words."""
    if not ours or not theirs:
        return "a side has no run"
    alone = ", ".join(sorted(ours.keys() ^ theirs.keys()))
    return f"one side lacks seed {alone}" if alone else ""


def figures(table: Path, settings: Mapping[str, Any], column: str) -> dict[str, float]:
    """Seed, or round of a measurement -> figure, in the rows that have all the settings; empty if no run has them.

    Raises:
        ValueError: the table has no such setting, or several rows of one seed have them.
    """
    found: dict[str, float] = {}
    rows = _rows(table)
    if unknown := [key for key in (*settings, column) if rows and key not in rows[0]]:
        raise ValueError(f"{table} has no column {unknown[0]}; expected one of {', '.join(rows[0])}.")
    for row in rows:
        if all(row[key] == str(value) for key, value in settings.items()):
            repeat = row["seed"] if "seed" in row else row["round"]
            if repeat in found:
                raise ValueError(f"{table}: several rows of one seed have {dict(settings)}; name more settings.")
            found[repeat] = float(row[column])
    return found


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(claims: Sequence[Claim], start: Path = HERE) -> str:
    """A row per claim, its verdict on each source of data; links lead from the folder ``start``."""
    sources = list(dict.fromkeys(comparison.on for claim in claims for comparison in claim.comparisons))
    rows = []
    for claim in claims:
        tested = {comparison.on for comparison in claim.comparisons}
        verdicts = [
            Cell(claim.verdict(on), bold=True, marks=claim.share(on)) if on in tested else None for on in sources
        ]
        page = Path(os.path.relpath(HERE / claim.folder / "README.md", start)).as_posix()
        rows.append([claim.claim, claim.section, *verdicts, f"[`{claim.folder}`]({page})"])
    return Table(columns(("claim", "paper", *sources, "measured in")), rows).markdown("bare")


def details(claims: Sequence[Claim]) -> str:
    """For each claim a table of its comparisons."""
    parts = []
    for claim in claims:
        rows = [(c.on, c.text, str(c), _wanted(c), c.verdict) for c in claim.comparisons]
        table = Table(columns(("data", "compared", "mean [95 %]", "claimed", "")), rows)
        parts.append(f"**{claim.claim}** ({claim.section}): {_verdicts(claim)}.\n\n{table.markdown('bare')}")
    return "\n".join(parts)


def _verdicts(claim: Claim) -> str:
    sources = dict.fromkeys(comparison.on for comparison in claim.comparisons)
    return ", ".join(f"{claim.verdict(on)}{claim.share(on)} on {on}" for on in sources)


def _wanted(comparison: Comparison) -> str:
    unit = "" if comparison.number == "difference" else " %"
    bounds = ((">", comparison.above), ("<", comparison.below))
    return ", ".join(f"{sign} {100 * bound:g}{unit}" for sign, bound in bounds if bound is not None)


def fill(page: Path, claims: Sequence[Claim]) -> str:
    """The page with every block regenerated: `summary`, `details [folder]` or `file NAME`."""

    def block(match: re.Match[str]) -> str:
        start, kind, what, _, end = match.groups()
        if kind == "summary":
            text = summary(claims, page.parent)
        elif kind == "details":
            text = details([claim for claim in claims if what in (None, claim.folder)])
        elif kind == "table":
            text = _first_table((page.parent / what).read_text(encoding="utf-8"))
        else:
            raise ValueError(f"{page}: unknown block {kind}; expected summary, details or table.")
        return f"{start}{text}{end}"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


def _first_table(markdown: str) -> str:
    lines = markdown.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rest = next((number for number, line in enumerate(lines[first:], first) if not line.startswith("|")), len(lines))
    return "\n".join(lines[first:rest]) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Write or check every page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    check = parser.parse_args(argv).check
    claims = load()
    pages = [HERE.parent / "README.md", *sorted(HERE.glob("**/README.md"))]
    stale = [page for page in pages if page.read_text(encoding="utf-8") != fill(page, claims)]
    for page in stale:
        if not check:
            page.write_text(fill(page, claims), encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(HERE.parent)} {'is out of date' if check else 'written'}\n")
    sys.stdout.write(summary(claims))
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
