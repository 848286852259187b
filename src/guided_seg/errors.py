"""UserError: what a person can mend, told in a sentence instead of a traceback."""

from __future__ import annotations

import errno


class UserError(ValueError):
    """Input that cannot be used; the message says what was found, what was expected and what to do."""


class CompositionError(UserError):
    """Options that have no meaning together, and what to choose instead; a sweep counts the job as refused."""


def full_disk(error: BaseException) -> str | None:
    """What to say of an error of a full disk or a used-up quota, or None where it is another."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return f"There is no space left to write {error.filename or 'the output'}; free some and repeat the command."
