"""What a frozen backbone makes of images, kept on disk, so that training computes only what is trained."""

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
"""The setting that names the folder, for messages."""

_FORMAT = 1


class FeatureCache:
    """Encodes as a network does, but takes the maps of the frozen part from files where an image was encoded before.

    Only `Backbone.trunk` is kept, image by image; `Backbone.finish`, which is trained, is always computed. The file
    of an image is named by the checksum of its pixels, and its folder by that of the backbone, see `backbone_name`; so
    runs of other heads, seeds and data share what they can, and another backbone never reads what is not its own. Files
    are memory-mapped, and appear whole or not at all, so any number of processes may fill the same folder; one that
    is not whole is encoded again.

    Args:
        backbone: all of whose stages are frozen.
        folder: where the folders of backbones lie; made when the first image is kept.
        skips: whether the earlier maps are needed, and kept, as well.

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
        """As `Network.encode`. Raises `DataError` where the disk refuses a file."""
        return gather(self._maps, images, sizes, self.backbone.anchor)

    def bytes_of(self, size: tuple[int, int]) -> int:
        """The bytes that an image of this height and width takes; encodes a blank one, on the CPU."""
        return sum(level.nbytes for level in self._encoded(torch.zeros(3, *size)))

    def bytes_kept(self, precision: torch.dtype) -> int:
        """The bytes that the folder holds of this backbone, in one precision."""
        files = (self.folder / backbone_name(self.backbone, self.skips, precision)).glob("*.safetensors")
        return sum(path.stat().st_size for path in files)

    def _maps(self, images: Float[Tensor, "N 3 H W"]) -> list[Tensor]:
        levels = zip(*(self._levels(image) for image in images), strict=True)
        # channels last, as the backbone gives them, or what follows would be rounded in another way
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
        # one by one, so that what is kept does not depend on what else was in the batch
        with torch.no_grad():
            levels = self.backbone.trunk(image[None])
        if not self.skips:
            levels = levels[: len(levels) - len(self.backbone.skip_channels)]
        return [level[0].permute(1, 2, 0).contiguous().cpu() for level in levels]

    def _folder(self, image: Tensor) -> Path:
        kind = image.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else image.dtype
        if precision not in self._names:
            # when it is first needed: a resume has loaded the checkpoint's weights by then
            self._names[precision] = backbone_name(self.backbone, self.skips, precision)
        return self.folder / self._names[precision]


def backbone_name(backbone: Backbone, skips: bool, precision: torch.dtype) -> str:
    """Tells apart all that kept maps depend on but the image: the kind, its settings, and the bytes of the weights."""
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
