"""Train a network, keep the best checkpoint, test it in every mode, and report."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from guided_seg.cli.program import TERMINATED
from guided_seg.cli.run_folders import note_environment
from guided_seg.composition.build import (
    build_data,
    build_network,
    check_known,
    check_modes,
    known_modes,
    modes_to_test,
    network_config,
)
from guided_seg.composition.build import settings as evaluation_settings
from guided_seg.data.datamodule import Episodes, check_divides
from guided_seg.data.source import Source
from guided_seg.distributed.collectives import rank_and_world
from guided_seg.distributed.requeue import Requeue, check_in_slurm
from guided_seg.distributed.strategy import job_processes, use_job_strategy
from guided_seg.files.locks import alone_in
from guided_seg.files.writing import sha256, whole_file, write_json
from guided_seg.loggers.loggers import build_loggers, close_loggers, log_config, log_image, log_results
from guided_seg.model.precision import check_accelerator, device_of, fastest, lightning_precision
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.protocols import default_test
from guided_seg.protocols.runner import Job, Setup, run_share
from guided_seg.release.load import start_from
from guided_seg.report.drawing import learning_curve
from guided_seg.report.results import Results, table
from guided_seg.training import resuming
from guided_seg.training.bad_batch import FiniteLoss
from guided_seg.training.caching import open_cache
from guided_seg.training.callbacks import BrokenFiles, Clock, DataWait, EpisodePictures, peak_memory
from guided_seg.training.lightning_messages import lightning_refusals, lost_workers, quiet_lightning
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.resuming import Resuming, Start, WholeFiles, checkpoints
from guided_seg.training.update_time import timed_episode, update_times


def train(cfg: DictConfig, run_dir: Path, start: Start | None = None) -> float:
    """Train and test the network of ``cfg``.

    Args:
        cfg: the composed config of the main command.
        run_dir: the run folder, for all output; it is complete when it contains metrics.json.
        start: where to start; by default as ``cfg.ckpt_path`` says.

    Returns:
        The best positive IoU in validation, for sweeps.

    Raises:
        UserError: the composition, the data or the checkpoint cannot be used, or another process works in the folder;
            raised before training.
    """
    # other processes of the same run are started by the first, which holds the lock
    with nullcontext() if getattr(rank_zero_only, "rank", 0) else alone_in(run_dir):
        return _train(cfg, run_dir, start)


def _train(cfg: DictConfig, run_dir: Path, start: Start | None) -> float:
    began = time.perf_counter()
    quiet_lightning()
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it, for the whole process
    evaluation_settings(cfg)
    use_job_strategy()
    _check_trainer(cfg)
    if cfg.ckpt_path == "last" and (best := resuming.complete(run_dir, cfg)) is not None:
        Console(markup=False).print(f"This run is complete:\n{run_dir}", soft_wrap=True, highlight=False)
        return best
    start = start or resuming.start_of(cfg, run_dir)
    # Hydra chooses the folder of a sweep's job
    cfg = OmegaConf.merge(cfg, {"output_dir": str(run_dir)})  # type: ignore[assignment]
    cfg.trainer.precision = resuming.precision(cfg, start)
    seed_everything(cfg.seed, workers=True, verbose=False)
    module, data = _prepare(cfg)
    here: dict[str, Any] = {}
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        resuming.forget_another(start, run_dir)
        # old scores must never be stored with a new config
        (run_dir / "metrics.json").unlink(missing_ok=True)
        with whole_file(run_dir / "config.yaml") as partial:
            OmegaConf.save(cfg, partial, resolve=True)
        here = note_environment(run_dir, start.step)
    loggers = build_loggers(cfg.logger, run_dir, start.step)
    status = "failed"
    try:
        outcome = _run(cfg, module, data, loggers, run_dir, start.checkpoint, began, here)
        status = "success"
    except SIGTERMException:
        status = "interrupted"
        raise SystemExit(TERMINATED) from None
    except (KeyboardInterrupt, SystemExit) as stop:  # Lightning turns Ctrl-C into an exit
        status = "interrupted"
        raise KeyboardInterrupt from stop
    finally:
        close_loggers(loggers, status)
    if outcome.facts:  # in the first process only
        console = Console(markup=False)
        console.print(table(outcome.results, title=f"{cfg.name} on {cfg.data.name}"))
        console.print(_in_words(outcome.facts), soft_wrap=True, highlight=False)
        console.print(str(run_dir), soft_wrap=True, highlight=False)
    return outcome.best


class _Outcome(NamedTuple):
    """Test scores and facts about the run (in the first process only), and the best positive IoU in validation."""

    results: Results
    facts: dict[str, float]
    best: float


def _prepare(cfg: DictConfig) -> tuple[EpisodicSegmentation, Episodes]:
    """Build the module and its data, and check both."""
    settings = evaluation_settings(cfg)
    check_known(cfg)
    network = build_network(cfg)
    if cfg.trainer.precision == "auto":  # before the config is saved, so that it records the choice
        device = device_of(cfg.trainer.accelerator)
        cfg.trainer.precision = lightning_precision(fastest(network.backbone, device, training=True))
    if cfg.start_from is not None:
        start_from(network, cfg.start_from)
    data = build_data(cfg)
    check_modes(network, list(data.weights))
    data.setup("fit")
    data.setup("test")
    modes = modes_to_test(network, data.source("test"), known_modes(cfg.evaluation.modes), settings)
    cache = None
    if cfg.feature_cache is not None:
        tested = default_test.jobs(cfg.evaluation, data.source("test"), "test", modes, Path(cfg.output_dir), {})
        cache = open_cache(cfg, network, data, [job.frozen for job in tested])
    module = EpisodicSegmentation(
        network,
        optimizer=instantiate(cfg.optimizer.optimizer),
        schedule=instantiate(cfg.optimizer.schedule),
        config=network_config(cfg),
        log_every=cfg.trainer.log_every_n_steps,
        cache=cache,
        loss=instantiate(cfg.loss),
        options=data.options,
        pretrained_lr=cfg.optimizer.pretrained_lr,
    )
    return module, data


def _run(
    cfg: DictConfig,
    module: EpisodicSegmentation,
    data: Episodes,
    loggers: list[Logger],
    run_dir: Path,
    resume: Path | None,
    began: float,
    here: dict[str, Any],
) -> _Outcome:
    clock, (best, last) = Clock(), checkpoints(run_dir)
    trainer = build_trainer(cfg, loggers, run_dir, clock, [best, last], data.steps_per_epoch)
    # the other processes go on from where this one does, with the precision that it measured
    same = f"ckpt_path={resume.absolute() if resume else 'null'}", f"trainer.precision={cfg.trainer.precision}"
    with job_processes(trainer, *same):
        log_config(loggers, OmegaConf.to_container(cfg, resolve=True), here)  # type: ignore[arg-type]
        with lost_workers():
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        content = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
        module.network = k_way(cfg.k_way, module.network)
        tested = _test(cfg, trainer, module, data.source("test"), run_dir, Path(best.best_model_path))
        assert best.best_model_score is not None
        validation = float(best.best_model_score)
        if tested is None:  # not the first process
            return _Outcome({}, {}, validation)
        jobs, results, pictures, update = tested
        facts = _facts(trainer, clock, began) | update | {"val_positive_iou": round(validation, 4)}
        for name, path in pictures.items():
            log_image(loggers, f"test/{name}", path, trainer.global_step)
        log_results(loggers, results, facts, trainer.global_step)
        _draw_learning(run_dir, loggers, trainer.global_step)
        # last, because it marks the run as complete
        write_json(run_dir / "metrics.json", {**results, "run": facts})
        for job in jobs:
            job.records.remove()
        return _Outcome(results, facts, validation)


def _test(
    cfg: DictConfig, trainer: Trainer, module: EpisodicSegmentation, source: Source, run_dir: Path, checkpoint: Path
) -> tuple[list[Job], Results, dict[str, Path], dict[str, float]] | None:
    """Test the network with all processes.

    The first process returns the jobs, the scores, the figures by name, and the times of an update; the others None.
    """
    device = trainer.strategy.root_device
    network = module.network.to(device).eval()
    modes = modes_to_test(network, source, known_modes(cfg.evaluation.modes), evaluation_settings(cfg))
    of = {
        "checkpoint_sha256": sha256(checkpoint),
        "data": OmegaConf.to_container(cfg.data, resolve=True),
        "k_way": cfg.k_way,
        "precision": cfg.trainer.precision,
    }
    limit = cfg.trainer.limit_test_batches
    jobs = default_test.jobs(cfg.evaluation, source, "test", modes, run_dir, of, 1.0 if limit is None else limit)
    setup = Setup(
        network,
        source,
        str(device),
        cfg.num_workers,
        max_broken=cfg.max_broken,
        encode=module.cache.encode if module.cache else None,
        progress=cfg.trainer.enable_progress_bar,
    )
    rank, world = rank_and_world()
    with trainer.precision_plugin.forward_context():
        update = update_times(network, timed_episode(source, jobs[0].protocol.plan).to(device))
        for job in jobs:
            run_share(rank, job, setup, world)
        trainer.strategy.barrier()
        if rank:
            return None
        answered = [(job, job.records.finish(len(job.frozen.episodes))) for job in jobs]
        results = default_test.results(answered)
        pictures = default_test.draw(answered, setup, results, run_dir / "figures")
    default_test.write_groups(answered, run_dir / "groups.csv")
    return jobs, results, pictures, update


def _check_trainer(cfg: DictConfig) -> None:
    """Build a bare trainer, in milliseconds, so that Lightning refuses bad settings before data are read."""
    check_accelerator(cfg.trainer.accelerator, "trainer.accelerator")
    bare: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    if cfg.trainer.precision == "auto":  # not a Lightning value; chosen later, for the network
        bare["precision"] = "32-true"
    check_in_slurm(cfg.trainer.get("plugins"))
    with lightning_refusals("trainer"):
        world = instantiate(cfg.trainer, **bare).world_size
    check_divides(cfg.data.training.batch_size, cfg.episode.turns, world)


def build_trainer(
    cfg: DictConfig, loggers: list[Logger], run_dir: Path, clock: Clock, checkpoints: list[ModelCheckpoint], epoch: int
) -> Trainer:
    """Build the trainer of a run, with its callbacks. ``epoch`` is the number of batches per epoch."""
    requeue = Requeue(run_dir / "checkpoints" / "last.ckpt")
    guards: list[Any] = [Resuming(run_dir, cfg.seed), BrokenFiles(cfg.max_broken), FiniteLoss(run_dir), requeue]
    callbacks: list[Any] = [*checkpoints, *guards]
    if cfg.trainer.enable_progress_bar:
        callbacks.append(RichProgressBar(leave=True))
    if loggers:
        pictures = EpisodePictures(run_dir / "figures" / "validation")
        callbacks += [LearningRateMonitor("step"), DataWait(clock, cfg.trainer.log_every_n_steps), pictures]
    with lightning_refusals("trainer"):
        return instantiate(
            cfg.trainer,
            logger=loggers,
            callbacks=callbacks,
            profiler=clock,
            plugins=[*instantiate(cfg.trainer.get("plugins") or []), WholeFiles()],
            default_root_dir=str(run_dir),
            max_epochs=cfg.trainer.max_steps // epoch,
            # Lightning would limit the batches of each process; the data do so for all together
            limit_val_batches=1.0 if cfg.trainer.limit_val_batches else 0,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=True,
        )


def _facts(trainer: Trainer, clock: Clock, began: float) -> dict[str, float]:
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "steps": trainer.global_step,
        "peak_memory_bytes": peak_memory(),
        "data_wait_share": round(clock.data_wait_share, 4),
    }


def _in_words(facts: dict[str, float]) -> str:
    return (
        f"{facts['steps']} steps; {facts['seconds']:.0f} s in all; {facts['data_wait_share']:.1%} of training spent "
        f"waiting for data; {facts['peak_memory_bytes'] / 1e9:.2f} GB at the peak"
    )


def _draw_learning(run_dir: Path, loggers: list[Logger], step: int) -> None:
    metrics = run_dir / "metrics.csv"
    for logger in loggers:
        logger.save()
    if metrics.exists() and (picture := learning_curve(metrics, run_dir / "figures" / "learning_curve.png")):
        log_image(loggers, "train/learning_curve", picture, step)
