"""Weights & Biases, so that it never asks, never stops a run and keeps its files in the run folder."""

from __future__ import annotations

import logging
import netrc
import os
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)


@rank_zero_only
def wandb_logger(
    save_dir: str | os.PathLike[str],
    project: str = "guided_seg",
    name: str | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
    **options: Any,
) -> WandbLogger | None:
    """A logger whose W&B run has started; None where W&B is off or cannot start, and on all ranks but 0.

    Args:
        save_dir: the run folder; the files go into its ``wandb/``.
        project: the W&B project.
        name: the run's name; by default the last two parts of the run folder.
        mode: ``auto`` is online with a key and a network, else offline; ``WANDB_MODE`` goes before it.
        options: passed on to ``wandb.init``, such as ``entity``, ``group`` or ``tags``.
    """
    name = name or "/".join(Path(save_dir).resolve().parts[-2:])
    chosen, reason = _choose(os.environ.get("WANDB_MODE") or mode)
    if chosen == "disabled":
        return None
    run, reason = _start_softly(chosen, reason, dir=str(save_dir), project=project, name=name, **options)
    if run is None:
        return None
    if reason:
        _tell_how_to_sync(run, reason)
    return WandbLogger(experiment=run, name=name, save_dir=str(save_dir), project=project)


def _choose(mode: str) -> tuple[str, str]:
    """The mode (online, offline, disabled) and why it is offline; online without a key would ask for one."""
    if mode not in ("auto", "online"):
        return ("disabled", "") if mode == "disabled" else ("offline", "offline was asked for")
    address = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    host = urlsplit(address).hostname or ""
    if not _has_key(host):
        return "offline", "there is no API key"
    return ("online", "") if _reachable(address) else ("offline", f"{host} cannot be reached")


def _has_key(host: str) -> bool:
    """Whether the environment or the netrc file has one; the key itself is left to W&B."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    files = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    path = next((p for p in (Path(f).expanduser() for f in files if f) if p.is_file()), None)
    try:
        return path is not None and netrc.netrc(path).authenticators(host) is not None
    except (netrc.NetrcParseError, OSError):
        return False


def _reachable(address: str, timeout: float = 2.0) -> bool:
    """Whether the server, or the proxy on the way to it, takes a connection."""
    url = urlsplit(address)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname, port), timeout).close()
    except OSError:
        return False
    return True


def _start_softly(mode: str, reason: str, **options: Any) -> tuple[Run | None, str]:
    """The run, and why it is offline; an online run that fails becomes offline, an offline one no run."""
    problem = ""
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            run = _start(attempt, **options)
            return run, f"it could not start online ({problem})" if problem else reason
        except Exception as error:  # noqa: BLE001 - a logging service must never stop a training run
            problem = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.warning("W&B could not start (%s); the run goes on without it.", problem)
    return None, ""


def _start(mode: str, **options: Any) -> Run:
    import wandb

    Path(options["dir"]).mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(silent=True, console="off", init_timeout=20)
    # create_new: the runs of a sweep in one process must not flow into each other
    run = wandb.init(mode=mode, reinit="create_new", settings=settings, **options)  # type: ignore[arg-type]
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def _tell_how_to_sync(run: Run, reason: str) -> None:
    folder, here = Path(run.settings.sync_dir), Path.cwd()
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    message = f"W&B records offline ({reason}); to upload it later: wandb sync {shlex.quote(str(folder))}"
    Console(stderr=True).print(message, soft_wrap=True, markup=False, highlight=False)
