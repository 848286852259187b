"""A training in several processes, as the command starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import TINY, command, read

TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "+trainer.strategy=ddp")


@pytest.mark.slow
def test_two_processes_take_as_many_steps_as_one_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """Lightning starts the second with the command line of the first."""
    folder = tmp_path / "größe (1)"
    folder.mkdir()
    done = command("run", *TINY, *TWO, "trainer.max_steps=3", 'output_dir=run "a", b=c', folder=folder)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ['run "a", b=c']
    assert read(folder / 'run "a", b=c' / "metrics.json")["run"]["steps"] == 3
    assert done.stdout.count("3 steps; ") == 1, "one process speaks for both"
