"""Mistyped command lines: each is composed, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.hostile import share, words_or_numbers
from fuzz.profile import assert_a_sentence, examples, only_user_errors
from hypothesis import given
from hypothesis import strategies as st
from support.commands import call

from guided_seg.settings.overrides import find_problem

LINES = (
    *("seed=3", "+experiment=late_global", "backbone=vgg16", "trainer.max_steps=5", "evaluation.shots=[1,5]"),
    *("data=voc", "data.root=~/x y", "output_dir=here", "ckpt_path=last", "logger=csv", "mode=semantic", "~logger"),
    *("trainer.precision=16-mixed", "data.held_out=[cow]", "+trainer.min_steps=1", "++a.b=1", "backbone.width=16"),
    *("evaluation.points=[dense]", "episode.shots=[1,2]", "num_workers=0", "optimizer.optimizer.lr=0.1"),
    *("seed=1,2", "-m", "data.size=48"),
)


def typed(word: str) -> str:
    """The word as an operating system would hand it over."""
    return word.replace("\0", "").encode("utf-8", "replace").decode()


@st.composite
def overrides(draw: st.DrawFn) -> list[str]:
    """A command line with a word or two that somebody mistyped."""
    words = draw(st.lists(st.sampled_from(LINES), max_size=3, unique=True))
    for _ in range(draw(st.integers(1, 2))):
        word = draw(st.sampled_from(LINES))
        key, _, _ = word.partition("=")
        at, value = int(draw(share) * len(word)), draw(words_or_numbers)
        forms = (f"{key}={value}", word[:at] + value[:9] + word[at:], word[:at], word[at:])
        words.append(typed(draw(st.sampled_from(forms))))
    # other options do something else than composing
    return [word for word in words if word == "-m" or not word.startswith("-")]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@examples(25)
@given(words=overrides())
def test_overrides(words: list[str]) -> None:
    with only_user_errors(words):
        problem = find_problem("config", words, "guided_seg.conf")
        if problem is not None:
            assert_a_sentence(problem)
            assert "\n" not in problem


@examples(15)
@given(words=overrides())
def test_command_lines(root: Path, words: list[str]) -> None:
    words = [word for word in words if word != "-m"]  # Hydra shows the config of one job alone
    with only_user_errors(words):
        done = call("run", *words, "--cfg", "job", folder=root)
    if done.returncode:
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert_a_sentence(done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
