"""Conditioning f: compare a query's features with the guidance (paper, section 4.2; concepts, rule 5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.guide.guide import Guidance

Needs = Literal["any", "global", "local", "set"]
"""Form of z that a conditioning reads: any; a vector per label; a vector per position; all annotated features."""

Metric = Literal["euclidean", "cosine"]


class Conditioning(nn.Module, ABC):
    """Compute maps of each label on the query's feature grid, in two steps (concepts, rule 5).

    `prepare` depends only on the query and runs once per image. `compare` adds the guidance and runs for every new dot.
    Each label gets E maps, which a decoder scores. Most conditionings have E = 1, the score itself.

    Attributes:
        needs: the form of guidance that it reads.
        reads_query: whether it reads the features of the query; if not, these are never computed.
        per_label: whether it needs a z for each label.
        separable: whether the maps of a label depend only on its own z; sessions then recompute only edited labels.
        memory: whether it reads the previous prediction, see `Guidance.previous`.
        maps: E.
        floor: applied last, to all K labels; see `Floor`.
    """

    needs: Needs = "any"
    reads_query = True
    per_label = True
    separable: bool = False
    memory = False
    maps = 1

    def __init__(self) -> None:
        super().__init__()
        self.floor: nn.Module = nn.Identity()

    def prepare(self, query: Float[Tensor, "B C h w"]) -> tuple[Tensor, ...]:
        """Compute what depends only on the query; by default its features."""
        return (query,)

    @abstractmethod
    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K E h w"]:
        """E maps of each label, without the floor. If `separable`, the guidance may hold only some of the labels."""

    def forward(self, query: Float[Tensor, "B C h w"], guidance: Guidance) -> Float[Tensor, "B K E h w"]:
        """Apply both steps and the floor."""
        return self.floor(self.compare(self.prepare(query), guidance))


class FeatureFusion(Conditioning):
    """score_k = w · relu(W [F̄ ; z_k] + b), a learned metric between the query and each label's guidance.

    W [F̄ ; z] = W_q F̄ + W_z z, so the query's part is computed once per image, and a new dot costs a small product.

    Args:
        channels: C of features and guidance.
        hidden: rows of W; 2C by default, as in the original.
        scorer: ``shared`` scores each label with the same w, so K may vary; ``joint`` reads all labels at once,
            W [F̄ ; z_0 ; ... ; z_K-1], and K is fixed by training.
        num_labels: K of a joint scorer.
        guides: number of z that a joint scorer reads: K, or one if the fusion is joint.
        matching: add τ cos(F̄, z_k) to each score. Without it, training from scratch is slow.
        floor: see `Floor`.
        context: number of 3 x 3 convolutions with growing dilation between relu and w. They spread local guidance to
            the cells around a dot. 0 is the paper's 1 x 1 scorer.
        dropout: spatial dropout after relu.
        init: ``default``, or ``original``: W from N(0, 0.001) and w = 0, as in the original.

    Raises:
        UserError: ``scorer`` or ``init`` is unknown.
    """

    def __init__(
        self,
        channels: int,
        hidden: int | None = None,
        scorer: Literal["shared", "joint"] = "shared",
        num_labels: int = 2,
        guides: int | None = None,
        matching: bool = True,
        floor: bool = True,
        context: int = 0,
        dropout: float = 0.0,
        init: Literal["default", "original"] = "default",
    ) -> None:
        super().__init__()
        if scorer not in ("shared", "joint"):
            raise UserError(f"conditioning.scorer={scorer}; expected shared or joint.")
        if init not in ("default", "original"):
            raise UserError(f"conditioning.init={init}; expected default or original.")
        hidden = hidden or 2 * channels
        self.joint = num_labels if scorer == "joint" else 0
        self.separable, self.per_label = not self.joint, matching or not self.joint
        self.guides = (guides or num_labels) if self.joint else 1
        self.query = nn.Conv2d(channels, hidden, 1)
        self.guidance = nn.Linear(channels * self.guides, hidden, bias=False)
        layers = [_Residual(hidden, 2**i) for i in range(context)]
        self.context = nn.Sequential(*layers, nn.Dropout2d(dropout))
        self.score = nn.Conv2d(hidden, self.joint or 1, 1)
        self.temperature = nn.Parameter(torch.tensor(10.0)) if matching else None
        self.floor = Floor() if floor else nn.Identity()
        if init == "original":
            nn.init.normal_(self.query.weight, std=1e-3)
            nn.init.normal_(self.guidance.weight, std=1e-3)
            for zero in (self.query.bias, self.score.weight, self.score.bias):
                nn.init.zeros_(zero)  # type: ignore[arg-type]

    def prepare(self, query: Float[Tensor, "B C h w"]) -> tuple[Tensor, ...]:
        """W_q F̄ + b, and normalised features for the cosine; see `Conditioning.prepare`."""
        return (self.query(query), *([] if self.temperature is None else [F.normalize(query, dim=1)]))

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`."""
        query, *unit = prepared
        z = guidance.z if guidance.z.ndim == 5 else guidance.z[..., None, None]
        batch, labels = z.shape[:2]
        if self.joint and labels != self.guides:
            raise UserError(
                f"A joint scorer was trained for {self.guides} labels and got {labels}; use shared to train another "
                "network, or read this one with k_way=one_vs_rest."
            )
        groups = z.flatten(1, 2)[:, None] if self.joint else z
        part = self.guidance(groups.movedim(2, -1)).movedim(-1, 2)
        scores = self.score(self.context(F.relu(query[:, None] + part).flatten(0, 1)))
        scores = scores.view(batch, -1, *query.shape[-2:])
        if self.temperature is not None:
            scores = scores + self.temperature * _cosine(unit[0], guidance.z)
        return scores[:, :, None]


class ParameterRegression(Conditioning):
    """score_k = η_w(z_k) · relu(W F̄ + b) + η_b(z_k): guidance predicts the weights of the last layer, as in OSLSM.

    Args:
        channels: C of features and guidance.
        hidden: rows of W; 2C by default.
        floor: see `Floor`.
    """

    separable = True

    def __init__(self, channels: int, hidden: int | None = None, floor: bool = True) -> None:
        super().__init__()
        hidden = hidden or 2 * channels
        self.query = nn.Conv2d(channels, hidden, 1)
        self.regress = nn.Linear(channels, hidden + 1)
        self.floor = Floor() if floor else nn.Identity()

    def prepare(self, query: Float[Tensor, "B C h w"]) -> tuple[Tensor, ...]:
        """See `Conditioning.prepare`."""
        return (F.relu(self.query(query)),)

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`."""
        (hidden,) = prepared
        weights = self.regress(guidance.z.movedim(2, -1)).movedim(-1, 2)
        form = "bchw,bkc->bkhw" if weights.ndim == 3 else "bchw,bkchw->bkhw"
        scores = torch.einsum(form, hidden, weights[:, :, :-1]) / hidden.shape[1] ** 0.5
        scores = scores + (weights[:, :, -1, None, None] if weights.ndim == 3 else weights[:, :, -1])
        return scores[:, :, None]


class ByDistance(Conditioning, ABC):
    """Score each label by the distance of its guidance to the query's features.

    Args:
        channels: C of features and guidance.
        metric: ``euclidean``, the squared distance divided by C, or ``cosine``, one minus the cosine.
        temperature: initial value of τ, which is learned.
        floor: see `Floor`.

    Raises:
        UserError: ``metric`` is unknown.
    """

    separable = True

    def __init__(self, channels: int, metric: Metric = "cosine", temperature: float = 10.0, floor: bool = True) -> None:
        super().__init__()
        if metric not in ("euclidean", "cosine"):
            raise UserError(f"conditioning.metric={metric}; expected euclidean or cosine.")
        self.metric = metric
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))
        # scores are at most 0: a floor of 0 would make all pixels negative, so it starts at distance 1 (cosine 0)
        self.floor = Floor(-float(temperature)) if floor else nn.Identity()

    def prepare(self, query: Float[Tensor, "B C h w"]) -> tuple[Tensor, ...]:
        """Normalised features (cosine), or features and their squared norms (euclidean)."""
        if self.metric == "cosine":
            return (F.normalize(query, dim=1),)
        return query, query.square().sum(1, keepdim=True)


class Prototypes(ByDistance):
    """score_k = −τ d(F̄, z_k): the nearest prototype wins (paper, section 4.2, after prototypical networks).

    See `ByDistance` for the arguments.
    """

    needs = "global"

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`."""
        return -self.temperature * _distances(prepared, guidance.z.transpose(1, 2))[:, :, None]


class NearestNeighbors(ByDistance):
    """score_k = −τ min_i d(F̄, F_i) over the annotated local features of label k (paper, section 4.2).

    See `ByDistance` for the arguments.
    """

    needs = "set"

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`."""
        assert guidance.valid is not None
        distance = _distances(prepared, guidance.z.transpose(1, 2).flatten(2))
        distance = distance.view(*guidance.valid.shape, *distance.shape[2:])
        return -self.temperature * distance.masked_fill(~guidance.valid[..., None, None], torch.inf).amin(2)[:, :, None]


class Direct(Conditioning):
    """score = w · z + b on local guidance only: the guide has encoded image and dots together, as in DIOS.

    It does not read the query's features, since the query is the support itself.

    Args:
        channels: C of the guidance.
        num_labels: K, if the fusion is joint.
        guides: 1 if the fusion is joint; otherwise each label is scored with the same w.
    """

    needs = "local"
    reads_query = False
    per_label = False

    def __init__(self, channels: int, num_labels: int = 2, guides: int | None = None) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, num_labels if guides == 1 else 1, 1)

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`."""
        scores = self.score(guidance.z.flatten(0, 1)).unflatten(0, guidance.z.shape[:2])
        return scores.flatten(1, 2)[:, :, None]


class Floor(nn.Module):
    """A learned lower bound β for the score of the negative: score_0 becomes log(exp score_0 + exp β).

    Pixels that resemble no guidance become negative, since a few dots cannot cover all of the background.

    Args:
        level: initial value of β.
    """

    def __init__(self, level: float = 0.0) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(level))

    def forward(self, scores: Float[Tensor, "B K 1 h w"]) -> Float[Tensor, "B K 1 h w"]:
        """Apply the floor to the scores of label 0."""
        return torch.cat([torch.logaddexp(scores[:, :1], self.level.to(scores.dtype)), scores[:, 1:]], dim=1)


def _distances(prepared: tuple[Tensor, ...], to: Float[Tensor, "B C M"]) -> Float[Tensor, "B M h w"]:
    """Distances from each position of the query to M vectors, computed without materialising their differences."""
    if len(prepared) == 1:
        return 1 - torch.einsum("bchw,bcm->bmhw", prepared[0], F.normalize(to, dim=1))
    query, square = prepared
    product = torch.einsum("bchw,bcm->bmhw", query, to)
    return (square + to.square().sum(1)[..., None, None] - 2 * product) / query.shape[1]


def _cosine(unit: Float[Tensor, "B C h w"], z: Float[Tensor, "B K C *grid"]) -> Float[Tensor, "B K h w"]:
    form = "bchw,bkc->bkhw" if z.ndim == 3 else "bchw,bkchw->bkhw"
    return torch.einsum(form, unit, F.normalize(z, dim=2))


class _Residual(nn.Module):
    """x + relu(3 x 3 convolution of x), with replicated borders."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.conv(x))
