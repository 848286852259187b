"""The main command: the same twice, resumed, interrupted, and as a person types it."""

from __future__ import annotations

import csv
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from support.commands import TINY, assert_same_run, call, command, compose_run, last_line, no_figures, read, run, scores
from support.processes import started

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.errors import UserError
from guided_seg.protocols.protocol import Masks, Row
from guided_seg.protocols.runner import Job, Setup
from guided_seg.training import train as training
from guided_seg.training.module import EpisodicSegmentation

LONGER = ("trainer.max_steps=6", "data.training.validate_every=2", "trainer.limit_val_batches=1.0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps with three validations, and no break."""
    return run(tmp_path_factory.mktemp("whole"), *LONGER)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Lightning leaves Ctrl-C switched off once it has handled one."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def stop_at(step: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training fail in its step ``step``, counted from 0."""
    honest = EpisodicSegmentation.training_step

    def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == step:
            raise error
        return honest(self, batch, batch_idx)

    monkeypatch.setattr(EpisodicSegmentation, "training_step", training_step)


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
    return state


def rows(folder: Path, column: str) -> list[tuple[int, float]]:
    """(step, value) wherever metrics.csv has one."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), float(row[column])) for row in csv.DictReader(file) if row.get(column)]


def test_the_same_command_twice_gives_the_same_scores(whole: Path, tmp_path: Path) -> None:
    again = run(tmp_path / "again", *LONGER)
    assert scores(again) == scores(whole)
    assert rows(again, "train/loss") == rows(whole, "train/loss")


def test_workers_change_nothing(whole: Path, tmp_path: Path) -> None:
    assert scores(run(tmp_path, *LONGER, "num_workers=1")) == scores(whole)


def test_training_leaves_the_batch_statistics_of_frozen_stages_as_they_were(tmp_path: Path) -> None:
    """Lightning trains a network in the mode that it finds it in and never calls its `train`."""
    ours = [option for option in TINY if not option.startswith("backbone.")]
    lite = ("backbone=efficientnet_lite0", "backbone.weights=random", "backbone.width=16", f"output_dir={tmp_path}")
    with no_figures():
        training.train(compose_run(*ours, *lite), tmp_path)
    trained = weights(tmp_path)
    counts = {name: int(count) for name, count in trained.items() if name.endswith("num_batches_tracked")}
    assert {name.split(".")[2] for name, count in counts.items() if count} == {"norm"}
    assert sum(".net." in name for name in counts) > 40


def test_another_seed_gives_other_scores(whole: Path, tmp_path: Path) -> None:
    other = run(tmp_path, *LONGER, "seed=1")
    assert rows(other, "train/loss")[0] != rows(whole, "train/loss")[0]
    assert scores(other) != scores(whole)


def test_the_run_folder_in_config_yaml_is_the_one_it_lies_in(whole: Path) -> None:
    assert OmegaConf.load(whole / "config.yaml").output_dir == str(whole)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the machine went away")])
def test_resumed_is_the_same_as_never_interrupted(
    error: BaseException, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(5, error, patch)
        with pytest.raises(type(error)):
            run(tmp_path, *LONGER)
    assert not (tmp_path / "metrics.json").exists()
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    run(tmp_path, *LONGER, "ckpt_path=last")
    assert_same_run(tmp_path, whole)
    assert read(tmp_path / "metrics.json")["run"]["steps"] == 6


def test_a_fresh_run_in_an_old_folder_starts_anew(tmp_path: Path) -> None:
    run(tmp_path, "trainer.max_steps=3")
    run(tmp_path, "trainer.max_steps=2")
    assert [step for step, _ in rows(tmp_path, "train/loss")] == [0, 1]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("backbone.width=8", "backbone.width=16 but this run has 8"),
        ("backbone=vgg16_lite", "backbone._target_="),
        ("baseline=foreground_background", "baseline._target_="),
        ("locality=local", "locality._target_="),
        ("conditioning.scorer=joint", "conditioning.scorer=shared but this run has joint"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(whole: Path, override: str, named: str) -> None:
    before = (whole / "metrics.csv").read_text()
    options = [o for o in (*TINY, *LONGER) if not (o.startswith("backbone.") and override.startswith("backbone"))]
    blocks = ["backbone.blocks=1"] if "width" in override else []
    cfg = compose_run(*options, *blocks, override, f"output_dir={whole}", "ckpt_path=last")
    with pytest.raises(UserError, match="resumes only the architecture") as caught:
        training.train(cfg, whole)
    assert named in str(caught.value)
    assert (whole / "metrics.csv").read_text() == before


def test_a_new_run_may_start_from_trained_weights(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, "trainer.max_steps=1", f"start_from={whole}", "data.training.lr=1e-9", "data.augment=null")
    before, after = weights(whole, "best.ckpt"), weights(tmp_path)
    trained = [key for key in before if key.endswith("weight")]
    assert trained
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in trained)
    assert [step for step, _ in rows(tmp_path, "train/loss")] == [0]
    with pytest.raises(UserError, match=r"start_from=.* has another architecture .*tensors differ"):
        run(tmp_path, f"start_from={whole}", "backbone.width=8")


@pytest.mark.parametrize("override", ["trainer.max_steps=8", "data.training.validate_every=3"])
def test_a_training_of_another_length_is_no_resume(whole: Path, override: str) -> None:
    with pytest.raises(UserError, match=f"is from a run with {override.partition('=')[0]}=\\d but this run has \\d"):
        run(whole, *LONGER, override, "ckpt_path=last")


def test_a_resume_without_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint .*no.ckpt to resume from; check ckpt_path and output_dir"):
        run(tmp_path, f"ckpt_path={tmp_path}/no.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("no memory left"), "failed")]
)
@pytest.mark.parametrize("stage", ["training_step", "validation_step", "test"])
def test_loggers_are_closed_whatever_happens(
    stage: str, error: BaseException, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    statuses: list[str] = []
    if stage == "test":
        monkeypatch.setattr(training, "run_share", fail)
    else:
        monkeypatch.setattr(EpisodicSegmentation, stage, fail)
    monkeypatch.setattr(training, "close_loggers", lambda _, status: statuses.append(status))
    with pytest.raises(type(error)):
        run(tmp_path)
    assert statuses == [status]


def test_a_success_closes_its_loggers_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[str] = []
    monkeypatch.setattr(training, "close_loggers", lambda _, status: statuses.append(status))
    run(tmp_path)
    assert statuses == ["success"]


@pytest.mark.usefixtures("ctrl_c")
def test_a_run_that_was_stopped_in_its_test_goes_on_with_it(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is measured twice, and no record is left."""
    honest, measured = Masks.measure, list[tuple[str, int]]()

    def measure(self: Masks, item: EvaluationEpisode, *args: Any) -> list[Row]:
        if len(measured) == 6:
            measured.append(("stopped", 0))
            raise KeyboardInterrupt
        measured.append((item.frozen.mode, item.number))
        return honest(self, item, *args)

    monkeypatch.setattr(Masks, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *LONGER)
    assert not (tmp_path / "metrics.json").exists()
    assert list(tmp_path.glob("records_*.jsonl"))
    run(tmp_path, *LONGER, "ckpt_path=last")
    assert scores(tmp_path) == scores(whole)
    assert len(measured) == len(set(measured)) == 3 * 4 + 1
    assert not list(tmp_path.glob("records_*.jsonl"))
    # another training must not go on with records of this one
    run(tmp_path, *LONGER, "seed=1")
    assert len(measured) == 2 * 3 * 4 + 1


def test_the_best_checkpoint_is_the_one_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation gets worse, so the first of three is the best."""
    values = iter([0.9, 0.5, 0.1])

    def on_validation_epoch_end(self: EpisodicSegmentation) -> None:
        for metric in self.validation.values():
            metric.reset()
        self.log("val/positive_iou", next(values))

    tested: list[dict[str, torch.Tensor]] = []
    honest: Callable[..., Any] = training.run_share

    def run_share(rank: int, job: Job, setup: Setup, processes: int) -> None:
        state = setup.network.state_dict().items()
        tested.append({f"network.{name}": tensor.clone() for name, tensor in state})
        honest(rank, job, setup, processes)

    monkeypatch.setattr(EpisodicSegmentation, "on_validation_epoch_end", on_validation_epoch_end)
    monkeypatch.setattr(training, "run_share", run_share)
    best = training.train(compose_run(*TINY, *LONGER, f"output_dir={tmp_path}"), tmp_path)
    assert best == pytest.approx(0.9)
    assert torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["global_step"] == 2
    for name, tensor in weights(tmp_path, "best.ckpt").items():
        assert torch.equal(tested[0][name], tensor)
    assert any(not torch.equal(tested[0][name], tensor) for name, tensor in weights(tmp_path).items())


# ---- as a person types it; a process of its own costs seconds of imports ----

QUICK = tuple(option for option in TINY if not option.startswith("logger="))
SESAME = "5e5a3e" * 7
SECRETS = {
    **dict.fromkeys(("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "MY_PASSWORD"), SESAME),
    "HTTPS_PROXY": f"http://me:{SESAME}@127.0.0.1:9",
    "WANDB_BASE_URL": f"http://me:{SESAME}@127.0.0.1:9",
}
"""Variables that a run may use, and writes nowhere."""


@pytest.mark.slow
def test_the_command_with_its_default_loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    done = command("run", "+experiment=late_global", *QUICK, folder=tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and SESAME.encode() in path.read_bytes()]
    assert (written, SESAME in done.stdout + done.stderr) == ([], False)
    folder = Path(last_line(done))
    assert folder.parent == tmp_path / "outputs" / "late_global"
    assert {"interactive", "semantic", "video", "run"} == set(read(folder / "metrics.json"))
    assert (folder / "metrics.csv").stat().st_size > 0
    (offline,) = (folder / "wandb").glob("offline-run-*")
    assert next(offline.glob("*.wandb")).stat().st_size > 0
    assert "W&B records offline" in done.stderr
    assert f"wandb sync {offline.relative_to(tmp_path)}" in done.stderr
    assert "late_global on shapes" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]
    assert "Warning" not in done.stderr
    # the newest run of that name goes on in its own folder; it was complete, so it is tested again
    before = scores(folder)
    (folder / "metrics.json").unlink()
    resume = ("logger=csv", "ckpt_path=last")
    assert Path(last_line(call("run", "+experiment=late_global", *QUICK, *resume, folder=tmp_path))) == folder
    assert scores(folder) == before


def test_a_sweep_over_seeds_gives_a_folder_each(tmp_path: Path) -> None:
    with no_figures():
        last_line(call("run", "-m", "+experiment=late_global", *TINY, "seed=0,1", folder=tmp_path))
    folders = sorted(path.parent for path in tmp_path.glob("outputs/sweeps/late_global/*/metrics.json"))
    configs = [OmegaConf.load(folder / "config.yaml") for folder in folders]
    assert sorted(cfg.seed for cfg in configs) == [0, 1]
    assert [cfg.output_dir for cfg in configs] == [str(folder) for folder in folders]
    assert scores(folders[0]) != scores(folders[1])


@pytest.mark.slow
def test_ctrl_c_ends_in_a_word_and_leaves_a_run_to_resume(tmp_path: Path) -> None:
    long = ("trainer.max_steps=4000", "data.training.validate_every=2", "output_dir=here")
    line = (sys.executable, "-m", "guided_seg.run", "+experiment=late_global", *TINY, *long)
    with started(*line, limit=180, folder=tmp_path) as process:
        while not (tmp_path / "here/checkpoints/last.ckpt").exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err.strip().splitlines()[-1]) == (130, "Interrupted.")
    assert "Traceback" not in err
    assert torch.load(tmp_path / "here/checkpoints/last.ckpt", weights_only=True)["global_step"] >= 2


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("backbone=vgg61", "There is no backbone=vgg61; did you mean backbone=vgg16?"),
        ("trainer.max_step=3", "There is no setting 'trainer.max_step'; did you mean trainer.max_steps?"),
        ("+experiment=late_globel", "There is no experiment=late_globel; did you mean +experiment=late_global?"),
        ("bakbone=small", "There is no setting 'bakbone'; did you mean backbone?"),
        ("data=voc", "data.root has no default; add data.root=... to the command."),
    ],
)
def test_a_slip_ends_in_a_sentence(tmp_path: Path, argv: str, expected: str) -> None:
    done = call("run", argv, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["run", "evaluate"])
def test_help_is_quick_and_lists_what_there_is(tmp_path: Path, module: str) -> None:
    began = time.monotonic()
    done = command(module, "--help", folder=tmp_path)
    assert time.monotonic() - began < 2.5
    last_line(done)
    assert f"python -m guided_seg.{module} " in done.stdout
    assert "shapes" in done.stdout
    assert "evaluation" in done.stdout
    assert ("late_global  " in done.stdout) == (module == "run")
    assert ("vgg16_lite" in done.stdout) == (module == "run")
    assert not list(tmp_path.iterdir())
