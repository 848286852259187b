"""Two checkpoints on the same episodes, and the command that freezes these."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from support.commands import call, last_line, read
from support.evaluations import FINDS, WORLD, score, write_checkpoint

from guided_seg import compare, episodes
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.errors import UserError
from guided_seg.protocols.comparison import compare as differences

FEW = ["revolver", "clicks"]


@pytest.fixture(scope="module")
def folders(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The evaluations of two networks."""
    root = tmp_path_factory.mktemp("compared")
    other = write_checkpoint(root / "other.ckpt", *FINDS, seed=1)
    for name, network in (("ours", checkpoint), ("theirs", other)):
        score(network, root / name, FEW)
    return root / "ours", root / "theirs"


def test_the_difference_is_that_of_the_figures(folders: tuple[Path, Path]) -> None:
    ours, others = (read(folder / "protocols.json") for folder in folders)
    found = differences(*folders)
    expected = [
        one["figures"][figure]["value"] - other["figures"][figure]["value"]
        for name in FEW
        for one, other in zip(ours[name]["settings"], others[name]["settings"], strict=True)
        for figure in one["figures"]
    ]
    assert [difference.interval["value"] for difference in found] == pytest.approx(expected)
    assert any(expected)
    for difference in found:
        low, high = difference.interval["ci95"]
        assert low <= high


def test_a_checkpoint_against_itself_is_level(folders: tuple[Path, Path]) -> None:
    for difference in differences(folders[0], folders[0]):
        assert difference.interval["value"] == 0
        assert difference.interval["ci95"] == [0, 0]


def test_the_command_prints_and_writes_the_table(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main([*map(str, folders), "--out", str(tmp_path / "table.md")])
    table = (tmp_path / "table.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert len(table.splitlines()) == 2 + 9 + 14


def test_another_wording_of_the_rule_is_no_other_rule(folders: tuple[Path, Path], tmp_path: Path) -> None:
    reworded = copytree(folders[1], tmp_path / "reworded")
    for records in reworded.glob("records_*.jsonl"):
        first, rest = records.read_text().split("\n", 1)
        of = json.loads(first)
        of["rule"]["about"] = "In other words."
        records.write_text(f"{json.dumps(of)}\n{rest}")
    assert differences(folders[0], reworded) == differences(*folders)


def test_what_cannot_be_compared(
    folders: tuple[Path, Path], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, asked, sentence in (
        ("hsnet", [], "evaluate both checkpoints under the same"),
        ("clicks", ["protocol.clicks.limit=5"], "under clicks with another rule than"),
        ("clicks", ["split=val", "num_workers=0"], "under clicks with other episodes than"),
    ):
        out = tmp_path / str(len(asked))
        score(checkpoint, out, [name], *asked)
        with pytest.raises(UserError, match=sentence):
            differences(folders[0], out)
    with pytest.raises(SystemExit) as stopped:
        compare.main([str(folders[0]), str(tmp_path)])
    assert stopped.value.code == 2
    assert "has no protocols.json; give a folder" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("protocols.json", lambda text: text[: len(text) // 2]),
        ("protocols.json", lambda _: "[]"),
        ("protocols.json", lambda text: text.replace('"settings"', '"setting"')),
        ("protocols.json", lambda text: text.replace('"unit"', '"units"')),
        ("protocols.json", lambda text: text.replace('"revolver"', '"revolve"').replace('"clicks"', '"click"')),
        ("protocols.json", lambda text: "\ufeff" + text),
        ("records_clicks.jsonl", lambda text: text[: len(text) // 2]),
        ("records_clicks.jsonl", lambda text: text.replace('"noc85"', '"noc"')),
        ("records_clicks.jsonl", lambda text: text.replace('"seed"', '"seeds"')),
        ("records_clicks.jsonl", lambda text: text.replace('"label"', '"lable"')),
        ("records_clicks.jsonl", lambda text: "\n".join(text.splitlines()[:-1])),
        ("records_clicks.jsonl", lambda text: text.replace('"mode":"interactive"', '"mode":7')),
        ("records_clicks.jsonl", lambda text: text.replace('"noc85":', '"noc85":"x","noc":')),
    ],
)
def test_a_result_that_was_changed_is_refused_in_a_sentence(
    folders: tuple[Path, Path], tmp_path: Path, file: str, change: Callable[[str], str]
) -> None:
    ours = tmp_path / "changed"
    copytree(folders[0], ours)
    (ours / file).write_text(change((ours / file).read_text()), encoding="utf-8")
    if change("") == "\ufeff":  # a mark that an editor adds is no change
        assert differences(ours, folders[1])
        return
    with pytest.raises(UserError) as caught:
        differences(ours, folders[1])
    assert str(ours) in str(caught.value)


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        (None, "There is no folder .*; give a folder of"),
        ("", "has no protocols.json; give a folder of"),
        ("evaluation.json", "was evaluated without a protocol, .*; evaluate it again with protocol="),
        ("records_clicks.0.jsonl", "was stopped before a protocol was finished; repeat its command with output_dir="),
        ("run/protocols.json", "has no protocols.json; give a folder of .*, such as .*run"),
    ],
)
def test_a_folder_without_results_is_refused_with_what_to_give(
    folders: tuple[Path, Path], tmp_path: Path, there: str | None, sentence: str
) -> None:
    out = tmp_path / "out"
    if there is not None:
        out.mkdir()
    if there:
        (out / there).parent.mkdir(exist_ok=True)
        (out / there).write_text("{}")
    with pytest.raises(UserError, match=sentence):
        differences(folders[0], out)


def test_a_folder_is_not_compared_with_itself(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        compare.main([str(folders[0]), f"{folders[0]}/../{folders[0].name}"])
    assert stopped.value.code == 2
    assert "are the same folder" in " ".join(capsys.readouterr().err.split())


def test_freezing_and_showing(tmp_path: Path) -> None:
    asked = [*WORLD, "protocol=[clicks,davis2016]", "protocol.clicks.episodes=2", "folder=frozen [b]"]
    done = call("episodes", "freeze", *asked, folder=tmp_path)
    frozen = FrozenEpisodes.read(tmp_path / "frozen [b]" / "clicks.json.gz")
    assert last_line(done).startswith("frozen [b]/davis2016.json.gz: 16 video episodes of shapes test; ")
    shown = call("episodes", "show", "frozen [b]/clicks.json.gz", folder=tmp_path)
    assert last_line(shown) == (
        "frozen [b]/clicks.json.gz: 2 interactive episodes of shapes test; 2 images, 2 classes or objects; up to S = 1 "
        f"and P = dense; SHA-256 {frozen.checksum}"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"frozen [b]"}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["thaw"], "There is no command 'thaw' for episodes; expected freeze or show"),
        ([], "expected freeze or show"),
        (["show"], "show needs a file"),
        (["show", "nowhere.json.gz"], "There are no frozen episodes nowhere.json.gz"),
        (["freeze", "protocol=davis2061"], "no protocol=davis2061; did you mean protocol=davis201"),
    ],
)
def test_slips(
    argv: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["episodes", *argv])
    with pytest.raises(SystemExit) as stopped:
        episodes.main()
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
