"""Score a checkpoint: the default test, or named protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from guided_seg.composition.build import check_modes, data_to_test, modes_to_test, requested_modes
from guided_seg.composition.build import settings as evaluation_settings
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.data.source import MODES, Source, check_objects
from guided_seg.data.sources.classes import as_split, unknown
from guided_seg.errors import DataError, UserError
from guided_seg.files.writing import sha256, whole_file, write_json
from guided_seg.model.network import Network
from guided_seg.model.precision import check_accelerator, chosen, device_of
from guided_seg.model.refine import refined
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.protocols import default_test
from guided_seg.protocols.curves import curve
from guided_seg.protocols.predictions import check_fresh, gather, keeper
from guided_seg.protocols.protocol import Keep, Protocol
from guided_seg.protocols.records import FORMAT, Records
from guided_seg.protocols.runner import Job, Setup, run
from guided_seg.protocols.scores import Scored, markdown, plain, scores, terminal
from guided_seg.release.load import checkpoint_file, load_network
from guided_seg.report.results import Results
from guided_seg.report.results import markdown as default_test_markdown
from guided_seg.report.results import table as default_test_table
from guided_seg.settings.preflight import check_settings
from guided_seg.settings.ranges import as_word


def score(cfg: DictConfig, out: Path) -> Results:
    """Score ``cfg.checkpoint`` by the default test, every mode at every (S, P).

    ``out`` receives ``evaluation.json``, ``evaluation.md``, ``groups.csv`` and figures. The same command with the same
    ``output_dir`` resumes an interrupted evaluation.

    Raises:
        UserError: the checkpoint, the data or the mode cannot be used.
    """
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it, for the whole process
    settings = evaluation_settings(cfg)
    model = _model(cfg)
    data = data_to_test(cfg, model.trained)
    source = instantiate(data.source)(split=as_split(cfg.split))
    wanted = requested_modes(cfg, data)
    if len(wanted) == 1:
        check_modes(model.network, wanted)
        source.require(wanted[0])
    modes = modes_to_test(model.network, source, wanted, settings)
    check_objects(source, source.modes, cfg.evaluation.objects, "evaluation.objects")
    of = {"data": OmegaConf.to_container(data, resolve=True), **_of(cfg, model)}
    jobs = default_test.jobs(cfg.evaluation, source, cfg.split, modes, out, of)
    for name in ("evaluation.json", "evaluation.md", "groups.csv"):
        (out / name).unlink(missing_ok=True)  # old scores must never be stored with a new config
    with whole_file(out / "config.yaml") as partial:
        OmegaConf.save(cfg, partial, resolve=True)
    setup = Setup(model.refined, source, str(model.device), cfg.num_workers, max_broken=cfg.max_broken)
    answered = list(run(jobs, setup, cfg.processes))
    results = default_test.results(answered)
    default_test.write_groups(answered, out / "groups.csv")
    (out / "evaluation.md").write_text(default_test_markdown(results), encoding="utf-8")
    default_test.draw(answered, setup, results, out / "figures")
    write_json(out / "evaluation.json", results)
    for job in jobs:
        job.records.remove()
    console = Console(markup=False)
    console.print(default_test_table(results, title=f"{cfg.checkpoint} on {data.name} ({cfg.split})"))
    console.print(str(out), soft_wrap=True, highlight=False)
    return results


class _Model(NamedTuple):
    """A network, the config of its training, the network with its test-time options, its file and its device."""

    network: Network
    trained: DictConfig
    refined: Network
    file: Path
    device: torch.device


def _model(cfg: DictConfig) -> _Model:
    """Load ``cfg.checkpoint``, and choose the precision."""
    check_accelerator(cfg.accelerator)
    device, file = device_of(cfg.accelerator), checkpoint_file(cfg.checkpoint)
    network, trained = load_network(file)
    network.precision = cfg.precision = chosen(cfg.precision, network.backbone, device)
    return _Model(network, trained, refined(k_way(cfg.k_way, network), **cfg.refine), file, device)


def _of(cfg: DictConfig, model: _Model) -> dict[str, Any]:
    """What the measurements of both kinds of evaluation depend on."""
    return {
        "checkpoint_sha256": sha256(model.file),
        "k_way": cfg.k_way,
        "refine": {key: value for key, value in cfg.refine.items() if value},
        **({} if cfg.precision == "fp32" else {"precision": cfg.precision}),
    }


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
    protocols = {str(name): build_protocol(cfg, str(name)) for name in cfg.protocol}
    model = _model(cfg)
    source = instantiate(data_to_test(cfg, model.trained).source)(split=cfg.split)
    frozen = {name: episodes_of(cfg, name, protocol, source) for name, protocol in protocols.items()}
    of = _of(cfg, model)
    records = {name: _records(cfg, name, of, frozen[name], out) for name in protocols}
    jobs = [Job(name, protocols[name], frozen[name], records[name]) for name in protocols]
    keep = _keeper(cfg, source, jobs, out / "predictions")
    setup = Setup(model.refined, source, str(model.device), cfg.num_workers, keep, cfg.max_broken)
    answered = run(jobs, setup, cfg.processes)
    with whole_file(out / "config.yaml") as partial:
        OmegaConf.save(cfg, partial, resolve=True)
    for name, episodes in frozen.items():
        episodes.write(out / f"episodes_{name}.json.gz")
    scored = {}
    for job, rows in answered:
        scored[job.name] = scores(job.protocol, job.frozen, rows, job.left_out())
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


def _records(cfg: DictConfig, name: str, of: Mapping[str, Any], frozen: FrozenEpisodes, out: Path) -> Records:
    """The records file of a protocol, identified by everything that the measurements depend on."""
    rule = OmegaConf.to_container(cfg.protocol[name], resolve=True)
    header = {"format": FORMAT, "protocol": name, "rule": rule, "episodes_sha256": frozen.checksum, **of}
    return Records(out / f"records_{name}.jsonl", header)


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
        return freeze(source, cfg.split, protocol.plan, progress=True, max_broken=cfg.max_broken)
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
