"""UserError: what a person can mend, told in a sentence instead of a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Input that cannot be used; the message says what was found, what was expected and what to do."""


class CompositionError(UserError):
    """Options that have no meaning together, and what to choose instead; a sweep counts the job as refused."""


class VideoWarning(UserWarning):
    """Frames of a video that cannot be decoded and are left out."""
