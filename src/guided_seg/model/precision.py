"""Choose the faster precision, fp32 or bf16, by a measurement cached per network and machine."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from guided_seg.errors import UserError
from guided_seg.files.writing import user_cache, whole_file
from guided_seg.model.backbone import Backbone
from guided_seg.model.features import laid_out

Exact = Literal["fp32", "bf16"]
Precision = Literal["auto", "fp32", "bf16"]

SIDE, ROUNDS = 192, 3
"""Side of the image used to measure, in pixels, and passes per precision after the first."""

HOPELESS = 5
"""Stop measuring if bf16 is this many times slower in the first round. It can be 17 times slower."""

MARGIN = 1.1
"""Speedup that bf16 needs to be chosen: less is not worth its rounding errors, and may be noise."""

FORMAT = 1
"""Version of the cache entries; raise it when the measurement changes."""


def chosen(precision: str, backbone: Backbone, device: torch.device, training: bool = False) -> Exact:
    """Resolve a precision setting; ``auto`` becomes the `fastest`.

    Raises:
        UserError: the setting is not ``auto``, ``fp32`` or ``bf16``.
    """
    if precision not in get_args(Precision):
        raise UserError(f"precision={precision}: expected {', '.join(get_args(Precision)[:-1])} or bf16.")
    return fastest(backbone, device, training) if precision == "auto" else precision  # type: ignore[return-value]


def fastest(backbone: Backbone, device: torch.device, training: bool = False) -> Exact:
    """The fastest precision of a backbone on this machine.

    On a GPU it is bf16 if the GPU supports it. On a CPU it is measured with a few passes over a small image. The result
    is cached in the user's cache directory per backbone, CPU, number of threads and version of torch.

    Args:
        backbone: a backbone on ``device``; it is not modified.
        device: device of the backbone.
        training: measure forward and backward passes instead of forward passes.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    of = {
        "format": FORMAT,
        "processor": processor(),
        "abilities": _abilities(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "backbone": f"{type(backbone).__name__}-{_digest(repr(backbone))}",
        "training": training,
    }
    seconds = _read(of)
    if seconds is None:
        seconds = measured(backbone, training)
        _keep(of, seconds)
    return "bf16" if MARGIN * seconds["bf16"] <= seconds["fp32"] else "fp32"


def measured(backbone: Backbone, training: bool) -> dict[str, float]:
    """Seconds per image in each precision: the minimum of a few passes, since other processes may disturb some."""

    def encode() -> None:
        maps = own.finish(own.maps(images))
        if training and maps[0].requires_grad:
            maps[0].float().mean().backward()  # type: ignore[no-untyped-call]

    taken: dict[str, list[float]] = {"fp32": [], "bf16": []}
    with torch.inference_mode(False), torch.set_grad_enabled(training), torch.random.fork_rng(devices=[]):
        own, images = deepcopy(backbone).train(training), laid_out(torch.rand(1, 3, SIDE, SIDE))
        for turn in range(ROUNDS + 1):
            for name, times in taken.items():
                with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
                    times.append(timed(encode))
            if turn == 0 and taken["bf16"][0] > HOPELESS * taken["fp32"][0]:
                break
    return {name: min(times) for name, times in taken.items()}


def timed(way: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def lightning_precision(precision: Exact) -> str:
    """The ``precision`` argument of Lightning's Trainer."""
    return {"fp32": "32-true", "bf16": "bf16-mixed"}[precision]


def device_of(accelerator: str) -> torch.device:
    """The device that Lightning uses for its setting ``accelerator``; the CPU if Lightning will reject the setting."""
    there = (name for name in _gpus(accelerator) if _GPUS[name].is_available())
    return torch.device(next(there, "cpu"))


def check_accelerator(accelerator: str, key: str = "accelerator") -> None:
    """Raise `UserError` if the setting ``key`` requires a GPU that this machine does not have."""
    if accelerator != "auto" and _gpus(accelerator) and device_of(accelerator).type == "cpu":
        raise UserError(
            f"{key}={accelerator}: PyTorch {torch.__version__} finds no such device on this machine; take {key}=cpu, "
            f"or {key}=auto, which uses a GPU where there is one. If there is one, check its driver and that PyTorch "
            "was installed for it."
        )


_GPUS: dict[str, Any] = {"cuda": torch.cuda, "mps": torch.backends.mps}


def _gpus(accelerator: str) -> list[str]:
    """The GPU backends that a setting allows, best first."""
    return list(_GPUS) if accelerator in ("auto", "gpu") else [name for name in _GPUS if name == accelerator]


def processor() -> str:
    """The name of the CPU."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _abilities() -> str:
    """The CPU's instruction sets, since one name can stand for several CPUs, above all in a cloud."""
    return f"{torch.backends.cpu.get_cpu_capability()}-{_digest(_cpuinfo('flags'))}"


def _cpuinfo(key: str) -> str:
    """An entry of the first CPU in Linux's /proc/cpuinfo; empty if there is none."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return ""


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _place(of: dict[str, Any]) -> Path:
    return user_cache() / f"precision-{_digest(json.dumps(of, sort_keys=True))}.json"


def _read(of: dict[str, Any]) -> dict[str, float] | None:
    """The cached measurement; None if there is none, or the file is damaged."""
    try:
        content = json.loads(_place(of).read_text(encoding="utf-8"))
        seconds = {name: content["seconds"][name] for name in get_args(Exact)}
        right = content["of"] == of and all(type(each) is float and 0 < each < 1e6 for each in seconds.values())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return seconds if right else None


def _keep(of: dict[str, Any], seconds: dict[str, float]) -> None:
    # if the cache is not writable, each call measures again
    with suppress(OSError), whole_file(_place(of)) as path:
        path.write_text(json.dumps({"of": of, "seconds": seconds}, indent=2), encoding="utf-8")
