"""Freeze the episodes of protocols into small files, and show the content of such a file.

python -m guided_seg.episodes freeze protocol=pascal5i data=voc data.root=PATH folder=episodes
python -m guided_seg.episodes show episodes/pascal5i.json.gz
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from guided_seg.data.frozen.episode_file import FrozenEpisodes

COMMAND = "python -m guided_seg.episodes"
EXAMPLES = (
    "freeze protocol=pascal5i data=voc data.root=PATH data.held_out=0",
    "freeze 'protocol=[davis2016,clicks]' data=davis data.root=PATH folder=PATH",
    "show episodes/pascal5i.json.gz",
)


@cli.command(COMMAND, "episodes", EXAMPLES)
def _freeze(cfg: DictConfig) -> None:
    from hydra.utils import instantiate

    from guided_seg.data.frozen.freeze import freeze
    from guided_seg.protocols.evaluation import build_protocol
    from guided_seg.settings.preflight import check_can_be_made

    check_can_be_made(Path(cfg.folder).absolute(), "folder", "folder")
    protocols = {str(name): build_protocol(cfg, str(name)) for name in cfg.protocol}
    source = instantiate(cfg.data.source)(split=cfg.split)
    for name, protocol in protocols.items():
        frozen = freeze(source, cfg.split, protocol.plan, progress=True)
        path = frozen.write(Path(cfg.folder) / f"{name}.json.gz")
        Console(markup=False).print(f"{path}: {summary(frozen)}", soft_wrap=True, highlight=False)


def summary(frozen: FrozenEpisodes) -> str:
    """Summarise a file of frozen episodes in one line."""
    modes = Counter(episode.mode for episode in frozen.episodes)
    parts = ", ".join(f"{number:,} {mode}" for mode, number in modes.items())
    groups = {name for episode in frozen.episodes for name in episode.groups}
    return (
        f"{parts} episodes of {frozen.source} {frozen.split}; {len(frozen.images):,} images, {len(groups):,} classes "
        f"or objects; up to S = {frozen.rule.get('shots')} and P = {frozen.rule.get('points') or 'dense'}; "
        f"SHA-256 {frozen.checksum}"
    )


def _show(paths: Sequence[str]) -> None:
    from guided_seg.data.frozen.episode_file import FrozenEpisodes

    if not paths:
        cli.refuse(f"show needs a file; as in: {cli.started_as(COMMAND)} show episodes/pascal5i.json.gz")
    for path in paths:
        try:
            frozen = FrozenEpisodes.read(cli.path_argument(path))
        except UserError as error:
            cli.refuse(str(error))
        Console(markup=False).print(f"{path}: {summary(frozen)}", soft_wrap=True, highlight=False)


@program
def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "episodes")
    verb, *rest = cli.without_comment(sys.argv[1:]) or [""]
    if verb == "show":
        _show(rest)
    elif verb == "freeze":
        sys.argv[1:] = rest
        _freeze()
    else:
        cli.refuse(
            f"There is no command '{verb}' for episodes; expected freeze or show, as in: "
            f"{cli.started_as(COMMAND)} {EXAMPLES[0]}"
        )


if __name__ == "__main__":
    main()
