"""Score a checkpoint under named protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from guided_seg.composition.build import data_to_test
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.data.source import MODES, Source
from guided_seg.data.sources.classes import unknown
from guided_seg.errors import DataError, UserError
from guided_seg.files.writing import sha256
from guided_seg.model.precision import check_accelerator, chosen, device_of
from guided_seg.model.refine import refined
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.protocols.curves import curve
from guided_seg.protocols.predictions import check_fresh, gather, keeper
from guided_seg.protocols.protocol import Keep, Protocol
from guided_seg.protocols.records import Records
from guided_seg.protocols.runner import Asked, Job, run
from guided_seg.protocols.scores import Scored, markdown, plain, scores, terminal
from guided_seg.release.load import checkpoint_file, load_network
from guided_seg.report.results import write_json
from guided_seg.settings.preflight import check_settings
from guided_seg.settings.ranges import as_word


def score_protocols(cfg: DictConfig, out: Path) -> dict[str, Scored]:
    """Score ``cfg.checkpoint`` under each protocol of ``cfg.protocol``.

    ``out`` receives the frozen episodes (``episodes_NAME.json.gz``) and the measurements of each episode
    (``records_NAME.jsonl``) of each protocol, ``protocols.json`` and ``protocols.md`` of all, and a plot of each
    protocol with several budgets (``figures/NAME.png``). The same command with the same ``output_dir`` resumes an
    interrupted evaluation.

    Raises:
        UserError: the checkpoint, the data, a protocol or a file of frozen episodes cannot be used.
    """
    if cfg.get("mode"):
        raise UserError("mode=... is for evaluation without a protocol; set 'protocol.NAME.modes=[...]' instead.")
    check_settings(cfg)
    check_accelerator(cfg.accelerator)
    device = device_of(cfg.accelerator)
    protocols = {str(name): build_protocol(cfg, str(name)) for name in cfg.protocol}
    checkpoint = checkpoint_file(cfg.checkpoint)
    network, trained = load_network(checkpoint)
    network.precision = cfg.precision = chosen(cfg.precision, network.backbone, device)
    network = refined(k_way(cfg.k_way, network), **cfg.refine)
    source = instantiate(data_to_test(cfg, trained).source)(split=cfg.split)
    frozen = {name: episodes_of(cfg, name, protocol, source) for name, protocol in protocols.items()}
    records = {name: _records(cfg, name, sha256(checkpoint), frozen[name], out) for name in protocols}
    jobs = [Job(name, protocols[name], frozen[name], records[name]) for name in protocols]
    keep = _keeper(cfg, source, jobs, out / "predictions")
    answered = run(jobs, Asked(network, source, str(device), cfg.num_workers, keep), cfg.processes)
    OmegaConf.save(cfg, out / "config.yaml", resolve=True)
    for name, episodes in frozen.items():
        episodes.write(out / f"episodes_{name}.json.gz")
    scored = {}
    for job, rows in answered:
        scored[job.name] = scores(job.protocol, job.frozen, rows)
        # write after each protocol, so that a later failure loses nothing
        _write(scored, out)
        curve(scored[job.name], out / "figures" / f"{job.name}.png")
    gather(out / "predictions")
    console = Console(markup=False)
    # a log or a pipe reports a width of 80 columns, too narrow for the table
    Console(width=console.width if console.is_terminal else 120, markup=False).print(
        terminal(scored, f"{cfg.checkpoint} on {source.name} ({cfg.split})")
    )
    console.print(str(out), soft_wrap=True, highlight=False)
    return scored


def _keeper(cfg: DictConfig, source: Source, jobs: Sequence[Job], folder: Path) -> Callable[[str], Keep] | None:
    """The writer of predictions, if requested. Several processes would write to the same files, so they are refused."""
    if not cfg.save_predictions:
        return None
    if cfg.processes > 1:
        raise UserError("save_predictions=true takes one process, since episodes share images; set processes=1.")
    check_fresh(folder, going_on=any(job.records.read() for job in jobs))
    return keeper(folder, source)


def _records(cfg: DictConfig, name: str, checkpoint: str, frozen: FrozenEpisodes, out: Path) -> Records:
    """The records file of a protocol, identified by everything that the measurements depend on."""
    of = {
        "protocol": name,
        "rule": OmegaConf.to_container(cfg.protocol[name], resolve=True),
        "checkpoint_sha256": checkpoint,
        "episodes_sha256": frozen.checksum,
        "k_way": cfg.k_way,
        "refine": {key: value for key, value in cfg.refine.items() if value},
        **({} if cfg.precision == "fp32" else {"precision": cfg.precision}),
    }
    return Records(out / f"records_{name}.jsonl", of)


def build_protocol(cfg: DictConfig, name: str) -> Protocol:
    """Build the protocol of that name. Raises `DataError` if one of its values is invalid."""
    values: dict[str, Any] = OmegaConf.to_container(cfg.protocol[name], resolve=True)  # type: ignore[assignment]
    try:
        _check_arguments(name, values)
        protocol: Protocol = instantiate(values, _convert_="all")
    except UserError as error:
        raise DataError(f"protocol.{name}: {error}") from error
    except Exception as error:
        # a TypeError means that a plugin's setting should have been a number or a list
        if isinstance(error.__cause__, UserError | TypeError):
            raise DataError(f"protocol.{name}: {error.__cause__}") from error
        raise
    return protocol


def _located(target: str) -> Any:
    """Import ``target``; None if that fails. Hydra's own function would log the failure as well."""
    try:
        return locate(target)
    except ErrorDuringImport:
        return None


def _check_arguments(name: str, values: Mapping[str, Any]) -> None:
    """Refuse a class that is no protocol, and settings that it does not have or that it lacks."""
    target = values.get("_target_")
    kind = _located(str(target))
    if not (isinstance(kind, type) and issubclass(kind, Protocol)):
        raise UserError(
            f"_target_={as_word(target)} is no protocol that can be imported; leave _target_ as it is, or name a class "
            f"derived from {Protocol.__module__}.Protocol."
        )
    known = signature(kind).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for key in values:
        if not key.startswith("_") and key not in known:
            raise unknown("setting", key, known)
    for key, parameter in known.items():
        if parameter.default is Parameter.empty and key not in values:
            raise UserError(f"{key} is missing; give it a value with +protocol.{name}.{key}=...")


def episodes_of(cfg: DictConfig, name: str, protocol: Protocol, source: Source) -> FrozenEpisodes:
    """The frozen episodes of a protocol: those of ``cfg.episodes``, or newly frozen.

    A resumed evaluation freezes them again, to detect changes of the data or the rule.

    Raises:
        DataError: the file is for other data or another rule, or the data has no such tasks.
    """
    if not cfg.get("episodes"):
        return freeze(source, cfg.split, protocol.plan, progress=True)
    frozen = FrozenEpisodes.read(episode_file(Path(cfg.episodes), name))
    _check_fits(frozen, name, protocol, source, cfg.split)
    return frozen


def episode_file(path: Path, name: str) -> Path:
    """The path itself, or the file of a protocol if the path is a folder."""
    return path / f"{name}.json.gz" if path.is_dir() else path


def _check_fits(frozen: FrozenEpisodes, name: str, protocol: Protocol, source: Source, split: str) -> None:
    if (frozen.source, frozen.split) != (source.name, split):
        raise DataError(
            f"The frozen episodes of {name} are of {frozen.source} {frozen.split}, but the data is {source.name} "
            f"{split}; give data={frozen.source} and split={frozen.split}, or other episodes."
        )
    plan = protocol.plan
    modes = frozen.rule.get("modes")
    if not isinstance(modes, list) or not set(map(str, modes)) <= set(MODES):
        raise DataError(f"The frozen episodes of {name} do not say their modes; freeze them again.")
    if not set(modes) <= set(plan.modes):
        raise DataError(
            f"The frozen episodes of {name} are {' and '.join(modes)} tasks, but the protocol is of "
            f"{' and '.join(plan.modes)} tasks; give it episodes that were frozen for it."
        )
    asked = {"shots": plan.shots, "points": plan.points, "objects": plan.objects}
    for key, wanted in asked.items():
        found = frozen.rule.get(key)
        if type(found) is not int:
            raise DataError(f"The frozen episodes of {name} do not say their {key}; freeze them again.")
        if found < wanted or (key == "objects" and found != wanted):
            raise DataError(
                f"The frozen episodes of {name} have {key}={found} but the protocol asks for {wanted}; ask for what "
                "they have, or freeze others."
            )


def _write(scored: Mapping[str, Scored], out: Path) -> None:
    write_json(out / "protocols.json", plain(scored))
    (out / "protocols.md").write_text(markdown(scored), encoding="utf-8")
