"""The model card of a released model: generated facts, and sections written by hand.

A template is Markdown with two blocks, ``<!-- begin facts -->`` and ``<!-- begin figures -->``, each up to ``<!-- end
-->``. The facts are generated. The figures are cleared, since they belong to other weights after each release. Other
text is kept, so the card of an earlier release can serve as template.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import guided_seg
from guided_seg.composition.build import ARCHITECTURE
from guided_seg.errors import UserError
from guided_seg.files.text import read_text, read_yaml
from guided_seg.files.writing import sha256
from guided_seg.release import CARD, FOLDER
from guided_seg.report.table import Table, columns
from guided_seg.settings.paths import is_path

BY_HAND = ("Intended use", "Protocol", "Figures", "Limits", "Licence")
BLOCKS = ("facts", "figures")
UNWRITTEN = "To be written"
"""Placeholder in an unfinished card."""


class Origin(NamedTuple):
    """The origin of a released model.

    Args:
        checkpoint: the checkpoint file.
        content: content of the checkpoint, see `guided_seg.release.load.read_checkpoint`.
        parameters: number of parameters of the network.
        rounding: effect of fp16 on the predictions, in words.
    """

    checkpoint: Path
    content: Mapping[str, Any]
    parameters: int
    rounding: str


def read_template(path: str | None) -> str:
    """Read a template; None reads the one in the package.

    Raises:
        UserError: the file cannot be read, or lacks a section or a marker.
    """
    file = FOLDER / CARD if path is None else Path(path)
    try:
        text = read_text(file, "card")
    except UserError as error:
        raise UserError(f"card={path} cannot be read ({error}); give a Markdown file.") from error
    missing = [f"the line '## {name}'" for name in BY_HAND if f"## {name}" not in text.splitlines()]
    missing += [f"<!-- begin {block} --> with an <!-- end -->" for block in BLOCKS if not _block(block).search(text)]
    if missing:
        raise UserError(f"card={path} lacks {missing[0]}; begin with a copy of {FOLDER / CARD}.")
    return text


def card(template: str, name: str, model: Path, origin: Origin) -> str:
    """Fill a template with the facts of a model.

    Args:
        template: text from `read_template`.
        name: name of the model.
        model: the written model file.
        origin: origin of the model.
    """
    text = _fill(template, "facts", "\n\n".join(_facts(name, model, origin)))
    return _fill(text, "figures", f"{UNWRITTEN}: the figures of this release.").replace('("NAME")', f'("{name}")')


def _fill(text: str, block: str, content: str) -> str:
    found = _block(block).search(text)
    assert found is not None
    return f"{text[: found.end(1)]}{content}\n{text[found.start(2) :]}"


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end -->)", re.DOTALL)


def _facts(name: str, model: Path, origin: Origin) -> Iterator[str]:
    config, file = origin.content["config"], origin.checkpoint
    steps = config["length"]["trainer.max_steps"]
    yield f"# {name}"
    rows = {
        "parameters": f"{origin.parameters:,}",
        "file": f"`{model.name}`, {model.stat().st_size:,} bytes, floating tensors in fp16",
        "SHA-256": f"`{sha256(model)}`",
        "rounding to fp16": origin.rounding,
        "made of": f"`{file.name}` of the run `{config['name']}`, SHA-256 `{sha256(file)}`",
        "seed": str(config["seed"]),
        "training steps": f"{origin.content.get('global_step', steps):,} of {steps:,}",
        "version": f"guided_seg {guided_seg.__version__}",
    }
    yield _markdown(("fact", ""), rows)
    yield "## Architecture"
    yield _markdown(("group", "what"), {group: _choice(config[group]) for group in ARCHITECTURE})
    yield "## Training"
    yield _command(file)
    yield "## Data"
    yield f"```yaml\n{portable(yaml.safe_dump(config['data'], sort_keys=False, allow_unicode=True))}```"


def _markdown(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    return Table(columns(head), list(rows.items())).markdown("bare").rstrip("\n")


def _choice(group: Mapping[str, Any]) -> str:
    """The class name and the settings of a config group."""
    kind = group.get("_target_", "").rpartition(".")[2]
    settings = [f"{key}={value}" for key, value in group.items() if not key.startswith("_")]
    return portable(" ".join(f"`{word}`" for word in (kind, *settings) if word))


def _command(checkpoint: Path) -> str:
    """The command of a run, from the overrides that Hydra saved in its folder."""
    overrides = checkpoint.parent.parent / "hydra" / "overrides.yaml"
    if not overrides.is_file():
        return f"{UNWRITTEN}: the command; the checkpoint is not in a run folder that records it."
    words = map(portable_override, read_yaml(overrides, "list of overrides"))
    return f"```bash\n{shlex.join(['python', '-m', 'guided_seg.run', *words])}\n```"


def portable_override(word: str) -> str:
    """An override with local folders replaced by PATH; a quoted path may contain spaces and commas.

    Example:
        >>> portable_override('data.root="/home/me/my data, new/voc (1)"'), portable_override("ckpt_path=~/a/b.ckpt")
        ('data.root="PATH/voc (1)"', 'ckpt_path=PATH/b.ckpt')
    """
    key, _, value = word.partition("=")
    if is_path(key.lstrip("+")) and value[:1] in ("'", '"') and "/" in value:
        return f"{key}={value[0]}PATH/{value.rpartition('/')[2]}"
    return portable(word)


def portable(text: str) -> str:
    """A text with the folders of absolute and relative paths replaced by PATH; file names are kept.

    Example:
        >>> portable("data.root=/home/me/voc2012"), portable("[~/a.pth,../b.pth]"), portable("experiment=paper/figure")
        ('data.root=PATH/voc2012', '[PATH/a.pth,PATH/b.pth]', 'experiment=paper/figure')
    """
    return re.sub(r"(?<![^\s=:,\[({'\"`])(?!//)(?:file://|~|\.{1,2})?/(?:[^\s,\])}'\"`]*/)?", "PATH/", text)
