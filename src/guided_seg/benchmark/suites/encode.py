"""Time to encode an image: the paper's original backbone, and the one in sessions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from guided_seg.benchmark.models import REVOLVER_LITE, build
from guided_seg.benchmark.timing import Row, Way, by_turns, convolution_peak, row
from guided_seg.model.network import Network
from guided_seg.predict.encoder import Encoder

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure the encoder."""
    shipped, own = build(*REVOLVER_LITE), build(*REVOLVER_LITE, "backbone.border=false")
    image = torch.rand(3, cfg.height, cfg.width)
    fast = Encoder(own, torch.device("cpu"), "auto")
    other = Encoder(own, torch.device("cpu"), "fp32" if fast.precision == "bf16" else "bf16")
    ways: dict[str, Way] = {
        "shipped": lambda: _encode(shipped, image),
        "own": lambda: fast(image[None]),
        "other": lambda: other(image[None]),
    }
    with torch.inference_mode():
        times = by_turns(ways, max(3, cfg.rounds // 2))
        peaks = {name: convolution_peak(TYPES[name]) for name in dict.fromkeys(("bf16", fast.precision))}
    reached = operations(own, image) / times["own"]
    what = f"VGG-16 at {cfg.height} x {cfg.width}, {fast.precision} (auto), no border"
    yield row(
        "encode_vgg16_ms",
        1e3 * times["own"],
        "ms",
        f"{what}; reference: fp32 with the original's border",
        1e3 * times["shipped"],
    )
    yield row("encode_vs_fp32", times["shipped"] / times["own"], "times", "speed-up of the row above")
    of = f"the same in {other.precision}; reference: the same"
    yield row("encode_other_precision_ms", 1e3 * times["other"], "ms", of, 1e3 * times["shipped"])
    for name, peak in peaks.items():
        of = f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s that a large {name} convolution reaches here"
        label = "encode_peak_share" if name == "bf16" else f"encode_{name}_peak_share"
        yield row(label, reached / peak, "share", of)


def _encode(network: Network, image: torch.Tensor) -> None:
    network.encode(image[None], torch.tensor([image.shape[-2:]]))


def operations(network: Network, image: torch.Tensor) -> int:
    """Floating-point operations of the encoder on an image, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _encode(network, image)
    return int(counter.get_total_flops())
