"""Feature fusion is the formula of the concepts, rule 5, however it is computed."""

from __future__ import annotations

from functools import partial
from inspect import unwrap
from itertools import product
from math import exp, log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import brief, seeds
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.conditioning import FeatureFusion, Floor
from guided_seg.model.guide.guide import Guidance

extents = st.integers(1, 6)
CHANNELS = 5
options = st.fixed_dictionaries(
    {"hidden": st.none() | st.integers(1, 9), "matching": st.booleans(), "floor": st.booleans()}
)


def guidance(batch: int, labels: int, grid: tuple[int, ...], rng: torch.Generator) -> Guidance:
    """Random z, global where ``grid`` is empty."""
    z = torch.randn(batch, labels, CHANNELS, *grid, generator=rng)
    return Guidance(z, torch.ones(batch, labels, dtype=torch.bool))


def head(**options_: Any) -> FeatureFusion:
    """With every parameter random, those that start at a constant too."""
    module = FeatureFusion(CHANNELS, **options_)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.eval()


def joined_weight(module: FeatureFusion) -> Tensor:
    """W, from the two parts that it is kept in."""
    return torch.cat([module.query.weight[:, :, 0, 0], module.guidance.weight], dim=1)


def plain(module: FeatureFusion, query: Tensor, z: Tensor) -> Tensor:
    """The scores, a cell at a time, from the concatenation of the query's feature and z."""
    batch, labels = z.shape[:2]
    scores = torch.zeros(batch, labels, *query.shape[2:])
    W, w = joined_weight(module), module.score.weight[:, :, 0, 0]
    for b, i, j in product(range(batch), range(query.shape[2]), range(query.shape[3])):
        f = query[b, :, i, j]
        own = [z[b, k, :, i, j] if z.ndim == 5 else z[b, k] for k in range(labels)]
        if module.joint:
            scores[b, :, i, j] = w @ F.relu(W @ torch.cat([f, *own]) + module.query.bias) + module.score.bias
        for k in range(labels):
            if not module.joint:
                scores[b, k, i, j] = w[0] @ F.relu(W @ torch.cat([f, own[k]]) + module.query.bias) + module.score.bias
            if module.temperature is not None:
                scores[b, k, i, j] += module.temperature * (f @ own[k]) / (f.norm() * own[k].norm())
        if isinstance(module.floor, Floor):
            scores[b, 0, i, j] = log(exp(scores[b, 0, i, j].item()) + exp(module.floor.level.item()))
    return scores


@pytest.mark.parametrize("scorer", ["shared", "joint"])
@pytest.mark.parametrize("local", [False, True])
@brief
@given(options_=options, batch=st.integers(1, 2), labels=st.integers(2, 4), h=extents, w=extents, seed=seeds)
def test_scores_are_the_concatenated_form(
    scorer: str, local: bool, options_: dict[str, Any], batch: int, labels: int, h: int, w: int, seed: int
) -> None:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    module = head(scorer=scorer, num_labels=labels, **options_)
    query = torch.randn(batch, CHANNELS, h, w, generator=rng)
    given_ = guidance(batch, labels, (h, w) if local else (), rng)
    with torch.no_grad():
        assert torch.allclose(module(query, given_)[:, :, 0], plain(module, query, given_.z), atol=1e-4, rtol=1e-4)


def test_the_paper_s_scorer_is_the_concatenated_form_alone() -> None:
    torch.manual_seed(0)
    module = head(matching=False, floor=False)
    assert {name for name, _ in module.named_parameters()} == {
        *("query.weight", "query.bias", "guidance.weight", "score.weight", "score.bias")
    }
    query, z = torch.randn(CHANNELS), torch.randn(CHANNELS)
    expected = module.score.weight.flatten() @ F.relu(joined_weight(module) @ torch.cat([query, z]) + module.query.bias)
    found = module(query.view(1, -1, 1, 1), Guidance(z.view(1, 1, -1), torch.ones(1, 1, dtype=torch.bool)))
    assert torch.allclose(found.flatten(), expected + module.score.bias, atol=1e-5)


@brief
@given(options_=options, seed=seeds, context=st.integers(0, 2))
def test_a_shared_scorer_takes_any_number_of_labels_and_scores_each_alone(
    options_: dict[str, Any], seed: int, context: int
) -> None:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    module, query = head(context=context, **options_), torch.randn(2, CHANNELS, 4, 3, generator=rng)
    five = guidance(2, 5, (), rng)
    with torch.no_grad():
        scores = module(query, five)
        # a score is a sum whose terms may be much larger than itself, so it is as exact as the largest score
        close = partial(torch.allclose, rtol=0, atol=1e-5 * float(scores.abs().max()))
        for labels in (1, 2, 3):
            fewer = module(query, Guidance(five.z[:, :labels], five.annotated[:, :labels]))
            assert close(fewer, scores[:, :labels])
        order = torch.tensor([0, 3, 1, 4, 2])  # the negative stays first; the floor is its own
        shuffled = module(query, Guidance(five.z[:, order], five.annotated))
    assert close(shuffled, scores[:, order])


@pytest.mark.parametrize("labels", [1, 3])
def test_a_joint_scorer_refuses_another_number_of_labels(labels: int) -> None:
    module = FeatureFusion(CHANNELS, scorer="joint", num_labels=2)
    given_ = guidance(1, labels, (), torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=f"trained for 2 labels and got {labels}; use shared"):
        module(torch.zeros(1, CHANNELS, 2, 2), given_)


def test_context_is_residual_dilated_convolutions_before_the_score() -> None:
    torch.manual_seed(0)
    module = head(context=3, matching=False, floor=False)
    query, given_ = torch.randn(1, CHANNELS, 5, 6), guidance(1, 2, (5, 6), torch.Generator().manual_seed(0))
    fused = torch.cat([query[:, None].expand_as(given_.z), given_.z], dim=2)[0]
    x = F.relu(F.conv2d(fused, joined_weight(module)[:, :, None, None], module.query.bias))
    for layer, dilation in zip(module.context, (1, 2, 4), strict=False):
        conv = layer.conv
        framed = F.pad(x, (dilation,) * 4, mode="replicate")
        x = x + F.relu(F.conv2d(framed, conv.weight, conv.bias, dilation=dilation))
    expected = F.conv2d(x, module.score.weight, module.score.bias)[:, 0]
    assert torch.allclose(module(query, given_)[0, :, 0], expected, atol=1e-4, rtol=1e-4)


def test_dropout_takes_whole_channels_and_only_in_training() -> None:
    torch.manual_seed(0)
    module = FeatureFusion(CHANNELS, hidden=200, dropout=0.5, matching=False, floor=False)
    query, given_ = torch.randn(1, CHANNELS, 3, 3), guidance(1, 1, (), torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    module.context.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    module.train()(query, given_)
    before, after = seen
    kept = (after != 0).flatten(2).any(2)[0]
    assert 0.3 < (kept.sum() / (before != 0).flatten(2).any(2).sum()).item() < 0.7
    assert torch.allclose(after[:, kept], 2 * before[:, kept])
    module.eval()
    assert torch.equal(module(query, given_), module(query, given_))


def test_an_unknown_scorer_is_refused() -> None:
    unchecked = unwrap(FeatureFusion.__init__)  # as users run it, without the type checker of the tests
    with pytest.raises(UserError, match=r"conditioning\.scorer=both; expected shared or joint"):
        unchecked(FeatureFusion.__new__(FeatureFusion), CHANNELS, scorer="both")
