"""Training from a feature cache: the same numbers, nothing encoded twice, nothing read that is not whole."""

from __future__ import annotations

import csv
import errno
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.filesize import decimal
from support.archives import davis_tree, noise_folder, voc_tree
from support.commands import TINY, VGG, compose_run, no_figures, scores, thin_vgg
from torch import Tensor

from guided_seg.composition.build import build_data, build_network
from guided_seg.episode import Batch
from guided_seg.errors import CompositionError, DataError, UserError
from guided_seg.model.network import Network
from guided_seg.training import feature_cache
from guided_seg.training.caching import open_cache
from guided_seg.training.feature_cache import FeatureCache, backbone_name
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.train import train

SIZES = ((45, 70), (64, 40), (45, 70))
FROZEN = ("backbone=vgg16_lite", *VGG, "backbone.frozen=true")
LITE = ("backbone=efficientnet_lite0", "backbone.weights=random", "backbone.width=16")


@pytest.fixture(autouse=True)
def thin() -> Iterator[None]:
    with thin_vgg():
        yield


def build(*overrides: str) -> Network:
    torch.manual_seed(0)
    return build_network(compose_run(*overrides)).train()


def images() -> tuple[Tensor, Tensor]:
    """Of several sizes, padded to one."""
    rng, found = torch.Generator().manual_seed(0), torch.zeros(len(SIZES), 3, 64, 70)
    for image, (height, width) in zip(found, SIZES, strict=True):
        image[:, :height, :width] = torch.rand(3, height, width, generator=rng)
    return found, torch.tensor(SIZES)


def cache_of(network: Network, folder: Path) -> FeatureCache:
    return FeatureCache(network.backbone, folder, network.decoder.uses_skips)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are written from here on; one for each image that is encoded."""
    found: list[Path] = []
    honest = feature_cache.save_file

    def save_file(levels: dict[str, Tensor], path: Path) -> None:
        found.append(path)
        honest(levels, path)

    monkeypatch.setattr(feature_cache, "save_file", save_file)
    return found


class TestEncoding:
    @pytest.mark.parametrize("decoder", ["bilinear", "skips"])
    @pytest.mark.parametrize("backbone", [FROZEN, (*FROZEN, "backbone.border=true"), LITE])
    def test_it_encodes_as_the_network_does(self, backbone: tuple[str, ...], decoder: str, tmp_path: Path) -> None:
        network = build(*backbone, f"decoder={decoder}")
        cache = cache_of(network, tmp_path)
        torch.manual_seed(1)  # of the dropout
        plain = network.encode(*images())
        for _ in range(2):  # as it is filled, and then as it is read
            torch.manual_seed(1)
            kept = cache.encode(*images())
            assert (kept.anchor, len(kept.skips)) == (plain.anchor, len(plain.skips))
            for ours, theirs in zip((kept, *kept.skips), (plain, *plain.skips), strict=True):
                assert torch.equal(ours.grids, theirs.grids)
                assert torch.equal(ours.sizes, theirs.sizes)
                # a convolution over one image may be summed in another order than over several
                torch.testing.assert_close(ours.maps, theirs.maps, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("backbone", [FROZEN, LITE])
    def test_what_is_trained_has_the_same_gradient(self, backbone: tuple[str, ...], tmp_path: Path) -> None:
        network = build(*backbone)
        trained = [weight for weight in network.backbone.parameters() if weight.requires_grad]
        found = []
        for encoder in (network, cache_of(network, tmp_path)):
            torch.manual_seed(1)
            found.append(torch.autograd.grad(encoder.encode(*images()).maps.square().sum(), trained))
        assert found[0]
        for plain, kept in zip(*found, strict=True):
            torch.testing.assert_close(kept, plain, rtol=1e-4, atol=1e-5)

    def test_an_image_is_encoded_once_whatever_stands_beside_it(self, tmp_path: Path, written: list[Path]) -> None:
        network, (padded, sizes) = build(*FROZEN).eval(), images()
        maps = cache_of(network, tmp_path).encode(padded, sizes).maps
        assert len(written) == len(files(tmp_path)) == 3
        height, width = SIZES[1]
        alone = cache_of(network, tmp_path).encode(padded[1:2, :, :height, :width], sizes[1:2])
        assert len(written) == 3
        rows_, columns = alone.grids[0].tolist()
        assert torch.equal(alone.maps[0], maps[1, :, :rows_, :columns])

    def test_half_precision_has_files_of_its_own_and_half_the_size(self, tmp_path: Path) -> None:
        network = build(*FROZEN).eval()
        cache_of(network, tmp_path / "32").encode(*images())
        with torch.autocast("cpu", torch.bfloat16):
            kept = cache_of(network, tmp_path / "16").encode(*images()).maps
            again = cache_of(network, tmp_path / "16").encode(*images()).maps
            torch.testing.assert_close(kept, network.encode(*images()).maps, rtol=2e-2, atol=1e-4)
        assert torch.equal(kept, again)
        full, half = (sum(path.stat().st_size for path in files(tmp_path / name)) for name in ("32", "16"))
        assert half == pytest.approx(full / 2, rel=0.1)

    @pytest.mark.parametrize("decoder", ["bilinear", "skips"])
    def test_its_size_is_known_before(self, decoder: str, tmp_path: Path) -> None:
        network = build(*FROZEN, f"decoder={decoder}")
        cache = cache_of(network, tmp_path)
        expected = sum(cache.bytes_of(size) for size in SIZES)
        assert files(tmp_path) == []
        assert cache.bytes_kept(torch.float32) == 0
        cache.encode(*images())
        assert cache.bytes_kept(torch.float32) == pytest.approx(expected, abs=3 * 400), "but for the heads of the files"


class TestNames:
    def test_other_frozen_weights_are_another_backbone_and_other_trained_ones_are_not(self) -> None:
        network = build(*FROZEN)
        before = backbone_name(network.backbone, False, torch.float32)
        with torch.no_grad():
            network.backbone.fc6.weight.add_(1)
        assert backbone_name(network.backbone, False, torch.float32) == before
        assert backbone_name(build(*FROZEN).backbone, False, torch.float32) == before
        with torch.no_grad():
            network.backbone.stages()[-1].bias[-1] += 1e-6
        assert backbone_name(network.backbone, False, torch.float32) != before

    def test_whatever_the_maps_depend_on_is_part_of_the_name(self) -> None:
        kinds = [FROZEN, (*FROZEN, "resolution=stride16"), (*FROZEN, "backbone.border=true")]
        kinds += [(*FROZEN, "backbone.normalization=caffe"), LITE, (*LITE, "backbone.levels=[2,4]")]
        options = list(product([False, True], [torch.float32, torch.bfloat16]))
        names = {backbone_name(build(*kind).backbone, *option) for kind in kinds for option in options}
        assert len(names) == len(kinds) * len(options)


class TestFiles:
    @pytest.mark.parametrize("length", [-1, 5, 0])
    @pytest.mark.parametrize("noise", [b"", b"?" * 99])
    def test_a_broken_file_is_mended(self, length: int, noise: bytes, tmp_path: Path, written: list[Path]) -> None:
        network = build(*FROZEN).eval()
        maps = cache_of(network, tmp_path).encode(*images()).maps
        whole = {path: path.read_bytes() for path in files(tmp_path)}
        broken = files(tmp_path)[0]
        broken.write_bytes(noise + broken.read_bytes()[:length])
        del written[:]
        assert torch.equal(cache_of(network, tmp_path).encode(*images()).maps, maps)
        assert len(written) == 1
        assert {path: path.read_bytes() for path in files(tmp_path)} == whole

    def test_two_processes_may_write_the_same_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second comes, writes all and reads it while the first is in the middle of each file."""
        network, honest = build(*FROZEN).eval(), feature_cache.save_file
        second, process = cache_of(network, tmp_path), 1
        monkeypatch.setattr("guided_seg.files.writing.os.getpid", lambda: process)
        expected = network.encode(*images()).maps

        def save_file(levels: dict[str, Tensor], path: Path) -> None:
            nonlocal process
            if process == 1:
                path.write_bytes(b"half")
                process = 2
                torch.testing.assert_close(second.encode(*images()).maps, expected)
                process = 1
            honest(levels, path)

        monkeypatch.setattr(feature_cache, "save_file", save_file)
        torch.testing.assert_close(cache_of(network, tmp_path).encode(*images()).maps, expected)
        assert len(files(tmp_path)) == 3

    def test_a_full_disk_ends_in_a_sentence_and_leaves_nothing_half_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def save_file(_: Any, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(feature_cache, "save_file", save_file)
        with pytest.raises(DataError, match="is full; free some space, or set feature_cache to another folder"):
            cache_of(build(*FROZEN), tmp_path).encode(*images())
        assert files(tmp_path) == []


# ---- whole runs ----


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Your own data: twelve images."""
    return noise_folder(tmp_path_factory.mktemp("own"), [f"{number:02d}" for number in range(12)])


@pytest.fixture
def at_work(own: Path, tmp_path: Path) -> Callable[..., Path]:
    """Runs a few steps of training and a test, on all images often enough, into a folder of this name."""

    def work(name: str, *overrides: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        tiny = [option for option in TINY if not option.startswith(("data.size", "backbone."))]
        root = () if "data=shapes" in overrides else (f"data.root={own}", "data.min_pixels=10")
        mine = ("data=folder", *root, "data.augment=null", "trainer.max_steps=4")
        options = (*tiny, *FROZEN, *mine, "data.training.validate_every=2", f"output_dir={folder}", *overrides)
        with no_figures():
            train(compose_run(*options), folder)
        return folder

    return work


Work = Callable[..., Path]
CROPS = "data.augment={_target_:guided_seg.data.sampling.transforms.Augment,size:48%s}"


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]


@pytest.mark.parametrize(
    "crops", [(), ("data.augment={_target_:guided_seg.data.sampling.transforms.Augment,size:48,variants:2}",)]
)
def test_a_run_gives_the_same_and_the_next_encodes_nothing(
    crops: tuple[str, ...], at_work: Work, tmp_path: Path, written: list[Path]
) -> None:
    plain = at_work("plain", *crops)
    assert written == []
    first = at_work("first", *crops, f"feature_cache={tmp_path}/cache")
    assert len(written) == len(files(tmp_path / "cache")) > 0
    del written[:]
    second = at_work("second", *crops, f"feature_cache={tmp_path}/cache")
    assert written == []
    assert losses(first) == losses(second) == pytest.approx(losses(plain), rel=1e-4)
    assert len(losses(plain)) == 4
    assert scores(first) == scores(second)
    for mode, settings in scores(plain).items():
        for setting, score in settings.items():
            assert scores(first)[mode][setting]["positive_iou"] == pytest.approx(score["positive_iou"], abs=0.01)


def test_a_resumed_run_goes_on_with_the_cache(at_work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without dropout, whose generator no checkpoint keeps
    cached = (f"feature_cache={tmp_path}/cache", "backbone.dropout=0")
    whole = at_work("whole", *cached)
    honest = EpisodicSegmentation.training_step

    def training_step(self: EpisodicSegmentation, batch: Batch, batch_idx: int) -> Tensor:
        if self.global_step == 2:
            raise RuntimeError("the machine went away")
        return honest(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(EpisodicSegmentation, "training_step", training_step)
        with pytest.raises(RuntimeError, match="went away"):
            at_work("resumed", *cached)
    assert losses(at_work("resumed", *cached, "ckpt_path=last")) == losses(whole)
    assert scores(tmp_path / "resumed") == scores(whole)


def test_its_size_is_announced(at_work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_work("run", f"feature_cache={tmp_path}/cache", "trainer.max_steps=20", "evaluation.episodes=null")
    at_work("again", f"feature_cache={tmp_path}/cache")
    sentences = re.findall(
        r"cache: up to (\d+) images, about ([\d.]+) (\w+) in all; (\S+ \w+) are there, .* free", capsys.readouterr().out
    )
    kept = files(tmp_path / "cache")
    assert [number for number, *_ in sentences] == ["12", "12"]
    assert len(kept) == 12
    assert [there for *_, there in sentences] == ["0 bytes", decimal(sum(path.stat().st_size for path in kept))]
    assert {unit for _, _, unit, _ in sentences} == {"kB"}
    assert float(sentences[0][1]) * 1000 == pytest.approx(sum(path.stat().st_size for path in kept), rel=0.1)


def test_the_crops_of_a_mixture_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voc_tree(tmp_path / "voc2012")
    davis_tree(tmp_path / "davis2016")
    parts = ("~data.sources.coco", "~data.sources.regions", "data.held_out=[]", "data.augment.variants=3")
    mixture = ("data=mixture", f"data.root={tmp_path}", *parts, "data.training.val_episodes=2", "num_workers=0")
    cfg = compose_run(*FROZEN, *mixture, f"feature_cache={tmp_path}/cache", "evaluation.episodes=2")
    data = build_data(cfg)
    data.setup("fit")
    open_cache(cfg, build_network(cfg), data, [])
    # three crops of twelve targets (VOC's four objects and four classes, two objects in two frames), and val's images
    assert "up to 40 images" in capsys.readouterr().out


TRAINED = r"keeps what a frozen backbone makes of images, but this one is trained; add backbone.frozen=true"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["backbone.frozen=false"], TRAINED),
        (["backbone.frozen=12"], TRAINED),
        (["fusion=early_stack"], r"fusion=early_stack and early_mask encode images together .*; choose fusion=late"),
        (["baseline=fine_tune"], "baseline=fine_tune trains on it; choose fusion=late and another baseline"),
        ([CROPS % ""],
         r"each augmented crop is a new image; choose data.augment=null, .* data.augment.variants=8"),
        (["data=shapes"], "data=shapes generates new ones without end; choose other data"),
    ],
)  # fmt: skip
def test_what_it_cannot_keep_is_refused(overrides: list[str], sentence: str, at_work: Work, tmp_path: Path) -> None:
    with pytest.raises(CompositionError, match=sentence):
        at_work("run", f"feature_cache={tmp_path}/cache", *overrides)
    assert files(tmp_path) == []
    assert not (tmp_path / "cache").exists()


def test_a_disk_that_is_too_small_is_refused_with_both_figures(
    at_work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("guided_seg.files.disk.shutil.disk_usage", lambda _: usage._replace(free=1000))
    expected = (
        r"cache has 1.0 kB free, but [\d.]+ kB are needed; free some space, or set feature_cache to another folder"
    )
    with pytest.raises(DataError, match=expected):
        at_work("run", f"feature_cache={tmp_path}/cache")
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused(at_work: Work, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"The feature cache .*taken/here cannot be made, as .*taken is not a folder"):
        at_work("run", f"feature_cache={tmp_path}/taken/here")
    assert files(tmp_path) == [tmp_path / "taken"]
