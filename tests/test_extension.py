"""A conditioning that somebody else wrote: one file and one YAML, outside the package, and every command knows it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import TINY

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

    def forward(self, query, guidance):
        return torch.einsum("bchw,bkc,c->bkhw", query, guidance.z, self.weights)
'''
YAML = """# score_k = Σ_c w_c F_c z_kc
_target_: others_product.Product
scale: 0.1
"""


# sessions know nothing of configurations: the checkpoint names the class
SESSION = """
import sys

import numpy as np

from guided_seg.session import NEGATIVE, Session

session = Session.load(sys.argv[1])
assert type(session.network.conditioning).__name__ == "Product"
session.add_image("a", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
session.add_label("cup")
session.dot("a", 3, 4, "cup")
session.dot("a", 30, 40, NEGATIVE)
assert session.segment("a").shape == (40, 50)
"""


@pytest.mark.slow
def test_one_file_and_one_yaml_are_a_new_conditioning(tmp_path: Path) -> None:
    (tmp_path / "others_product.py").write_text(CODE)
    (tmp_path / "others_session.py").write_text(SESSION)
    group = tmp_path / "conf" / "conditioning"
    group.mkdir(parents=True)
    (group / "product.yaml").write_text(YAML)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}

    def command(*words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    ours = (f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "conditioning=product")
    folder = tmp_path / "sweep"
    sweep = ("seed=0,1", f"hydra.sweep.dir={folder}")
    command("guided_seg.run", "-m", "+experiment=late_global", *TINY, *ours, *sweep)
    runs = sorted(path.parent for path in folder.rglob("metrics.json"))
    assert len(runs) == 2
    quick = ("evaluation.episodes=4", "evaluation.points=[5]", "num_workers=0", f"output_dir={tmp_path / 'again'}")
    command("guided_seg.evaluate", f"checkpoint='{runs[0] / 'checkpoints' / 'best.ckpt'}'", *quick)
    assert (tmp_path / "again" / "evaluation.json").exists()
    command("guided_seg.study", str(folder))
    with (folder / "study" / "study.csv").open(newline="") as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"0", "1"}
    command("others_session", str(runs[0] / "checkpoints" / "best.ckpt"))
    local = command("guided_seg.run", *TINY, *ours, "locality=local", f"output_dir={tmp_path / 'none'}", fails=True)
    assert "conditioning=product compares the query with one vector a label" in local
