"""Every named protocol, on the built-in scenes: what it leaves, that it can be had again, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from support.archives import noise_folder
from support.commands import CONF, call, compose_evaluation, evaluate, last_line, read
from support.evaluations import FINDS, NAMES, files, score, write_checkpoint

from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.errors import DataError, UserError
from guided_seg.protocols.evaluation import build_protocol
from guided_seg.protocols.protocol import Masks
from guided_seg.protocols.records import read_records
from guided_seg.protocols.scores import HEADER, Scored, read_figure
from guided_seg.settings.overrides import find_problem

pytestmark = pytest.mark.usefixtures("few_draws")
ALL = f"protocol=[{','.join(NAMES)}]"


def test_a_figure_can_be_read_from_the_file(scored: tuple[dict[str, Scored], Path]) -> None:
    found, out = scored
    for name, of in found.items():
        for setting in of["settings"]:
            asked = {key: setting[key] for key in ("mode", "shots", "points")}  # type: ignore[literal-required]
            for figure, interval in setting["figures"].items():
                assert read_figure(out / "protocols.json", name, figure, asked) == interval
    for name, figure, points in (("clix", "J", "5"), ("instances", "J", "5"), ("instances", "mean_iou", "6")):
        with pytest.raises(LookupError, match=rf"protocols.json has no {figure} of {name} at .*{points}"):
            read_figure(out / "protocols.json", name, figure, {"points": points})
    with pytest.raises(UserError):
        read_figure(out / "nothing.json", "clicks", "NoC@85", {})


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
                least, most = (1, 20) if figure.startswith("NoC") else (-1 if "change" in figure else 0, 1)
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


def test_answers_in_bf16_are_never_mixed_with_others(
    checkpoint: Path, scored: tuple[dict[str, Scored], Path], tmp_path: Path
) -> None:
    (name, *_), out = NAMES, scored[1]
    score(checkpoint, tmp_path, [name], "precision=bf16")
    assert OmegaConf.load(tmp_path / "config.yaml").precision == "bf16"
    of, _ = read_records(tmp_path / f"records_{name}.jsonl")
    assert of == read_records(out / f"records_{name}.jsonl")[0] | {"precision": "bf16"}
    score(checkpoint, tmp_path, [name])  # does not go on with those
    assert files(tmp_path)[f"records_{name}.jsonl"] == files(out)[f"records_{name}.jsonl"]


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
    # every protocol has had workers; what is left is one process with workers, on images of any size and of one
    names = ["davis2016", "hsnet"]
    with_workers = score(checkpoint, tmp_path / "workers", names, "num_workers=2")
    assert with_workers == {name: scored[0][name] for name in names}


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
    """Counts the items that are asked of the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: list[int] = []
        measure = Masks.measure

        def counting(protocol: Masks, item: Any, *args: Any) -> Any:
            self.numbers.append(item.number)
            return measure(protocol, item, *args)

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
    assert asked("refine.again=1") == 2
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

    def stopped(protocol: Masks, item: Any, *args: Any) -> Any:
        numbers.append(item.number)
        if len(numbers) == 5:
            raise KeyboardInterrupt
        return measure(protocol, item, *args)

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


def test_a_table_says_where_there_were_fewer_shots_or_dots(checkpoint: Path, tmp_path: Path) -> None:
    root = noise_folder(tmp_path / "mine", "abcd")
    data = ("data=folder", f"data.root={root}", "data.whole=true")
    asked = ("protocol.revolver.shots=[3,4]", "protocol.revolver.points=[5,257]")
    found = score(checkpoint, tmp_path / "out", ["revolver"], *data, *asked)["revolver"]["settings"]
    lacks = {
        (setting["mode"], setting["shots"], setting["points"]): (setting.get("fewer_shots"), setting.get("fewer_dots"))
        for setting in found
    }
    assert lacks == {
        ("interactive", 1, "5"): (None, None),
        ("interactive", 1, "257"): (None, 2),
        ("semantic", 3, "5"): (None, None),
        ("semantic", 3, "257"): (None, 2),
        ("semantic", 4, "5"): (2, None),
        ("semantic", 4, "257"): (2, 2),
    }
    written = (tmp_path / "out" / "protocols.md").read_text()
    assert "- 2 of 2 episodes of revolver semantic s4_p5 had fewer shots, as their class has no more images." in written


@pytest.mark.parametrize(
    ("name", "setting", "sentence"),
    [
        ("hsnet", "_target_=dict", "protocol.hsnet: _target_=dict is no protocol that can be imported"),
        ("hsnet", "_target_=no.such.Thing", "protocol.hsnet: _target_=no.such.Thing is no protocol that can be"),
        ("hsnet", "_target_=null", "protocol.hsnet: _target_=null is no protocol that can be imported"),
        ("clicks", "shots=[1]", "protocol.clicks: There is no setting 'shots'.*Choose from about, figures"),
        ("clicks", "thresholds=[80]", "protocol.clicks: .*leave it out, or add 85 to thresholds"),
        ("davis2016", "contours=false", "protocol.davis2016: .*leave it out, or set contours=true"),
        ("hsnet", "figures=[mIoU]", "protocol.hsnet: There is no figure 'mIoU'; did you mean 'mean_iou'"),
    ],
)
def test_what_is_no_protocol_is_refused(
    name: str, setting: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = compose_evaluation("x", f"protocol=[{name}]", f"++protocol.{name}.{setting}")
    with pytest.raises(DataError, match=sentence):
        build_protocol(cfg, name)
    assert not caplog.records


def test_a_protocol_without_its_rule_in_words_is_refused() -> None:
    cfg = compose_evaluation("x", "protocol=[hsnet]", "~protocol.hsnet.about")
    with pytest.raises(DataError, match=r"about is missing; give it a value with \+protocol.hsnet.about=\.\.\."):
        build_protocol(cfg, "hsnet")


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
    done = call("evaluate", f"checkpoint={checkpoint}", *asked, "num_workers=0", "output_dir=out", folder=tmp_path)
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
