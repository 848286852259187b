"""Train, segment a video and click in the page for long: what do memory, open files, threads and processes grow by?

python experiments/faults/soak.py [training] [video] [page]

Each part begins with a warm-up, a fifth of it. Then what it has in its second fifth is compared with its last fifth.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
from support.browser import page_server
from support.clicking import OPTIONS, PAGES, Client, all_click
from support.clicking import page as opened
from support.processes import started

from guided_seg.app.opening import SAMPLES
from guided_seg.files.writing import write_json
from guided_seg.report.table import Table, columns

OUT = Path(__file__).with_name("soak.json")
STEPS, FRAMES, MINUTES, EDITS = 3000, 2000, 10, 1000
"""Of the training, of the video, and of the page with its edits a minute."""
READINGS = 30
"""Of each part."""
LIMIT = 3600
"""Seconds after which a part counts as hung."""
TRAINING = (
    *("+experiment=late_global", "data.size=48", "backbone.width=16", "backbone.blocks=1", "num_workers=2"),
    *("data.training.batch_size=2", "data.training.val_episodes=2", "data.training.validate_every=100", "logger=csv"),
    *(f"trainer.max_steps={STEPS}", "trainer.enable_progress_bar=false", "evaluation.episodes=2"),
    *("evaluation.shots=[1]", "evaluation.points=[5]"),
)


class Reading(NamedTuple):
    """What a process and all that it has started occupy.

    Attributes:
        megabytes: resident memory, that of each added.
        files: open files, pipes and sockets.
        threads: of each, added.
        processes: their numbers.
    """

    megabytes: float
    files: int
    threads: int
    processes: list[int]


def reading(process: psutil.Process) -> Reading:
    """What a process occupies now."""
    found = []
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess), each.oneshot():
            found.append((each.memory_info().rss / 1e6, each.num_fds(), each.num_threads(), each.pid))
    memory, files, threads, numbers = zip(*found, strict=True)
    return Reading(round(sum(memory), 1), sum(files), sum(threads), list(numbers))


def training(folder: Path, note: Callable[[], None]) -> None:
    """Train a tiny network with two data workers."""
    from guided_seg import run
    from guided_seg.training.module import EpisodicSegmentation

    honest = EpisodicSegmentation.training_step

    def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Any:
        if (self.global_step + 1) % (STEPS // READINGS) == 0:
            note()
        return honest(self, batch, batch_idx)

    EpisodicSegmentation.training_step = training_step  # type: ignore[method-assign]
    sys.argv = ["run", *TRAINING, f"output_dir={folder / 'run'}"]
    run.main()


def video(folder: Path, note: Callable[[], None]) -> None:
    """Segment a video by the batch command, with a tiny network of random weights."""
    from support.evaluations import write_checkpoint

    from guided_seg.segment import __main__ as segment
    from guided_seg.session import Session

    clip = _clip(folder)
    tiny = ("+experiment=late_global", "backbone.width=16", "backbone.blocks=1")
    session = Session.load(write_checkpoint(folder / "tiny.ckpt", *tiny))
    session.add_image("first", folder / "first.png")
    cup = session.add_label("cup")
    session.dot("first", 60, 80, cup)
    session.dot("first", 5, 5, 0)
    session.save(folder / "support.session")
    honest, done = Session.segment_pixels, [0]

    def segment_pixels(self: Session, *arguments: Any) -> Any:
        done[0] += 1
        if done[0] % (FRAMES // READINGS) == 0:
            note()
        return honest(self, *arguments)

    Session.segment_pixels = segment_pixels  # type: ignore[method-assign]
    words = (f"support={folder / 'support.session'}", "format=video", f"output_dir={folder / 'out'}")
    sys.argv = ["segment", str(clip), *words]
    segment.main()
    assert done[0] == FRAMES, f"{done[0]} frames"


def _clip(folder: Path) -> Path:
    """A video of a photo that drifts, and its first frame as an image."""
    import cv2
    import numpy as np

    photo = cv2.resize(cv2.imread(str(SAMPLES / "coffee.jpg")), (160, 120))
    cv2.imwrite(str(folder / "first.png"), photo)
    path = folder / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 120))
    for number in range(FRAMES):
        shift = np.rint(20 * np.sin(number / np.array([31, 53]))).astype(int)
        writer.write(np.roll(photo, tuple(shift), (0, 1)))
    writer.release()
    return path


PARTS = {"training": training, "video": video}


def of_command(name: str) -> tuple[list[Reading], list[int]]:
    """The readings of a part in a process of its own, and the processes that are left after its end."""
    with tempfile.TemporaryDirectory() as folder:
        line = (sys.executable, str(Path(__file__).absolute()), "--within", name, folder)
        with started(*line, limit=LIMIT) as process:
            out, err = process.communicate()
            assert process.returncode == 0, out + err
            found = [Reading(*json.loads(line)) for line in (Path(folder) / "readings").read_text().splitlines()]
            return found, _left(found)


def _within(name: str, folder: Path) -> None:
    """Do a part in this process, and write down its readings."""
    with (folder / "readings").open("w", encoding="utf-8") as file:

        def note() -> None:
            file.write(json.dumps(reading(psutil.Process())) + "\n")

        PARTS[name](folder, note)


def _left(found: Sequence[Reading]) -> list[int]:
    """The processes that are there a second after the end."""
    time.sleep(1)
    return sorted({number for each in found for number in each.processes if psutil.pid_exists(number)})


def of_page() -> tuple[list[Reading], list[int], int]:
    """The same of the server of the page, while pages click; and how many edits they made."""
    found: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = page_server(SAMPLES, state=Path(folder) / "state", options=OPTIONS, limit=LIMIT)
        address, process = stack.enter_context(server)
        clients = [Client(stack.enter_context(opened(address, f"soak-{number}")), number) for number in range(PAGES)]
        running = Thread(target=_read, args=(psutil.Process(process.pid), found), daemon=True)
        running.start()
        all_click(clients, 60 * MINUTES, every=60 * PAGES / EDITS)
        running.join()
        process.terminate()
        process.wait(60)
        return found, _left(found), sum(client.n for client in clients)


def _read(process: psutil.Process, found: list[Reading]) -> None:
    """Take the readings while pages click."""
    for _ in range(READINGS):
        time.sleep(60 * MINUTES / READINGS)
        found.append(reading(process))


def row(found: Sequence[Reading], left: Sequence[int], done: int) -> dict[str, Any]:
    """What a part occupied after its warm-up and at its end."""
    fifth = READINGS // 5
    spans = {"after warm-up": found[fifth : 2 * fifth], "end": found[-fifth:]}
    means = {
        name: {field: median(getattr(each, field) for each in span) for field in Reading._fields[:3]}
        for name, span in spans.items()
    }
    growth = means["end"]["megabytes"] / means["after warm-up"]["megabytes"] - 1
    memory = [each.megabytes for each in found]
    return {"done": done, **means, "growth": round(growth, 4), "processes left": len(left), "megabytes": memory}


def table(rows: dict[str, Any]) -> Table:
    """A part in each row."""
    names = {"training": "training steps", "video": "frames of a video", "page": "edits on eight pages"}
    head = ("of", "memory, MB", "growth", "open files", "threads", "processes left")
    lines = []
    for name, what in names.items():
        if name not in rows:
            continue
        before, after = rows[name]["after warm-up"], rows[name]["end"]
        pairs = {field: f"{before[field]:,.0f} → {after[field]:,.0f}" for field in Reading._fields[:3]}
        growth = f"{rows[name]['growth']:+.1%}"
        left = rows[name]["processes left"]
        lines.append(
            (f"{rows[name]['done']:,} {what}", pairs["megabytes"], growth, pairs["files"], pairs["threads"], left)
        )
    return Table(columns(head), lines)


def main(asked: Sequence[str]) -> None:
    """Do the parts, and write down what they gave."""
    for name in asked or ("training", "video", "page"):
        if name == "page":
            made = row(*of_page())
        else:
            made = row(*of_command(name), done={"training": STEPS, "video": FRAMES}[name])
        rows = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        write_json(OUT, rows | {name: made})
        Path(__file__).with_suffix(".md").write_text(table(rows | {name: made}).markdown(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        _within(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1:])
