"""The session's encoder gives the network's features, sooner."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from support.networks import network
from support.processes import python
from torch import Tensor, nn

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import build_network
from guided_seg.errors import UserError
from guided_seg.machine.allocation import keep_freed_memory
from guided_seg.model.backbone import Backbone
from guided_seg.model.network import GuidedNetwork, Network
from guided_seg.model.precision import fastest
from guided_seg.predict.encoder import Encoder, folded, threads
from guided_seg.session import Session

CPU = torch.device("cpu")


def built(*overrides: str) -> Network:
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        torch.manual_seed(0)
        made = build_network(compose("config", ["+experiment=late_global", "decoder=skips", *overrides])).eval()
    for module in made.modules():  # statistics that do something
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return made


def norms(net: Network) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.backbone.modules())


@pytest.mark.parametrize(
    "overrides", [(), ("backbone=efficientnet_lite0", "backbone.weights=random")], ids=["small", "efficientnet_lite0"]
)
def test_features_are_those_of_the_network(overrides: tuple[str, ...]) -> None:
    net = built(*overrides)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.rand(2, 3, 70, 101)
    encoder = Encoder(net, CPU, "fp32")  # the default may round: where that is faster, it is bf16
    with torch.no_grad():
        wanted = net.encode(images, torch.tensor([[70, 101]] * 2))
    every = encoder(images)
    for number, found in enumerate(every):
        for one, other in zip((found, *found.skips), (wanted, *wanted.skips), strict=True):
            of = other[slice(number, number + 1)]
            torch.testing.assert_close(one.maps, of.maps, rtol=1e-3, atol=1e-4 * float(of.maps.abs().max()))
            torch.testing.assert_close(one.sizes, of.sizes)
    assert norms(folded(net)) < norms(net) / 2
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Backwards(Backbone):
    """Registers a convolution and the normalisation after it, and runs them the other way round."""

    def __init__(self) -> None:
        super().__init__(False, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.channels, self.stride = 64, 1
        self.conv, self.norm, self.last = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 64, 1)

    def stages(self) -> list[nn.Module]:
        return []

    def maps(self, images: Tensor) -> list[Tensor]:
        return [self.last(self.conv(self.norm(images)))]


def test_layers_that_run_in_another_order_are_not_folded() -> None:
    net = built("decoder=bilinear")
    net.backbone = Backwards().eval()
    net.backbone.norm.running_mean = torch.tensor([0.5, -1.0, 2.0])
    assert folded(net) is net


def test_a_network_without_normalisation_is_not_copied() -> None:
    net = built("backbone=vgg16_lite", "backbone.weights=random", "backbone.width=16")
    assert folded(net) is net


def test_precisions() -> None:
    net, image = network("late_global"), torch.rand(1, 3, 40, 40)
    assert Encoder(net, CPU, "auto").precision == fastest(net.backbone, CPU) in ("fp32", "bf16")
    (exact,), (rounded,) = Encoder(net, CPU, "fp32")(image), Encoder(net, CPU, "bf16")(image)
    assert rounded.maps.dtype == torch.float32
    assert 0 < float((exact.maps - rounded.maps).abs().max()) < 0.1 * float(exact.maps.abs().max())
    with pytest.raises(UserError, match=r"^precision=fp16: expected auto, fp32 or bf16\.$"):
        Encoder(net, CPU, "fp16")


COMPILED = """
import numpy as np
import torch
from support.networks import network
from guided_seg.session import Session

image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
scores = []
for compiled in (False, True):
    session = Session(network("late_global"), compiled=compiled)
    session.warm_up(40, 48)
    assert session.encodes == {}
    session.add_image("a", image)
    session.dot("a", 5, 7, session.add_label("it"))
    scores.append(session.segment("a", return_scores=True)[1])
    assert session.encodes == {"a": 1}
np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
assert torch._dynamo.config.recompile_limit >= 64
print("alike")
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
def test_compiled_gives_the_same(tmp_path: Path) -> None:
    # in a process of its own, since the compiler cannot read functions whose types are checked
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    # neither programs that only try the processor nor processes to compile in, which take a third of the time
    environment |= {"TORCHINDUCTOR_VEC_ISA_OK": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    assert python("-c", COMPILED, limit=300, **environment) == "alike\n"
    assert any(tmp_path.iterdir())


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match=r"compiled=True needs a C\+\+ compiler and none was found; install g\+\+"):
        Encoder(network("late_global"), CPU, compiled=True)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        _ = 1 // 0
    assert torch.get_num_threads() == before


def test_a_small_head_runs_on_one_thread_and_the_encoder_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(network("late_global"))
    predictor, used = session._predictor, []
    encode, score = predictor.encode, GuidedNetwork.score
    monkeypatch.setattr(predictor, "encode", lambda image: (used.append(torch.get_num_threads()), encode(image))[1])
    monkeypatch.setattr(GuidedNetwork, "score", lambda *given: (used.append(torch.get_num_threads()), score(*given))[1])
    rng = np.random.default_rng(0)
    for name in "ab":
        session.add_image(name, rng.integers(0, 256, (24, 24, 3), np.uint8))
    session.dot("b", 3, 3, session.add_label("it"))  # encoded while the answer of the other is computed
    with threads(2):
        session.segment("a")
        assert torch.get_num_threads() == 2
    assert used == [2, 2, 1, 1] or used == [2, 1, 2, 1]


def test_freed_memory_is_kept_on_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    class Library:
        works = 1

        def mallopt(self, *given: int) -> int:
            called.append(given)
            return self.works

    monkeypatch.setattr("guided_seg.machine.allocation.ctypes.CDLL", lambda _: Library())
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
    assert called == []
    monkeypatch.setattr(sys, "platform", "linux")
    keep_freed_memory()
    assert called == [(-3, 2**30), (-1, 2**31 - 1)]
    monkeypatch.setattr(Library, "works", 0)  # an older glibc, where the second setting alone would do harm
    keep_freed_memory()
    assert called[2:] == [(-3, 2**30)]
