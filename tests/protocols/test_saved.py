"""Predictions of protocols as files, scored again by what others score them with."""

from __future__ import annotations

import json
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import vos_benchmark.benchmark as official
from PIL import Image
from support.archives import noise_davis, noise_folder
from support.evaluations import score

from guided_seg.data.coco.coco import Coco
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.data.images import read_labels
from guided_seg.errors import UserError
from guided_seg.protocols.predictions import gather, keeper


def test_davis_scored_by_vos_benchmark(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a dense first frame, since that file needs a mask for it."""
    monkeypatch.setattr(official, "Pool", ThreadPool)
    root, out = noise_davis(tmp_path / "davis", frames=5), tmp_path / "out"
    asked = ("data=davis", f"data.root={root}", "save_predictions=true", "protocol.davis2016.episodes=null")
    found = score(checkpoint, out, ["davis2016"], *asked)["davis2016"]["settings"]
    ours = next(setting for setting in found if setting["points"] == "dense")["figures"]
    predictions = out / "predictions" / "davis2016" / "s1_pdense"
    truth = tmp_path / "truth" / "d"
    truth.mkdir(parents=True)
    for file in sorted((root / "Annotations/240p/d").iterdir()):
        # the benchmark takes 255 for an object
        labels = (read_labels(file) > 0).astype(np.uint8)
        Image.fromarray(labels).save(truth / file.name)
    assert [file.name for file in sorted((predictions / "d").iterdir())] == [f"{i:05d}.png" for i in range(5)]
    _, j, f, *_ = official.benchmark([str(truth.parent)], [str(predictions)], verbose=False)
    assert ours["J"]["value"] == pytest.approx(j[0] / 100, abs=1e-3)
    assert ours["F"]["value"] == pytest.approx(f[0] / 100, abs=1e-3)


def test_masks_have_the_data_s_own_values_and_are_kept(checkpoint: Path, tmp_path: Path) -> None:
    root, out = noise_folder(tmp_path / "mine", "abcdef", colour=7), tmp_path / "out"
    asked = ("data=folder", f"data.root={root}", "data.whole=true", "save_predictions=true")
    score(checkpoint, out, ["clicks"], *asked, "protocol.clicks.episodes=null")
    files = sorted((out / "predictions" / "clicks" / "clicks").iterdir())
    assert [file.stem for file in files] == list("abcdef")
    assert {int(value) for file in files for value in np.unique(read_labels(file))} <= {0, 7}
    fresh = tmp_path / "other"
    (fresh / "predictions" / "clicks").mkdir(parents=True)
    with pytest.raises(UserError, match="holds predictions of another evaluation; remove it"):
        score(checkpoint, fresh, ["clicks"], *asked)
    with pytest.raises(UserError, match="takes one process"):
        score(checkpoint, tmp_path / "two", ["clicks"], *asked, "processes=2")


def test_coco_results(checkpoint: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "coco", tmp_path / "out"
    noise_folder(root, ["000000000009", "000000000025"])
    (root / "labels").mkdir()
    for name in ("000000000009", "000000000025"):
        (root / "labels" / f"{name}.txt").write_text("18 0.2 0.2 0.6 0.2 0.6 0.7 0.2 0.7\n")
    (root / "test.txt").write_text("000000000009\n000000000025\n")
    asked = ("data=coco", f"data.root={root}", "save_predictions=true", "protocol.clicks.episodes=null")
    score(checkpoint, out, ["clicks"], *asked)
    results = json.loads((out / "predictions" / "clicks" / "clicks.json").read_text())
    assert [(entry["image_id"], entry["category_id"]) for entry in results] == [(9, 20), (25, 20)]
    assert results[0]["segmentation"]["size"] == [48, 64]


def labelled(root: Path, *names: str) -> Coco:
    noise_folder(root, names)
    (root / "labels").mkdir()
    for name in names:
        (root / "labels" / f"{name}.txt").write_text("18 0.2 0.2 0.6 0.2 0.6 0.7 0.2 0.7\n")
    (root / "test.txt").write_text("\n".join(names))
    return Coco(root, "test", min_pixels=1)


def test_coco_results_of_images_without_numbers_are_refused_before(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"the image cat_1 has none .* give the annotations as COCO's JSON, or set save_pr"
    ):
        keeper(tmp_path, labelled(tmp_path / "coco", "7", "cat_1"))


def test_coco_results_have_the_ids_of_the_json_file(tmp_path: Path) -> None:
    noise_folder(tmp_path, ["COCO_val2014_000000000042"])
    (tmp_path / "images").rename(tmp_path / "test")
    content = {
        "images": [{"id": 4242, "file_name": "COCO_val2014_000000000042.jpg", "height": 48, "width": 64}],
        "annotations": [{"id": 1, "image_id": 4242, "category_id": 7, "segmentation": [[9, 9, 40, 9, 40, 40, 9, 40]]}],
        "categories": [{"id": 7, "name": "leaf"}],
    }
    (tmp_path / "test/_annotations.coco.json").write_text(json.dumps(content))
    source = Coco(tmp_path, "test", min_pixels=1)
    item = EvaluationEpisodes(source, freeze(source, "test", Plan(["interactive"])))[0]
    keep = keeper(tmp_path / "out", source)("clicks")
    keep(item, "clicks", np.ones((48, 64), np.uint8))
    lines = tmp_path / "out/clicks/clicks.jsonl"
    whole = lines.read_text()
    lines.write_text(whole[: len(whole) // 2])  # as where the process was stopped
    keep(item, "clicks", np.ones((48, 64), np.uint8))
    (file,) = gather(tmp_path / "out")
    assert [(entry["image_id"], entry["category_id"]) for entry in json.loads(file.read_text())] == [(4242, 7)]


@pytest.mark.parametrize("line", ["7", "[1, 2]", '["a", 1, {}]', '{"a": 1}', "x", "\0", "[" * 100_000])
def test_a_line_of_results_that_was_cut_off_is_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "clicks").mkdir()
    (tmp_path / "clicks/clicks.jsonl").write_text(f'{line}\n[0, 1, {{"image_id": 9}}]\n')
    (file,) = gather(tmp_path)
    assert json.loads(file.read_text()) == [{"image_id": 9}]
