"""Skip unreadable files: warn about each one once, count the episodes left out, and stop if there are too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from guided_seg.errors import DataError

log = logging.getLogger(__name__)


class SkippedFiles:
    """Count episodes, and those with an unreadable file.

    Args:
        limit: largest share of episodes with an unreadable file.
        grace: the share is computed over at least this number of episodes.
    """

    def __init__(self, limit: float = 0.01, grace: int = 100) -> None:
        self.limit, self.grace = limit, grace
        self.episodes, self.broken = 0, 0
        self._reported: set[str] = set()

    def count(self, faults: Iterable[Sequence[str]]) -> None:
        """Count episodes.

        Args:
            faults: for each episode, a sentence about each of its unreadable files.

        Raises:
            DataError: too many episodes have one.
        """
        for sentences in faults:
            self.episodes += 1
            self.broken += bool(sentences)
            for sentence in sentences:
                if sentence not in self._reported:
                    self._reported.add(sentence)
                    log.warning("Skipped a broken file: %s", sentence)
        share = self.broken / max(self.episodes, self.grace)
        if share > self.limit:
            raise DataError(
                f"{self.broken} of {self.episodes} episodes met a broken file ({len(self._reported)} files), more than "
                f"the limit of {self.limit:.1%}; repair or remove the files named above, or raise max_broken."
            )
