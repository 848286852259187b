"""Records: an evaluation goes on where it was stopped, and only with what is of the same."""

from __future__ import annotations

from multiprocessing import SimpleQueue
from pathlib import Path
from typing import Any

import pytest
import torch
from support.evaluations import SHAPES, Stub

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.data.frozen.freeze import freeze
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.protocols import runner
from guided_seg.protocols.protocol import Masks, Row
from guided_seg.protocols.records import Records, read_records
from guided_seg.protocols.runner import Job, Setup, run

OF: dict[str, Any] = {"checkpoint": "abc", "rule": {"shots": [1, 5], "size": None}}
DONE: dict[int, list[Row]] = {0: [{"j": 0.1}, {"j": 1 / 3}], 1: [], 2: [{"j": 1.0, "group": "Kuh ü"}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records_x.jsonl"


def write(records: Records, rank: int, numbers: list[int]) -> None:
    with records.part(rank) as part:
        for number in numbers:
            part.add(number, DONE[number])


def test_parts_become_one_file_in_order(path: Path) -> None:
    records = Records(path, OF)
    assert records.read() == {}
    write(records, 1, [2])
    write(records, 0, [1, 0])
    assert records.read() == DONE
    assert records.finish(3) == [row for number in (0, 1, 2) for row in DONE[number]]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert read_records(path) == (OF, [row for rows in DONE.values() for row in rows])
    whole = path.read_bytes()
    assert records.read() == DONE
    assert records.finish(3) == [row for rows in DONE.values() for row in rows]
    assert path.read_bytes() == whole


def test_what_was_done_is_on_disk_before_the_next_begins(path: Path) -> None:
    records = Records(path, OF)
    with records.part(0) as part:
        for number in (0, 1):
            part.add(number, DONE[number])
            assert set(records.read()) == set(range(number + 1))


def test_a_part_goes_on(path: Path) -> None:
    for number in DONE:
        write(Records(path, OF), 0, [number])
    assert Records(path, OF).read() == DONE


def test_a_line_that_was_cut_off_is_done_again(path: Path) -> None:
    """Wherever the process was stopped."""
    write(Records(path, OF), 0, [0, 1, 2])
    part = path.with_name("records_x.0.jsonl")
    whole = part.read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        part.write_bytes(whole[:length])
        done = Records(path, OF).read()
        # a line without its end is whole all the same
        assert len(done) == max(sum(end <= length for end in ends) - 1, 0)
        assert done.items() <= DONE.items()
        write(Records(path, OF), 0, [number for number in DONE if number not in done])
        assert part.read_bytes() == whole


WRONG = [
    *("7", "null", "[]", '{"episode":1}', '{"episode":"1","rows":[]}', '{"episode":1,"rows":{}}', "[" * 100_000),
    *('{"episode":1,"rows":[7]}', '{"rows":[]}', '{"episode":1.5,"rows":[]}', "\udcff\udcfe", "\0", "episode 1"),
]


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_was_changed_is_done_again_and_no_part_of_a_comparison(path: Path, line: str) -> None:
    write(Records(path, OF), 0, [0, 1, 2])
    part = path.with_name("records_x.0.jsonl")
    first, zero, _, two = part.read_bytes().splitlines()
    part.write_bytes(b"\n".join([first, zero, line.encode(errors="surrogateescape"), two]) + b"\n")
    assert Records(path, OF).read() == {0: DONE[0]}
    write(Records(path, OF), 0, [1, 2])
    Records(path, OF).finish(3)
    assert Records(path, OF).read() == DONE
    path.write_bytes(b"\n".join([first, zero, line.encode(errors="surrogateescape"), two]) + b"\n")
    with pytest.raises(UserError, match=r"Line 3 of .* is cut off or was changed|is not text|a zero byte"):
        read_records(path)


def test_records_that_lack_their_first_line_are_refused(path: Path) -> None:
    path.write_text("")
    with pytest.raises(UserError, match=r"Line 1 of .*; remove the file and evaluate again"):
        read_records(path)
    with pytest.raises(UserError, match="does not exist"):
        read_records(path.with_name("other.jsonl"))


def test_an_episode_that_there_is_not_is_left_out(path: Path) -> None:
    write(Records(path, OF), 0, [0, 1, 2])
    with path.with_name("records_x.0.jsonl").open("a") as file:
        file.write('{"episode":999,"rows":[{"j":0}]}\n{"episode":-1,"rows":[{"j":0}]}\n')
    assert Records(path, OF).finish(3) == [row for number in (0, 1, 2) for row in DONE[number]]


@pytest.mark.parametrize("other", [{**OF, "checkpoint": "abd"}, {**OF, "rule": {"shots": [1], "size": None}}, {}])
def test_records_of_anything_else_are_left_out_and_replaced(path: Path, other: dict[str, Any]) -> None:
    write(Records(path, OF), 0, [0, 1, 2])
    write(Records(path, OF), 1, [0])
    assert Records(path, other).read() == {}
    Records(path, OF).finish(3)
    assert Records(path, other).read() == {}
    write(Records(path, OF), 1, [0])
    write(Records(path, other), 0, [2])
    assert set(Records(path, other).read()) == {2}
    assert Records(path, other).finish(1) == DONE[2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert Records(path, OF).read() == {}


def test_another_wording_of_the_rule_resumes(path: Path) -> None:
    rules = [{**OF, "rule": {**OF["rule"], "about": about}} for about in ("J.", "The mean J.")]
    write(Records(path, rules[0]), 0, [0, 1])
    assert set(Records(path, rules[1]).read()) == {0, 1}
    write(Records(path, rules[1]), 0, [2])
    assert set(Records(path, rules[1]).read()) == {0, 1, 2}


def test_other_protocols_beside_it_are_left_alone(path: Path) -> None:
    other = Records(path.with_name("records_xy.jsonl"), OF)
    write(other, 0, [1])
    write(Records(path, OF), 0, [0])
    assert Records(path, OF).finish(1) == DONE[0]
    assert other.read() == {1: []}


def test_a_missing_episode_is_an_error(path: Path) -> None:
    write(Records(path, OF), 0, [0, 2])
    with pytest.raises(RuntimeError, match="has 2 of 3 episodes"):
        Records(path, OF).finish(3)
    assert Records(path, OF).read() == {0: DONE[0], 2: DONE[2]}


class Counting(Masks):
    """Notes which items it measures, and stops before ``stop``."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__("A rule.", modes=["semantic"], shots=[1], points=[2], figures=["J"], episodes=6)
        self.stop, self.measured = stop, list[int]()

    def measure(self, item: EvaluationEpisode, *args: Any) -> list[Row]:
        if item.number == self.stop:
            raise KeyboardInterrupt
        self.measured.append(item.number)
        return super().measure(item, *args)


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(runner, "Answers", lambda *_, **__: Stub())

    class Nobody(Network):
        needs_same_image = False

        def encode(self, *_: Any) -> Any:
            raise NotImplementedError

        def forward(self, *_: Any) -> Any:
            raise NotImplementedError

    return Setup(Nobody(), SHAPES)


def answered(path: Path, protocol: Counting, asked: Setup) -> list[Row]:
    job = Job("x", protocol, freeze(SHAPES, "test", protocol.plan), Records(path, OF))
    ((done, rows),) = run([job], asked)
    assert done is job
    return rows


def test_an_interrupted_run_goes_on_to_the_same_file(
    path: Path, stubbed: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = answered(path, Counting(), stubbed)
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        answered(path, Counting(stop=4), stubbed)
    part = path.with_name("records_x.0.jsonl")
    with part.open("ab") as file:
        file.write(b'{"episode":4,"rows":[{"episode":4,"see')
    rest = Counting()
    assert capsys.readouterr().err == ""
    assert answered(path, rest, stubbed) == expected
    assert capsys.readouterr().err == "x goes on: 4 of 6 episodes were measured before.\n"
    assert rest.measured == [4, 5]
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = Counting()
    assert answered(path, again, stubbed) == expected
    assert again.measured == []


def test_what_another_process_has_measured_meanwhile_is_not_from_before(
    path: Path, stubbed: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = Counting()
    job = Job("x", protocol, freeze(SHAPES, "test", protocol.plan), Records(path, OF))
    for rank in (1, 0):
        runner.run_share(rank, job, stubbed, 2)
    assert capsys.readouterr().err == ""
    assert sorted(protocol.measured) == [*range(6)]
    runner.run_share(0, job, stubbed, 2)
    said = "x goes on: 3 of 3 episodes of the first of 2 processes were measured before.\n"
    assert capsys.readouterr().err == said
    assert len(protocol.measured) == 6


def test_it_goes_on_from_the_parts_of_another_number_of_processes(path: Path, stubbed: Setup) -> None:
    expected = answered(path, Counting(), stubbed)
    whole = path.read_bytes()
    records, by_number = Records(path, OF), Records(path, OF).read()
    path.unlink()
    # as three processes leave them, the second of which had not begun
    for rank, numbers in ((0, [0, 1]), (2, [4])):
        with records.part(rank) as part:
            for number in numbers:
                part.add(number, by_number[number])
    rest = Counting()
    assert answered(path, rest, stubbed) == expected
    assert rest.measured == [2, 3, 5]
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("processes", "each"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_processes_share_the_threads(
    monkeypatch: pytest.MonkeyPatch, stubbed: Setup, processes: int, each: int
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(runner, "set_start_method", lambda *_, **__: None)
    runner._shares(0, [], stubbed, processes, SimpleQueue())
    assert threads == [each]
