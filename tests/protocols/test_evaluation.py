"""Every named protocol, on the built-in scenes: what it leaves, that it can be had again, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from protocols.tiny import FINDS, NAMES, files, score, write_checkpoint
from running import CONF, command, evaluate, last_line, read

from guided_seg.data.frozen import FrozenEpisodes, Mark
from guided_seg.errors import UserError
from guided_seg.overrides import find_problem
from guided_seg.protocols.protocol import Masks
from guided_seg.protocols.records import read_records
from guided_seg.protocols.scores import HEADER, Scored

ALL = f"protocol=[{','.join(NAMES)}]"


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """A bootstrap of tests takes part of a second; it is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guided_seg.protocols.statistics.DRAWS", 30)
        yield


@pytest.fixture(scope="module")
def scored(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Scored], Path]:
    """All protocols, in one call."""
    out = tmp_path_factory.mktemp("scored")
    return score(checkpoint, out, NAMES), out


def options(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONF / "protocol" / f"{name}.yaml").read_text())
    return content


@pytest.mark.parametrize("name", NAMES)
class TestEvery:
    def test_it_states_its_rule(self, name: str, scored: tuple[dict[str, Scored], Path]) -> None:
        found, out = scored
        about = found[name]["about"]
        assert about == options(name)["about"]
        assert about.endswith(".")
        assert "\n" not in about
        frozen = FrozenEpisodes.read(out / f"episodes_{name}.json.gz")
        assert found[name]["source"] == "shapes test"
        assert found[name]["episodes_sha256"] == frozen.checksum
        assert f"- `{name}`: {about} Episodes {frozen.checksum[:12]}." in (out / "protocols.md").read_text()

    def test_its_figures_are_finite_and_in_range(self, name: str, scored: tuple[dict[str, Scored], Path]) -> None:
        settings = scored[0][name]["settings"]
        assert settings
        for setting in settings:
            assert list(setting["figures"]) == options(name)["figures"]
            assert 1 <= setting["episodes"] <= 10
            for figure, interval in setting["figures"].items():
                least, most = (1, 20) if figure.startswith("NoC") else (0, 1)
                low, high = interval["ci95"]
                assert least <= low <= interval["value"] <= high <= most
                assert (interval["ci95_seeds"] is None) == (len(options(name).get("seeds", [0])) == 1)
        # an untrained network finds something all the same, so that equal files mean something
        assert any(0 < figure["value"] < 1 for setting in settings for figure in setting["figures"].values())

    def test_it_asks_what_it_says(self, name: str, scored: tuple[dict[str, Scored], Path]) -> None:
        asked, found = options(name), scored[0][name]["settings"]
        points = {str(points) for points in asked.get("points", ["clicks"])}
        assert {setting["points"] for setting in found} == points
        # two frames of a video, of which the second is shown by the fourth shot
        shots = {shots for shots in asked.get("shots", [1]) if name != "interactive_video" or shots < 4}
        assert {setting["shots"] for setting in found} == shots
        assert {setting["mode"] for setting in found} == set(asked.get("modes", ["interactive"]))

    def test_the_files_say_what_was_returned(self, name: str, scored: tuple[dict[str, Scored], Path]) -> None:
        found, out = scored
        assert read(out / "protocols.json")[name] == found[name]
        of, rows = read_records(out / f"records_{name}.jsonl")
        assert of["protocol"] == name
        assert of["rule"]["about"] == found[name]["about"]
        assert of["episodes_sha256"] == found[name]["episodes_sha256"]
        assert sum(setting["episodes"] for setting in found[name]["settings"]) <= len(rows)
        lines = [line for line in (out / "protocols.md").read_text().splitlines() if line.startswith(f"| {name} |")]
        assert len(lines) == len(found[name]["settings"]) * len(options(name)["figures"])
        assert all(line.count("|") == len(HEADER) + 1 for line in lines)


def test_twice_gives_the_same_files(checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path) -> None:
    found, out = scored
    assert score(checkpoint, tmp_path / "again", NAMES) == found
    again = files(tmp_path / "again")
    assert again == files(out)
    expected = {
        f"{kind}_{name}.{end}" for kind, end in (("episodes", "json.gz"), ("records", "jsonl")) for name in NAMES
    }
    assert set(again) == {*expected, "protocols.json", "protocols.md"}
    assert OmegaConf.load(out / "config.yaml").checkpoint == str(checkpoint)


@pytest.mark.slow
def test_workers_and_processes_change_nothing(
    checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # on which sums of floats may depend
    out = tmp_path / "out"
    out.mkdir()
    # begun by one process
    lines = (scored[1] / "records_revolver.jsonl").read_text().splitlines(keepends=True)
    (out / "records_revolver.0.jsonl").write_text("".join(lines[:3]))
    assert score(checkpoint, out, NAMES, "num_workers=2", "processes=2") == scored[0]
    assert files(out) == files(scored[1])
    with_workers = score(checkpoint, tmp_path / "workers", NAMES, "num_workers=2")
    assert with_workers == scored[0]


@pytest.mark.slow
def test_what_a_process_refuses_is_a_sentence(
    checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path
) -> None:
    other = ("data=shapes", "data.size=64", "data.tasks=16", "data.frames=5")
    frozen = f"episodes={scored[1] / 'episodes_clicks.json.gz'}"
    with pytest.raises(UserError, match=r"^The image .* is 64 x 64 .* freeze them again on this.$"):
        score(checkpoint, tmp_path, ["clicks"], frozen, "processes=2", "num_workers=1", *other)


def test_the_same_as_evaluation_without_a_protocol(checkpoint: Path, tmp_path: Path) -> None:
    asked = ("evaluation.shots=[1,2]", "evaluation.points=[1,5,dense]", "evaluation.batch_size=1")
    grid = evaluate(checkpoint, tmp_path / "grid", "evaluation.episodes=6", *asked)
    found = score(
        checkpoint, tmp_path / "protocol", ["revolver"], "protocol.revolver.shots=[1,2]", "protocol.revolver.episodes=6"
    )
    pooled = {
        (mode, key): (entry["positive_iou"], entry["episodes"])
        for mode, row in grid.items()
        for key, entry in row.items()
    }
    assert len(pooled) == 3 + 6 + 6
    assert {
        (setting["mode"], f"s{setting['shots']}_p{setting['points']}"): (
            pytest.approx(setting["figures"]["positive_iou"]["value"], abs=1e-6),
            setting["episodes"],
        )
        for setting in found["revolver"]["settings"]
    } == pooled


class Counted:
    """Counts the questions that are asked of the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: list[int] = []
        measure = Masks.measure

        def counting(protocol: Masks, question: Any, *args: Any) -> Any:
            self.numbers.append(question.number)
            return measure(protocol, question, *args)

        monkeypatch.setattr(Masks, "measure", counting)

    def taken(self) -> int:
        number = len(self.numbers)
        self.numbers.clear()
        return number


def test_only_what_is_of_the_same_is_not_asked_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)

    def asked(*overrides: str, of: Path = checkpoint) -> int:
        score(of, tmp_path / "out", ["hsnet"], "protocol.hsnet.size=[32,32]", *overrides)
        return counted.taken()

    assert asked() == 2
    assert asked() == 0
    assert asked("protocol.hsnet.shots=[1]") == 2
    assert asked("protocol.hsnet.shots=[1]", "protocol.hsnet.episodes=3") == 3
    assert asked("protocol.hsnet.shots=[1]", "protocol.hsnet.seeds=[7]") == 2
    assert asked("protocol.hsnet.shots=[1]", "protocol.hsnet.seeds=[7]") == 0
    assert asked() == 2
    assert asked("k_way=one_vs_rest") == 2
    assert asked("split=val") == 2
    assert asked("split=val", "data=shapes", "data.size=48", "data.tasks=16", "data.frames=5", "data.twins=1") == 2
    assert asked() == 2
    assert asked(of=write_checkpoint(tmp_path / "other.ckpt", *FINDS, seed=1)) == 2
    shutil.copy(checkpoint, tmp_path / "copy.ckpt")
    assert asked() == 2
    assert asked(of=tmp_path / "copy.ckpt") == 0


def test_a_run_that_was_stopped_goes_on(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(checkpoint, tmp_path / "whole", ["hsnet", "revolver"])
    measure, numbers = Masks.measure, []

    def stopped(protocol: Masks, question: Any, *args: Any) -> Any:
        numbers.append(question.number)
        if len(numbers) == 5:
            raise KeyboardInterrupt
        return measure(protocol, question, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Masks, "measure", stopped)
        with pytest.raises(KeyboardInterrupt):
            score(checkpoint, tmp_path / "out", ["hsnet", "revolver"])
    # what was finished is there to be read
    assert read(tmp_path / "out" / "protocols.json") == {"hsnet": expected["hsnet"]}
    counted = Counted(monkeypatch)
    assert score(checkpoint, tmp_path / "out", ["hsnet", "revolver"]) == expected
    assert counted.numbers == [2, 3, 4, 5]
    assert files(tmp_path / "out") == files(tmp_path / "whole")


# ---- frozen episodes of a file or a folder ----


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
        (["clicks"], ["protocol.clicks.strategy=eror"], "^protocol.clicks: strategy=eror: expected error or random"),
        (
            ["revolver"],
            ["protocol.revolver.figures=[positive_uio]"],
            "^protocol.revolver: .*did you mean 'positive_iou'",
        ),
        (["revolver"], ["protocol.revolver.figures=[F]"], "^protocol.revolver: The figure 'F' is of 'f'"),
        (
            ["davis2016"],
            ["protocol.davis2016.unit=group"],
            "^protocol.davis2016: unit=group: expected episodes or groups",
        ),
        (
            ["revolver"],
            ["protocol.revolver.modes=[vidoe]"],
            "^protocol.revolver: There is no mode 'vidoe'; choose from",
        ),
        (["hsnet"], ["protocol.hsnet.draw=rnd"], "^protocol.hsnet: draw=rnd: expected spread or random"),
        (["hsnet"], ["+protocol.hsnet.figure=J"], "^protocol.hsnet: .*figure"),
        (["hsnet"], ["protocol.hsnet.size=400"], "^protocol.hsnet: "),
        (["clicks", "revolver"], ["protocol.revolver.episodes=0"], "^protocol.revolver: episodes=0: expected a whole"),
        (["clicks"], ["split=tset"], "no split 'tset'; did you mean 'test'"),
        (["clicks"], ["accelerator=tpv"], "accelerator=tpv: expected auto, cpu, cuda or mps"),
        (["clicks"], ["mode=video"], r"mode=... is for evaluation without a protocol; set protocol.NAME.modes"),
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
    with pytest.raises(UserError, match="accelerator=cuda is not there on this machine; leave it at auto, or take cpu"):
        score(checkpoint, tmp_path, ["clicks"], "accelerator=cuda")


def test_local_guidance_is_scored_where_it_has_a_meaning(tmp_path: Path) -> None:
    local = write_checkpoint(tmp_path / "local.ckpt", "locality=local")
    assert set(score(local, tmp_path / "out", ["clicks", "random_clicks"])) == {"clicks", "random_clicks"}
    for name in ("revolver", "davis2016", "hsnet"):
        out = tmp_path / name
        with pytest.raises(UserError, match=r"local guidance knows the query's own image alone; choose a protocol of"):
            score(local, out, ["clicks", name])
        assert not list(out.iterdir())


# ---- as a person types it ----


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([ALL], None),
        (["protocol=clicks"], None),
        (["protocol=[clicks,hsnet]", "protocol.hsnet.size=null"], None),
        (["protocol=[]"], None),
        ([], None),
        (["protocol=[clicks,hsnte]"], "There is no protocol=hsnte; did you mean protocol=hsnet?"),
        (["protocol=pascal"], "did you mean protocol=pascal5i?"),
        (["+protocol=clicks"], "leave out the plus: protocol=clicks."),
        (["protocols=clicks"], "no setting 'protocols'; did you mean protocol?"),
        (["protocol=clicks", "protocol.clicks.limits=3"], "did you mean protocol.clicks.limit?"),
        (["protocol.clicks.limit=3"], "protocol.clicks.limit is a setting of protocol, which is not chosen"),
        (["protocol=clicks,hsnet"], "add -m to run each, or write 'protocol=[clicks,hsnet]' for a list"),
        (["protocol=clicks", "processes=0"], "processes=0: expected a whole number from 1."),
    ],
)
def test_protocols_are_chosen_one_or_several(argv: list[str], expected: str | None) -> None:
    found = find_problem("evaluate", ["checkpoint=x", *argv], "guided_seg.conf")
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert expected in found


def test_the_command(checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path) -> None:
    asked = ("protocol=[davis2016,clicks]", "protocol.davis2016.episodes=2", "protocol.clicks.episodes=2")
    done = command("evaluate", f"checkpoint={checkpoint}", *asked, "num_workers=0", "output_dir=out", folder=tmp_path)
    assert last_line(done) == str(tmp_path / "out")
    assert done.stderr == ""
    assert set(read(tmp_path / "out" / "protocols.json")) == {"davis2016", "clicks"}
    found = files(tmp_path / "out")
    for name in ("davis2016", "clicks"):
        assert found[f"episodes_{name}.json.gz"] == (scored[1] / f"episodes_{name}.json.gz").read_bytes()
        assert (
            read_records(tmp_path / "out" / f"records_{name}.jsonl")[1]
            == read_records(scored[1] / f"records_{name}.jsonl")[1]
        )
    for word in (*HEADER, "davis2016", "NoC@85", "J&F", str(checkpoint)):
        assert word in done.stdout
    # a progress bar has no place in a log
    assert "Freezing" not in done.stdout
    assert "\n\n\n" not in done.stdout
