"""Protocols on frozen episodes of a file, and what they refuse before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.evaluations import NAMES, score, write_checkpoint

from guided_seg.data.frozen.episode_file import FrozenEpisodes, Mark
from guided_seg.errors import UserError
from guided_seg.protocols.scores import Scored

pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture
def folder(scored: tuple[dict[str, Scored], Path], tmp_path: Path) -> Path:
    """As `python -m guided_seg.episodes` leaves it."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(scored[1] / f"episodes_{name}.json.gz", folder / f"{name}.json.gz")
    return folder


def test_frozen_episodes_of_a_file_or_a_folder_give_the_same(
    checkpoint: Path, scored: tuple[dict[str, Scored], Path], folder: Path, tmp_path: Path
) -> None:
    names = ["davis2016", "random_clicks"]
    # what the file says counts, not what would be drawn now
    asked = [f"protocol.{name}.episodes=9" for name in names]
    found = score(checkpoint, tmp_path / "folder", names, f"episodes={folder}", *asked)
    assert found == {name: scored[0][name] for name in names}
    file = f"episodes={folder / 'davis2016.json.gz'}"
    assert score(checkpoint, tmp_path / "file", names[:1], file) == {"davis2016": scored[0]["davis2016"]}
    kept = (tmp_path / "file" / "episodes_davis2016.json.gz").read_bytes()
    assert kept == (folder / "davis2016.json.gz").read_bytes()


def test_fewer_shots_and_dots_may_be_asked_of_a_file(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    asked = ("protocol.interactive_video.shots=[2]", "protocol.interactive_video.points=[1,5]")
    found = score(checkpoint, tmp_path / "out", ["interactive_video"], f"episodes={folder}", *asked)
    settings = [(setting["shots"], setting["points"]) for setting in found["interactive_video"]["settings"]]
    assert settings == [(2, "1"), (2, "5")]


Change = Callable[[FrozenEpisodes], FrozenEpisodes]


@pytest.mark.parametrize(
    ("name", "change", "overrides", "expected"),
    [
        (
            "hsnet",
            lambda file: replace(file, source="voc"),
            [],
            "of hsnet are of voc test, but the data is shapes test; give",
        ),
        ("hsnet", lambda file: file, ["split=val"], "are of shapes test, but the data is shapes val; give data=shapes"),
        ("hsnet", lambda file: file, ["protocol.hsnet.shots=[9]"], "have shots=5 but the protocol asks for 9; ask for"),
        ("revolver", lambda file: file, ["protocol.revolver.points=[6]"], "have points=5 but the protocol asks for 6"),
        (
            "davis2017",
            lambda file: file,
            ["protocol.davis2017.objects=2"],
            "have objects=10 but the protocol asks for 2",
        ),
        (
            "davis2016",
            lambda file: replace(file, rule={**file.rule, "modes": ["semantic"]}),
            [],
            "are semantic tasks, but the protocol is of video tasks; give",
        ),
        (
            "clicks",
            lambda file: replace(file, images={**file.images, file.episodes[0].query.key: Mark(1, 2, 3)}),
            [],
            r"The image \(.*\) is 48 x 48 .* made on one of 1 x 2 and 3; use the data",
        ),
    ],
    ids=["source", "split", "S", "P", "K", "modes", "image"],
)
def test_frozen_episodes_of_something_else_are_refused(
    checkpoint: Path, folder: Path, tmp_path: Path, name: str, change: Change, overrides: list[str], expected: str
) -> None:
    path = folder / f"{name}.json.gz"
    change(FrozenEpisodes.read(path)).write(path)
    with pytest.raises(UserError, match=expected):
        score(checkpoint, tmp_path / "out", [name], f"episodes={folder}", *overrides)


def test_a_protocol_without_a_file_in_the_folder(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "hsnet.json.gz").unlink()
    with pytest.raises(UserError, match=r"There are no frozen episodes .*frozen/hsnet.json.gz"):
        score(checkpoint, tmp_path / "out", ["clicks", "hsnet"], f"episodes={folder}")
    assert not list((tmp_path / "out").iterdir())


# ---- what is refused before anything is written ----


@pytest.mark.parametrize(
    ("names", "overrides", "expected"),
    [
        (
            ["clicks"],
            ["protocol.clicks.strategy=eror"],
            "^protocol.clicks.strategy=eror: expected error, human or random",
        ),
        (
            ["revolver"],
            ["protocol.revolver.figures=[positive_uio]"],
            "^protocol.revolver: .*did you mean 'positive_iou'",
        ),
        (["revolver"], ["protocol.revolver.figures=[F]"], "^protocol.revolver: The figure 'F' is of 'f'"),
        (
            ["davis2016"],
            ["protocol.davis2016.unit=group"],
            "^protocol.davis2016.unit=group: expected episodes or groups",
        ),
        (
            ["revolver"],
            ["protocol.revolver.modes=[vidoe]"],
            "^protocol.revolver: There is no mode 'vidoe'; choose from",
        ),
        (["hsnet"], ["protocol.hsnet.draw=rnd"], "^protocol.hsnet.draw=rnd: expected spread or random"),
        (["hsnet"], ["+protocol.hsnet.figure=J"], "^protocol.hsnet: .*figure"),
        (["hsnet"], ["protocol.hsnet.size=400"], r"^protocol.hsnet.size=400: expected \[height, width\]"),
        (["clicks", "revolver"], ["protocol.revolver.episodes=0"], "^protocol.revolver.episodes=0: expected a whole"),
        (["clicks"], ["split=tset"], "no split 'tset'; did you mean 'test'"),
        (["clicks"], ["accelerator=tpv"], "accelerator=tpv: expected auto, cpu, cuda or mps"),
        (["clicks"], ["mode=video"], r"mode=... is for evaluation without a protocol; set 'protocol.NAME.modes"),
        (["clicks"], ["checkpoint=nowhere.ckpt"], "There is no checkpoint nowhere.ckpt"),
        (["clicks"], ["episodes=nowhere.json.gz"], "There are no frozen episodes nowhere.json.gz"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    checkpoint: Path, tmp_path: Path, names: list[str], overrides: list[str], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        score(checkpoint, tmp_path / "out", names, *overrides)
    assert not list((tmp_path / "out").iterdir())


def test_an_accelerator_that_is_not_there(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"accelerator=cuda: .* finds no such device on .*; take accelerator=cpu"):
        score(checkpoint, tmp_path, ["clicks"], "accelerator=cuda")


def test_local_guidance_is_scored_where_it_has_a_meaning(tmp_path: Path) -> None:
    local = write_checkpoint(tmp_path / "local.ckpt", "locality=local")
    assert set(score(local, tmp_path / "out", ["clicks", "random_clicks"])) == {"clicks", "random_clicks"}
    for name in ("revolver", "davis2016", "hsnet"):
        out = tmp_path / name
        with pytest.raises(UserError, match=r"local guidance knows the query's own image alone; choose a protocol of"):
            score(local, out, ["clicks", name])
        assert not list(out.iterdir())


@pytest.mark.slow
def test_what_a_process_refuses_is_a_sentence(
    checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path
) -> None:
    other = ("data=shapes", "data.size=64", "data.tasks=16", "data.frames=5")
    frozen = f"episodes={scored[1] / 'episodes_clicks.json.gz'}"
    with pytest.raises(UserError, match=r"^The image .* is 64 x 64 .* freeze them again on this.$"):
        score(checkpoint, tmp_path, ["clicks"], frozen, "processes=2", "num_workers=1", *other)
