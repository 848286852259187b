"""Cache the features of a frozen backbone on disk, so that training computes only the trained part."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from guided_seg.files.disk import disk_refusals
from guided_seg.files.writing import whole_file
from guided_seg.model.backbone import Backbone
from guided_seg.model.features import Features
from guided_seg.model.network import gather

SETTING = "feature_cache"
"""The name of the setting, for messages."""

_FORMAT = 1


class FeatureCache:
    """An encoder that reads the feature maps of the frozen backbone from files, if the image was encoded before.

    Only `Backbone.trunk` is cached, per image. `Backbone.finish`, which is trained, is always computed. The file name
    is the checksum of the image's pixels, and the folder name that of the backbone, see `backbone_name`. So runs with
    other heads, seeds and data share files, and no backbone reads those of another. Files are memory-mapped and written
    atomically, so any number of processes may fill the same folder. Damaged files are encoded again.

    Args:
        backbone: a backbone with all stages frozen.
        folder: parent of the backbones' folders; created with the first file.
        skips: also cache the earlier maps, for skip connections.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from guided_seg.model.backbones.vgg import Vgg16
        >>> images, sizes = torch.rand(2, 3, 32, 32), torch.tensor([[32, 32], [32, 32]])
        >>> with TemporaryDirectory() as folder:
        ...     cache = FeatureCache(Vgg16(8, "random", frozen=True), Path(folder), skips=False)
        ...     maps = cache.encode(images, sizes).maps
        ...     len(list(Path(folder).rglob("*.safetensors")))
        2
    """

    def __init__(self, backbone: Backbone, folder: Path, skips: bool) -> None:
        self.backbone, self.folder, self.skips = backbone, folder, skips
        self._names: dict[torch.dtype, str] = {}

    def encode(self, images: Float[Tensor, "N 3 H W"], sizes: Int[Tensor, "N 2"]) -> Features:
        """See `Network.encode`. Raises `DataError` if a file cannot be read or written."""
        return gather(self._maps, images, sizes, self.backbone.anchor)

    def bytes_of(self, size: tuple[int, int]) -> int:
        """Bytes per image of this height and width. Encodes a blank image on the CPU."""
        return sum(level.nbytes for level in self._encoded(torch.zeros(3, *size)))

    def bytes_kept(self, precision: torch.dtype) -> int:
        """Bytes on disk for this backbone in one precision."""
        files = (self.folder / backbone_name(self.backbone, self.skips, precision)).glob("*.safetensors")
        return sum(path.stat().st_size for path in files)

    def _maps(self, images: Float[Tensor, "N 3 H W"]) -> list[Tensor]:
        levels = zip(*(self._levels(image) for image in images), strict=True)
        # channels last, as the backbone returns them; otherwise later layers round differently
        return self.backbone.finish([torch.stack(level).to(images.device).permute(0, 3, 1, 2) for level in levels])

    def _levels(self, image: Float[Tensor, "3 H W"]) -> list[Float[Tensor, "h w C"]]:
        path = self._folder(image) / f"{_checksum(image)}.safetensors"
        with disk_refusals(self.folder, SETTING):
            try:
                kept = load_file(path)
            except (FileNotFoundError, SafetensorError):
                levels = self._encoded(image)
                with whole_file(path) as partial:
                    save_file({str(number): level for number, level in enumerate(levels)}, partial)
                return levels
        return [kept[str(number)] for number in range(len(kept))]

    def _encoded(self, image: Float[Tensor, "3 H W"]) -> list[Float[Tensor, "h w C"]]:
        # image by image, so that features do not depend on the rest of the batch
        with torch.no_grad():
            levels = self.backbone.trunk(image[None])
        if not self.skips:
            levels = levels[: len(levels) - len(self.backbone.skip_channels)]
        return [level[0].permute(1, 2, 0).contiguous().cpu() for level in levels]

    def _folder(self, image: Tensor) -> Path:
        kind = image.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else image.dtype
        if precision not in self._names:
            # not before the first image: a resume has loaded the checkpoint's weights by then
            self._names[precision] = backbone_name(self.backbone, self.skips, precision)
        return self.folder / self._names[precision]


def backbone_name(backbone: Backbone, skips: bool, precision: torch.dtype) -> str:
    """An identifier of everything that cached maps depend on except the image: class, settings and weights."""
    settings = (_FORMAT, backbone.stride, backbone.border, backbone.skip_channels if skips else None)
    scale = (backbone.longest, backbone.enlarge)
    digest = hashlib.sha256(f"{settings} {scale} {backbone}".encode())
    weights = [tensor for stage in backbone.stages() for tensor in stage.state_dict().values()]
    for tensor in (backbone.mean, backbone.std, *weights):
        digest.update(_bytes(tensor))
    return f"{type(backbone).__name__}-{str(precision).removeprefix('torch.')}-{digest.hexdigest()[:16]}"


def _checksum(image: Float[Tensor, "3 H W"]) -> str:
    return hashlib.sha256(f"{tuple(image.shape)}".encode() + _bytes(image)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
