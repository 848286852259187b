"""Records: the measurements of each episode, written immediately, so that an interrupted evaluation can resume.

A line is ``{"episode": NUMBER, "rows": [...]}``. An episode with an unreadable file has no rows but
``"broken": SENTENCE``; a resume tries it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from guided_seg.errors import UserError
from guided_seg.files.text import read_text
from guided_seg.files.writing import whole_file
from guided_seg.protocols.protocol import Row

FORMAT = 3
"""The version of the rows, for headers; a file of another version is not resumed."""

Entry = dict[str, Any]
"""A line: ``episode``, ``rows`` and, if a file could not be read, ``broken``."""


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
        return {number: entry["rows"] for number, entry in self._entries().items() if "broken" not in entry}

    def broken(self) -> list[int]:
        """The numbers of the episodes with an unreadable file."""
        return [number for number, entry in self._entries().items() if "broken" in entry]

    def finish(self, episodes: int) -> list[Row]:
        """Merge the parts into one file and return the rows of all episodes in order.

        Raises:
            RuntimeError: an episode is missing because a process ended early.
        """
        found = self._entries()
        if len(found) > episodes:  # a line was added by hand
            found = {number: entry for number, entry in found.items() if 0 <= number < episodes}
        if len(found) != episodes:
            raise RuntimeError(f"{self.path} has {len(found)} of {episodes} episodes.")
        _write_all(self.path, self.of, found.values())
        self._remove_parts()
        return [row for entry in found.values() for row in entry["rows"]]

    def remove(self) -> None:
        """Remove the file and its parts."""
        self.path.unlink(missing_ok=True)
        self._remove_parts()

    def _entries(self) -> dict[int, Entry]:
        """The line of each episode. An episode that was tried again has its last line."""
        entries = [entry for path in (self.path, *self._parts()) for entry in _read(path, self.of)]
        entries.sort(key=lambda entry: "broken" not in entry)  # stable: rows replace an earlier failure
        return dict(sorted({entry["episode"]: entry for entry in entries}.items()))

    def _remove_parts(self) -> None:
        for part in self._parts():
            part.unlink()

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
        self._add({"episode": number, "rows": rows})

    def leave_out(self, number: int, fault: str) -> None:
        """Write that an episode has an unreadable file.

        Args:
            number: of the episode.
            fault: a sentence about the file.
        """
        self._add({"episode": number, "rows": [], "broken": fault})

    def _add(self, entry: Entry) -> None:
        _write(self._file, entry)
        self._file.flush()


def read_records(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The header and the rows of a finished file. Raises `UserError` if it is damaged."""
    first, *rest = [*read_text(path, "file of records", UserError).splitlines(), ""]
    of, entries = _loads(first), [_entry(line) for line in rest if line]
    if not isinstance(of, dict) or None in entries:
        line = 1 if not isinstance(of, dict) else entries.index(None) + 2
        raise UserError(f"Line {line} of {path} is cut off or was changed; remove the file and evaluate again.")
    return of, [row for entry in entries if entry for row in entry["rows"]]


def _read(path: Path, of: Mapping[str, Any]) -> list[Entry]:
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


def _entry(line: str) -> Entry | None:
    """The content of a line; None if the line is damaged."""
    match entry := _loads(line):
        case {"episode": int(), "rows": [*rows]} if all(isinstance(row, dict) for row in rows):
            return cast("Entry", entry)
    return None


def _loads(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _write_all(path: Path, of: Mapping[str, Any], entries: Iterable[Entry]) -> None:
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        _write(file, of)
        for entry in entries:
            _write(file, entry)


def _write(file: TextIO, entry: Mapping[str, Any]) -> None:
    file.write(json.dumps(entry, separators=(",", ":")) + "\n")


def without_about(of: Any) -> Any:
    """The header without the description of the rule, whose wording may differ between versions."""
    match of:
        case {"rule": {**rule}}:
            return {**of, "rule": {key: value for key, value in rule.items() if key != "about"}}
    return of
