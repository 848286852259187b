"""Records: the measurements of each episode, written immediately, so that an interrupted evaluation can resume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from guided_seg.errors import UserError
from guided_seg.files.text import read_text
from guided_seg.files.writing import whole_file
from guided_seg.protocols.protocol import Row


class Records:
    """A JSON-lines file: a header that identifies the evaluation, then one line per episode. Each process has a part.

    Args:
        path: the finished file, ``NAME.jsonl``; the parts are ``NAME.0.jsonl`` and so on in the same folder.
        of: the header. Files with another header are ignored and overwritten.
    """

    def __init__(self, path: Path, of: Mapping[str, Any]) -> None:
        self.path, self.of = path, dict(of)

    def part(self, rank: int) -> Part:
        """The file of one process."""
        return Part(self.path.with_name(f"{self.path.stem}.{rank}.jsonl"), self.of)

    def read(self) -> dict[int, list[Row]]:
        """The rows of each finished episode, by its number."""
        found: dict[int, list[Row]] = {}
        for path in (self.path, *self._parts()):
            found |= dict(_read(path, self.of))
        return dict(sorted(found.items()))

    def finish(self, episodes: int) -> list[Row]:
        """Merge the parts into one file and return the rows of all episodes in order.

        Raises:
            RuntimeError: an episode is missing because a process ended early.
        """
        found = self.read()
        if len(found) > episodes:  # a line was added by hand
            found = {number: rows for number, rows in found.items() if 0 <= number < episodes}
        if len(found) != episodes:
            raise RuntimeError(f"{self.path} has {len(found)} of {episodes} episodes.")
        _write_all(self.path, self.of, found.items())
        for part in self._parts():
            part.unlink()
        return [row for rows in found.values() for row in rows]

    def _parts(self) -> Sequence[Path]:
        return sorted(self.path.parent.glob(f"{self.path.stem}.*.jsonl"))


class Part:
    """The records of one process. Each episode is on disk before the next begins."""

    def __init__(self, path: Path, of: Mapping[str, Any]) -> None:
        self.path, self.of = path, of

    def __enter__(self) -> Part:
        _write_all(self.path, self.of, _read(self.path, self.of))
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, number: int, rows: Sequence[Row]) -> None:
        """Write the rows of an episode."""
        _write(self._file, {"episode": number, "rows": rows})
        self._file.flush()


def read_records(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The header and the rows of a finished file. Raises `UserError` if it is damaged."""
    first, *rest = [*read_text(path, "file of records", UserError).splitlines(), ""]
    of, entries = _loads(first), [_entry(line) for line in rest if line]
    if not isinstance(of, dict) or None in entries:
        line = 1 if not isinstance(of, dict) else entries.index(None) + 2
        raise UserError(f"Line {line} of {path} is cut off or was changed; remove the file and evaluate again.")
    return of, [row for entry in entries if entry for row in entry[1]]


def _read(path: Path, of: Mapping[str, Any]) -> list[tuple[int, list[Row]]]:
    if not path.is_file():
        return []
    found = []
    with path.open(encoding="utf-8", errors="replace") as file:
        if without_about(_loads(file.readline())) != without_about(of):
            return []
        for line in file:
            if (entry := _entry(line)) is None:
                break  # cut off when the process was stopped
            found.append(entry)
    return found


def _entry(line: str) -> tuple[int, list[Row]] | None:
    """The episode number and rows of a line; None if the line is damaged."""
    match _loads(line):
        case {"episode": int(number), "rows": [*rows]} if all(isinstance(row, dict) for row in rows):
            return number, rows
    return None


def _loads(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _write_all(path: Path, of: Mapping[str, Any], entries: Iterable[tuple[int, list[Row]]]) -> None:
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        _write(file, of)
        for number, rows in entries:
            _write(file, {"episode": number, "rows": rows})


def _write(file: TextIO, entry: Mapping[str, Any]) -> None:
    file.write(json.dumps(entry, separators=(",", ":")) + "\n")


def without_about(of: Any) -> Any:
    """The header without the description of the rule, whose wording may differ between versions."""
    match of:
        case {"rule": {**rule}}:
            return {**of, "rule": {key: value for key, value in rule.items() if key != "about"}}
    return of
