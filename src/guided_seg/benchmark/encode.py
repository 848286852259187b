"""What encoding an image costs: the paper's trunk as it was shipped, and as sessions run it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from guided_seg.benchmark.models import REVOLVER_LITE, build
from guided_seg.benchmark.timing import Row, by_turns, convolution_peak, row
from guided_seg.model.network import Network


def rows(cfg: DictConfig) -> Iterator[Row]:
    """The figures of the encoder."""
    shipped, own = build(*REVOLVER_LITE), build(*REVOLVER_LITE, "backbone.border=false")
    image = torch.rand(1, 3, cfg.height, cfg.width)
    with torch.inference_mode():
        times = by_turns(
            {"shipped": lambda: _encode(shipped, image, False), "own": lambda: _encode(own, image, True)},
            max(3, cfg.rounds // 2),
        )
        peak = convolution_peak(torch.bfloat16)
    reached = operations(own, image) / times["own"]
    what = f"VGG-16 at {cfg.height} x {cfg.width}, bf16, no border; reference: fp32 with the original's border"
    yield row("encode_vgg16_ms", 1e3 * times["own"], "ms", what, 1e3 * times["shipped"])
    yield row("encode_vs_fp32", times["shipped"] / times["own"], "times", "how many times faster that is")
    of = f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s that a large bf16 convolution reaches here"
    yield row("encode_peak_share", reached / peak, "share", of)


def _encode(network: Network, image: torch.Tensor, bf16: bool) -> None:
    sizes = torch.tensor([image.shape[-2:]])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        network.encode(image, sizes)


def operations(network: Network, image: torch.Tensor) -> int:
    """Floating-point operations of the encoder on an image, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _encode(network, image, False)
    return int(counter.get_total_flops())
