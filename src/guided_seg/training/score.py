"""Evaluate a checkpoint on any source, without a protocol."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import RichProgressBar
from rich.console import Console

from guided_seg.composition.build import build_test_data, check_modes, data_to_test, known_modes, modes_to_test
from guided_seg.composition.build import settings as evaluation_settings
from guided_seg.model.precision import check_accelerator, chosen, device_of
from guided_seg.model.refine import refined
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.release.load import load_network
from guided_seg.report.results import Results, markdown, table, write_json
from guided_seg.training.callbacks import BrokenFiles
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.testing import draw, lightning_refusals, quiet_lightning, score_modes, write_groups


def score(cfg: DictConfig, out: Path) -> Results:
    """Test ``cfg.checkpoint`` and write evaluation.json, the table and the figures.

    Args:
        cfg: the composed config of ``guided_seg.evaluate``.
        out: the output folder.

    Raises:
        UserError: the checkpoint, the data or the mode cannot be used.
    """
    quiet_lightning()
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it, for the whole process
    settings = evaluation_settings(cfg)
    check_accelerator(cfg.accelerator)
    network, trained = load_network(cfg.checkpoint)
    network.precision = cfg.precision = chosen(cfg.precision, network.backbone, device_of(cfg.accelerator))
    data_cfg = data_to_test(cfg, trained)
    data = build_test_data(cfg, data_cfg)
    wanted = list(data.requested) if cfg.get("mode") else known_modes(cfg.evaluation.modes)
    if len(wanted) == 1:
        check_modes(network, wanted)
        data.source(cfg.split).require(wanted[0])
    modes = modes_to_test(network, data, wanted, settings)
    asked = refined(k_way(cfg.k_way, network), **cfg.refine)
    module = EpisodicSegmentation(asked, settings=settings, dot_seed=cfg.evaluation.seed)
    trainer = _trainer(cfg.accelerator, cfg.max_broken)
    for name in ("evaluation.json", "evaluation.md", "groups.csv"):
        (out / name).unlink(missing_ok=True)  # old scores must never be stored with a new config
    OmegaConf.save(cfg, out / "config.yaml", resolve=True)
    results, collector = score_modes(trainer, module, data, modes)
    write_json(out / "evaluation.json", results)
    write_groups(module.results_by_group(), out / "groups.csv")
    (out / "evaluation.md").write_text(markdown(results), encoding="utf-8")
    draw(results, collector, out / "figures", [], 0)
    console = Console(markup=False)
    console.print(table(results, title=f"{cfg.checkpoint} on {data_cfg.name} ({cfg.split})"))
    console.print(str(out), soft_wrap=True, highlight=False)
    return results


def _trainer(accelerator: str, max_broken: float) -> Trainer:
    with lightning_refusals(f"accelerator={accelerator}"):
        return Trainer(
            accelerator=accelerator,
            devices=1,
            logger=False,
            callbacks=[RichProgressBar(), BrokenFiles(max_broken)],
            enable_checkpointing=False,
        )
