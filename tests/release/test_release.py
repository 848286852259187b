"""The command that makes a released model of a run: the whole folder, or one sentence and nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from support.commands import TINY, call, last_line, no_figures
from support.evaluations import network_of, write_checkpoint

import guided_seg
from guided_seg.errors import UserError
from guided_seg.files.writing import sha256
from guided_seg.release import CARD, FOLDER, making
from guided_seg.release.card import portable, read_template
from guided_seg.release.load import load_network
from guided_seg.release.making import release, rounding
from guided_seg.release.weights import write_weights


def test_the_command_makes_a_model_of_a_run_and_tells_all_it_knows(tmp_path: Path) -> None:
    run = ("+experiment=late_global", *TINY, "seed=3", f"output_dir={tmp_path / 'run'}")
    with no_figures():
        last_line(call("run", *run, folder=tmp_path))
    done = call("release.__main__", "checkpoint=run", "name=mine", "output_dir=out", folder=tmp_path)
    assert last_line(done) == str(tmp_path / "out")
    assert "scores differ by at most" in done.stdout
    card = (tmp_path / "out" / CARD).read_text()
    best, model = tmp_path / "run" / "checkpoints" / "best.ckpt", tmp_path / "out" / "model.safetensors"
    for fact in (
        "\n# mine\n",
        f"| made of | `best.ckpt` of the run `late_global`, SHA-256 `{sha256(best)}` |",
        f"| SHA-256 | `{sha256(model)}` |",
        f"| file | `model.safetensors`, {model.stat().st_size:,} bytes,",
        "| seed | 3 |",
        "| training steps | 2 of 2 |",
        "| backbone | `Small` `width=16` `blocks=1`",
        "\npython -m guided_seg.run +experiment=late_global trainer=smoke",
        " seed=3 output_dir=PATH/run\n",
        "\nname: shapes\n",
        'guided_seg.load("mine")',
    ):
        assert fact in card
    assert str(tmp_path) not in card
    assert stat.S_IMODE(model.stat().st_mode) == stat.S_IMODE((tmp_path / "out" / CARD).stat().st_mode)


def made(folder: Path, card: Path | None = None) -> str:
    """The card of a model that is made in ``folder``."""
    folder.mkdir()
    checkpoint = write_checkpoint(folder / "best.ckpt")
    (folder / "out").mkdir()
    cfg = {"checkpoint": str(checkpoint), "name": "mine", "card": card and str(card)}
    release(OmegaConf.create(cfg), folder / "out")
    return (folder / "out" / CARD).read_text()


def test_the_card_of_an_earlier_release_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    first = made(tmp_path / "first")
    assert "To be written: the command" in first
    by_hand = first.replace("To be written: where it fails", "It fails at night")
    by_hand = by_hand.replace("To be written: the figures of this release.", "| IoU | 0.9 |").replace("# mine", "# old")
    (tmp_path / "card.md").write_text(by_hand)
    second = made(tmp_path / "second", tmp_path / "card.md")
    assert "It fails at night" in second
    assert "0.9" not in second, "figures are of the weights that they were measured with"
    assert second == first.replace("To be written: where it fails", "It fails at night")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("checkpoint=nowhere name=mine", "There is no checkpoint nowhere; give the folder of a run"),
        ("checkpoint=best.ckpt", "name has no default; add name=... to the command."),
        ("checkpoint=best.ckpt name=My_Model", "name=My_Model: expected lowercase letters, digits, dots and dashes"),
        ("checkpoint=best.ckpt name=mine card=none.md", "card=none.md cannot be read"),
        ("checkpoint=best.ckpt name=mine card=short.md", "lacks the line '## Intended use'; begin with a copy of"),
        (
            "checkpoint=best.ckpt name=mine card=open.md",
            "lacks <!-- begin figures --> with an <!-- end -->; begin with",
        ),
        (
            "checkpoint=best.ckpt name=mine output_dir=full",
            "is not empty; choose a new or an empty one with output_dir",
        ),
        ("checkpoint=best.ckpt name=mine longest=8", "longest=8: expected a whole number of pixels from 32, or null."),
        ("checkpoint=best.ckpt name=mine enlarge=true", "enlarge=True: expected true, with a number as longest,"),
        ("checkpoint=short.md name=mine", "short.md cannot be read as a checkpoint"),
        ("checkpoint=guided-lite0 name=mine", "is a released model already; give the run that it was made from"),
        ("checkpoint=untold.ckpt name=mine", "untold.ckpt does not say how it was trained, which a card needs"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path: Path, words: str, sentence: str) -> None:
    content = torch.load(write_checkpoint(tmp_path / "best.ckpt"), weights_only=True)
    del content["config"]["length"]
    torch.save(content, tmp_path / "untold.ckpt")
    (tmp_path / "short.md").write_text("# mine\n")
    (tmp_path / "open.md").write_text((FOLDER / CARD).read_text().replace("<!-- begin figures -->\n<!-- end -->", ""))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    line = [*words.split(), *(() if "output_dir" in words else ("output_dir=out",))]
    done = call("release.__main__", *line, folder=tmp_path)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_may_reduce_large_images(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    cfg = OmegaConf.create({"checkpoint": str(checkpoint), "name": "mine", "card": None, "longest": 64})
    release(cfg, tmp_path / "out")
    assert load_network(checkpoint)[0].backbone.longest is None
    assert guided_seg.load(tmp_path / "out").backbone.longest == 64
    assert not guided_seg.load(tmp_path / "out").backbone.enlarge


def test_a_model_may_enlarge_small_images(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    cfg = {"checkpoint": str(write_checkpoint(tmp_path / "best.ckpt")), "name": "mine", "card": None}
    release(OmegaConf.create(cfg | {"longest": 64, "enlarge": True}), tmp_path / "out")
    assert guided_seg.load(tmp_path / "out").backbone.enlarge


def test_a_model_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "LIMIT", 10_000)
    with pytest.raises(UserError, match=r"takes .* kB for [\d,]+ parameters, and a released model may take 10.0 kB"):
        made(tmp_path / "large")
    assert not (tmp_path / "large" / "out").exists()


def test_values_that_fp16_lacks_are_refused(tmp_path: Path) -> None:
    network = network_of()
    with torch.no_grad():
        next(network.parameters())[0] = 1e5
    with pytest.raises(UserError, match=r"has values up to 1e\+05, but fp16 ends at 65504"):
        write_weights(network, "mine", OmegaConf.create(), tmp_path / "model.safetensors")
    assert not any(tmp_path.iterdir())


def test_rounding_is_measured_as_scores_and_labels() -> None:
    network, other = network_of(), network_of()
    assert rounding(network, other) == (0, 0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.neg_()
    with pytest.raises(UserError, match="Rounding to fp16 changes the predictions"):
        rounding(network, other)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(UserError, match="scores differ by at most nan"):
        rounding(network, other)


def test_the_package_has_a_template_that_it_takes_itself() -> None:
    assert read_template(None) == (FOLDER / CARD).read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.root=../shared/voc", "data.root=PATH/voc"),
        ("data.roots=[/a/b/voc,~/davis]", "data.roots=[PATH/voc,PATH/davis]"),
        ("root: '/a/b c'", "root: 'PATH/b c'"),
        ("hydra.searchpath=[file:///home/me/conf]", "hydra.searchpath=[PATH/conf]"),
        ("url: https://host/a/b.zip", "url: https://host/a/b.zip"),
        ("+experiment=paper/one lr=1e-3 ratio=1/2", "+experiment=paper/one lr=1e-3 ratio=1/2"),
    ],
)
def test_no_folder_of_this_machine_is_told(text: str, expected: str) -> None:
    assert portable(text) == expected
