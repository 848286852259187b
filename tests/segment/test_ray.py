"""The batch command on Ray: two processes on this machine, one of them killed on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from segment.conftest import CHECKPOINT, photo
from support.archives import everything, write_image
from support.commands import call
from support.processes import started

from guided_seg.formats.unfinished import WORK
from guided_seg.segment import on_ray

pytest.importorskip("ray", reason="Ray is not installed: pip install 'guided_seg[ray]'")

PHOTOS = 200
WORKER = "ray::MapWorker(MapBatches(Segmenter))"


def workers(driver: int) -> list[psutil.Process]:
    """The processes of a job on Ray that segment, the oldest first."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(WORKER):
                found.append(process)
        except psutil.Error:  # it has ended
            continue
    return sorted(found, key=lambda process: process.create_time())


@pytest.mark.slow
def test_a_worker_is_killed_on_the_way(saved: Path, tmp_path: Path) -> None:
    for number in range(PHOTOS):
        write_image(tmp_path / "many" / f"{number}.jpg", picture=photo(number, 24, 32))
    (tmp_path / "many" / "7.jpg").write_bytes(b"no image")
    words = ["many", f"support={saved}", "format=coco", f"checkpoint={CHECKPOINT}"]
    line = (sys.executable, "-m", "guided_seg.segment", *words, "engine=ray", "output_dir=out")
    seen: set[tuple[str, int]] = set()
    killed = None
    with started(*line, limit=400, folder=tmp_path, stdout=-3) as process:
        while process.poll() is None:
            maps = list((tmp_path / "out" / WORK).glob("[!.]*.png"))
            for path in maps:
                try:
                    seen.add((path.name, path.stat().st_ino))
                except FileNotFoundError:  # the result is whole, and what was kept is removed
                    continue
            if killed is None and len(maps) > 10 and (there := workers(process.pid)):
                killed = there[0].pid
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.005)
        assert process.returncode == 1, process.stderr and process.stderr.read()
    assert killed is not None
    whole = call("segment.__main__", *words, "output_dir=whole", folder=tmp_path)
    assert whole.returncode == 1, whole.stderr
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    listed = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())["images"]
    assert sorted(int(each["file_name"][:-4]) for each in listed) == [n for n in range(PHOTOS) if n != 7]
    assert len({name for name, _ in seen}) == len(seen) == PHOTOS - 1  # each was written once


def test_a_missing_package_is_named(photos: Path, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "NEEDED", ("ray", "no_such_package"))
    done = call("segment.__main__", str(photos), f"support={dots}", "engine=ray", folder=tmp_path)
    assert done.returncode == 2
    assert "engine=ray needs the package no_such_package: pip install 'guided_seg[ray]'" in done.stderr
