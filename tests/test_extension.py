"""A conditioning that somebody else wrote: one file and one YAML, outside the package, and every command knows it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import TINY, call, last_line, no_figures

from guided_seg.release.load import load_network
from guided_seg.session import NEGATIVE, Session

CODE = '''
"""A scorer that multiplies."""

import torch
from torch import nn

from guided_seg.model.conditioning import Conditioning


class Product(Conditioning):
    needs = "global"

    def __init__(self, channels, scale=1.0):
        super().__init__()
        self.weights = nn.Parameter(torch.full((channels,), scale))

    def compare(self, prepared, guidance):
        (query,) = prepared
        return torch.einsum("bchw,bkc,c->bkhw", query, guidance.z, self.weights)[:, :, None]
'''
YAML = """# score_k = Σ_c w_c F_c z_kc
_target_: others_product.Product
scale: 0.1
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Both files where this process finds them; the settings that choose them."""
    (tmp_path / "others_product.py").write_text(CODE)
    group = tmp_path / "conf" / "conditioning"
    group.mkdir(parents=True)
    (group / "product.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "conditioning=product"


@pytest.mark.slow
def test_one_file_and_one_yaml_are_a_new_conditioning(
    theirs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweep"
    sweep = ("seed=0,1", f"hydra.sweep.dir={folder}")
    with no_figures():
        last_line(call("run", "-m", "+experiment=late_global", *TINY, *theirs, *sweep, folder=tmp_path))
    del sys.modules["others_product"]  # as in a new process
    runs = sorted(path.parent for path in folder.rglob("metrics.json"))
    assert len(runs) == 2
    checkpoint = runs[0] / "checkpoints" / "best.ckpt"
    quick = ("evaluation.episodes=4", "evaluation.points=[5]", "num_workers=0", f"output_dir={tmp_path / 'again'}")
    # a file chooses no module to import: the user does
    refused = call("evaluate", f"checkpoint='{checkpoint}'", *quick, folder=tmp_path)
    assert refused.returncode == 2
    assert "set the environment variable GUIDED_SEG_PLUGINS=others_product" in refused.stderr
    assert "others_product" not in sys.modules
    monkeypatch.setenv("GUIDED_SEG_PLUGINS", "others_product")
    last_line(call("evaluate", f"checkpoint='{checkpoint}'", *quick, folder=tmp_path))
    assert (tmp_path / "again" / "evaluation.json").exists()
    last_line(call("study.__main__", str(folder), folder=tmp_path))
    with (folder / "study" / "study.csv").open(newline="") as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"0", "1"}
    # sessions know nothing of configurations: the checkpoint names the class, which is imported by now
    monkeypatch.delenv("GUIDED_SEG_PLUGINS")
    assert type(load_network(checkpoint)[0].conditioning).__name__ == "Product"
    session = Session.load(checkpoint)
    session.add_image("a", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    session.add_label("cup")
    session.dot("a", 3, 4, "cup")
    session.dot("a", 30, 40, NEGATIVE)
    assert session.segment("a").shape == (40, 50)
    local = call("run", *TINY, *theirs, "locality=local", f"output_dir={tmp_path / 'none'}", folder=tmp_path)
    assert local.returncode == 2
    assert "conditioning=product compares the query with one vector a label" in local.stderr
