"""The table in its four forms, and that nothing else writes tables or computes intervals."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from guided_seg.report.table import Cell, Column, Rule, Table, bullets, columns, escape

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])

HEAD = [
    Column("mode", style="bold"),
    Column("P"),
    Column("IoU %", "right", ".1f"),
    Column("n", "right", ",d"),
]
TABLE = Table(
    HEAD,
    [
        ("video", "5", Cell(81.25, bold=True, marks="*†"), 1464),
        ("video", "dense", math.nan, 7),
        ("a_b", "1", None, 0),
    ],
    title="Scores at 50 %",
    notes=["† one seed.", "Two & three."],
    grouped=True,
)

MARKDOWN = r"""| mode | P | IoU % | n |
{rule}
| video | 5 | **81.2**\*† | 1,464 |
| video | dense | – | 7 |
| a_b | 1 | – | 0 |

† one seed.

Two & three.
"""

LATEX = r"""% needs \usepackage{booktabs}
\begin{table}
\centering
\caption{Scores at 50 \%}
\begin{tabular}{llrr}
\toprule
mode & P & IoU \% & n \\
\midrule
video & 5 & \textbf{81.2}$^*$$^\dagger$ & 1,464 \\
video & dense & – & 7 \\
a\_b & 1 & – & 0 \\
\bottomrule
\end{tabular}

\smallskip\footnotesize
\raggedright
$^\dagger$ one seed.\par
Two \& three.\par
\end{table}
"""

HTML = """\
<table>
<thead><tr><th>mode</th><th>P</th><th class="right">IoU %</th><th class="right">n</th></tr></thead>
<tbody>
<tr><td>video</td><td>5</td><td class="right"><b>81.2</b>*†</td><td class="right">1,464</td></tr>
<tr><td>video</td><td>dense</td><td class="right">–</td><td class="right">7</td></tr>
<tr><td>a_b</td><td>1</td><td class="right">–</td><td class="right">0</td></tr>
</tbody>
</table>"""

TERMINAL = """\
Scores at 50 %

 mode    P        IoU %       n
 ──────────────────────────────
 video   5       81.2*†   1,464
         dense        –       7

 a_b     1            –       0

† one seed.
Two & three.
"""


def printed(table: Table, width: int = 80) -> str:
    """What a terminal shows, without blanks at the ends of lines."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines())


@pytest.mark.parametrize(
    ("rule", "line"),
    [("aligned", "|---|---|---:|---:|"), ("spaced", "| --- | --- | ---: | ---: |"), ("bare", "|---|---|---|---|")],
)
def test_markdown(rule: Rule, line: str) -> None:
    assert TABLE.markdown(rule) == MARKDOWN.replace("{rule}", line)


def test_latex() -> None:
    assert TABLE.latex() == LATEX


def test_html() -> None:
    assert TABLE.html() == HTML
    assert "<td>&lt;i&gt; &amp; &quot;</td>" in Table(columns(("a",)), [('<i> & "',)]).html()


def test_the_terminal() -> None:
    assert printed(TABLE) == TERMINAL


@pytest.mark.parametrize("form", [Table.markdown, Table.latex, Table.html, printed])
def test_every_form_shows_every_value_once(form: object) -> None:
    assert callable(form)
    text = str(form(Table(columns(("name", "loss"), number=".2f"), [("first", 0.125), ("second", 2)])))
    assert [text.count(word) for word in ("name", "loss", "first", "0.12", "second", "2.00")] == [1] * 6


@pytest.mark.parametrize("form", [Table.markdown, Table.latex, Table.html, printed])
def test_a_table_may_be_without_rows(form: object) -> None:
    assert callable(form)
    assert "loss" in str(form(Table(columns(("name", "loss")), [])))


def test_a_row_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match=r"\('a',\) has 1 cells; expected one for each of the columns name, loss"):
        Table(columns(("name", "loss")), [("a",)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_no_text_breaks_a_markdown_row(rows: list[tuple[str, str]]) -> None:
    header, _, *lines = Table(columns(("a", "b")), rows).markdown().split("\n")[:-1]
    assert len(lines) == len(rows)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == header.count("|") for line in lines)


def test_the_terminal_wraps_what_is_too_long_and_takes_no_text_for_markup() -> None:
    table = Table(columns(("name", "value")), [("[red]word " * 8, "[0.1, 0.2]")])
    shown = printed(table, width=30)
    assert shown.count("[red]word") == 8
    assert "[0.1, 0.2]" in shown
    assert "…" not in shown


def test_a_title_is_not_wrapped_to_a_narrow_table() -> None:
    assert "A title that is long" in printed(Table(columns(("a", "b")), [("1", "2")], "A title that is long"))


def test_sentences_make_one_list_or_no_note() -> None:
    assert bullets(["a.", "b."]) == ["- a.\n- b."]
    assert bullets([]) == []


def test_escape_leaves_no_command() -> None:
    assert escape(r"a_b & c\d {e} $1 #2 100%") == r"a\_b \& c\textbackslash{}d \{e\} \$1 \#2 100\%"


# ---- one place for tables, one for intervals ----


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module and the parts of its f-strings, without docstrings and other strings that do nothing."""
    idle = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in idle:
            yield node.value


def by_hand(source: str) -> list[str]:
    """The strings that write a table: cells between pipes, the line below a header, or LaTeX."""
    pattern = re.compile(r"^\| | \| | \|$|\|-|-\||---:|^ & $| & .*\\\\$|\\begin\{tab|\\(top|mid|bottom)rule")
    return [text for text in texts(ast.parse(source)) if pattern.search(text)]


@pytest.mark.parametrize(
    "source",
    [
        'print("| a | b |")',
        'print(f"| {a} |")',
        'print(" | ".join(cells))',
        'lines = ["|---|---|"]',
        'rule = "|" + "---:|" * 3',
        r'print("\\begin{tabular}{lr}")',
        r'print(rf"{a} & {b} \\")',
    ],
)
def test_a_table_by_hand_is_found(source: str) -> None:
    assert by_hand(source)


@pytest.mark.parametrize(
    "source", ['"""| a | b |"""', "x: int | None = a | b", 'line.startswith("|")', 'f"{a} -- {b}"']
)
def test_other_pipes_are_not(source: str) -> None:
    assert not by_hand(source)


def test_only_the_table_writes_tables() -> None:
    found = {path.relative_to(ROOT).as_posix(): by_hand(path.read_text(encoding="utf-8")) for path in MODULES}
    assert [name for name, lines in found.items() if lines] == ["src/guided_seg/report/table.py"]


def test_only_one_module_computes_intervals() -> None:
    pattern = re.compile(r"\b(scipy\.stats|scipy import stats|stdtr|stdtrit|(nan)?quantile|(nan)?percentile)\b")
    found = [path.relative_to(ROOT).as_posix() for path in MODULES if pattern.search(path.read_text(encoding="utf-8"))]
    assert found == ["src/guided_seg/metrics/intervals.py"]
