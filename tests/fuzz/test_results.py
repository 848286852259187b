"""Spoiled results of runs and evaluations: what gathers them is right, or refuses them in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz.bases import write
from fuzz.hostile import json_files, spoiled
from fuzz.profile import examples, only_user_errors
from hypothesis import given
from hypothesis import strategies as st

from guided_seg.protocols.comparison import compare, markdown
from guided_seg.study.study import study


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


FIGURES = {"mIoU": {"value": 0.5, "ci95": [0.4, 0.6], "ci95_seeds": None}}
SETTING = {"mode": "semantic", "shots": 1, "points": "5"}
SCORED = {"x": {"unit": "episodes", "about": "x", "settings": [{**SETTING, "figures": FIGURES}]}}
OF = {"protocol": "x", "rule": {"shots": [1]}, "episodes_sha256": "0"}


def records(shift: float) -> dict[str, bytes]:
    """A finished evaluation under one protocol."""
    pixels = {"fg_u": 20, "bg_i": 9, "bg_u": 30}
    rows = [{**SETTING, "group": f"g{i % 2}", "seed": i % 2, "episode": i, "fg_i": 5 + i + shift} for i in range(4)]
    lines = [OF, *({"episode": i, "rows": [row | pixels]} for i, row in enumerate(rows))]
    written = "".join(json.dumps(line) + "\n" for line in lines)
    return {"protocols.json": json.dumps(SCORED).encode(), "records_x.jsonl": written.encode()}


@examples(40)
@given(data=st.data())
def test_records(root: Path, data: st.DataObject) -> None:
    ours, theirs = records(0), records(1)
    name = data.draw(st.sampled_from(sorted(ours)))
    if name.endswith(".jsonl"):
        lines = ours[name].splitlines(keepends=True)
        number = data.draw(st.integers(0, len(lines) - 1))
        lines[number] = data.draw(json_files(json.loads(lines[number]))) + b"\n"
        ours[name] = b"".join(lines)
    else:
        ours[name] = data.draw(json_files(json.loads(ours[name])))
    both = {f"ours/{key}": value for key, value in ours.items()} | {
        f"theirs/{key}": value for key, value in theirs.items()
    }
    write(root, both)
    with only_user_errors(name, ours[name]):
        assert markdown(compare(root / "ours", root / "theirs"))


CONFIG: dict[str, Any] = {
    "name": "late_global",
    "seed": 0,
    "output_dir": "x",
    "num_workers": 1,
    "trainer": {"max_steps": 2},
    "fusion": {"_target_": "a.Late"},
    "data": {"name": "shapes", "size": 96},
    "evaluation": {"seed": 0, "points": [5]},
}
SCORE = {"positive_iou": 0.5, "mean_iou": 0.4, "ci95": [0.4, 0.6], "episodes": 8}
METRICS = {
    "interactive": {"s1_p5": SCORE, "s1_pdense": SCORE},
    "video": {"s1_p5": SCORE, "s5_p5": SCORE},
    "run": {"seconds": 2.0, "steps": 2, "encode_ms": 4.0, "update_ms": 1.0},
}
CHOICES = {
    "hydra": {"runtime": {"choices": {"fusion": "late", "experiment": "late_global", "hydra/launcher": "basic"}}}
}


@examples(10)
@given(data=st.data())
def test_studies(root: Path, data: st.DataObject) -> None:
    run = {
        "config.yaml": yaml.safe_dump(CONFIG).encode(),
        "metrics.json": json.dumps(METRICS).encode(),
        "hydra/hydra.yaml": yaml.safe_dump(CHOICES).encode(),
        "groups.csv": b"mode,shots,points,group,iou\ninteractive,1,5,cow,0.5000\n",
    }
    name = data.draw(st.sampled_from(sorted(run)))
    changes = {
        "config.yaml": json_files(CONFIG), "metrics.json": json_files(METRICS), "hydra/hydra.yaml": json_files(CHOICES)
    }.get(name, spoiled(run[name]))  # fmt: skip
    other = run | {"config.yaml": yaml.safe_dump(CONFIG | {"seed": 1}).encode()}
    files = {f"a/{key}": value for key, value in (run | {name: data.draw(changes)}).items()}
    write(root, files | {f"b/{key}": value for key, value in other.items()})
    with only_user_errors(name, files[f"a/{name}"]):
        study([root], out=root / "out")
