"""The released network without one kind of evidence, as initial weights for further training.

python experiments/released_model/without.py FOLDER [conditioning.PART=false ...]

Use FOLDER as start_from=. The remaining weights are kept; the columns of the first layer that read the evidence are
removed. Overrides of other groups are ignored here, because they are for the training.
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import OmegaConf

from guided_seg.composition.build import build_network
from guided_seg.model.heads.fused import Fused
from guided_seg.model.network import GuidedNetwork
from guided_seg.release import MODEL
from guided_seg.release.load import load_network
from guided_seg.release.weights import write_weights

RELEASED = "guided-lite0"
FIRST = "conditioning.evidence.weight"


def without(changes: list[str], folder: Path) -> None:
    """Write the released network without the evidence that ``changes`` switch off."""
    whole, cfg = load_network(RELEASED)
    cfg.resolution.update(longest=None, enlarge=False)  # trained on crops as they are
    cfg.merge_with_dotlist([change for change in changes if change.startswith("conditioning.")])
    rest = build_network(cfg)
    state = {key: tensor for key, tensor in whole.state_dict().items() if key in rest.state_dict()}
    read, kept = (_inputs(network) for network in (whole, rest))
    state[FIRST] = state[FIRST][:, [column for column, kind in enumerate(read) if kind in kept]]
    rest.load_state_dict(state)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(rest, RELEASED, OmegaConf.create(cfg), folder / MODEL)


def _inputs(network: object) -> tuple[str, ...]:
    if not (isinstance(network, GuidedNetwork) and isinstance(network.conditioning, Fused)):
        raise TypeError(f"{RELEASED} is no network with conditioning=fused any more: {type(network).__name__}.")
    return network.conditioning.inputs


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    without(sys.argv[2:], Path(sys.argv[1]))
