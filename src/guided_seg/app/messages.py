"""The messages that a page sends, and their checks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from guided_seg.errors import UserError
from guided_seg.model.video.previous_frame import Memory

LONGEST = 2**23
"""Most characters of a message: the run lengths of a mask are the longest."""

Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
Pixel = tuple[Number, Number]
"""Row and column, in pixels from the top left."""


class Message(BaseModel):
    """What every message holds.

    Attributes:
        n: its number, counted by the page. Replies repeat it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    n: Annotated[int, Field(ge=0, le=2**53)]


class Look(Message):
    """The page shows this image now."""

    do: Literal["look"]
    image: Name


class Dot(Message):
    """Set a dot."""

    do: Literal["dot"]
    image: Name
    row: Number
    column: Number
    label: Number


class Move(Message):
    """Move a dot."""

    do: Literal["move"]
    image: Name
    start: Pixel
    end: Pixel


class Remove(Message):
    """Remove the dot at a pixel."""

    do: Literal["remove"]
    image: Name
    row: Number
    column: Number


class Scribble(Message):
    """Set dots along a line."""

    do: Literal["scribble"]
    image: Name
    points: Annotated[list[Pixel], Field(min_length=1, max_length=10_000)]
    label: Number


class Box(Message):
    """Set dots for a box: top, left, bottom and right, inclusive."""

    do: Literal["box"]
    image: Name
    box: tuple[Number, Number, Number, Number]
    label: Number


class Paint(Message):
    """Give a label the pixels of a mask.

    Attributes:
        runs: base64 of the lengths of its runs, unsigned 32-bit little-endian: off, on, off, ..., row by row.
    """

    do: Literal["paint"]
    image: Name
    label: Number
    runs: Annotated[str, Field(max_length=LONGEST)]


class Clear(Message):
    """Remove all dots and masks of an image, or of all images."""

    do: Literal["clear"]
    image: Name | None = None


class Step(Message):
    """Undo or redo one step."""

    do: Literal["undo", "redo"]


class Label(Message):
    """Add a label."""

    do: Literal["label"]
    name: Annotated[str, Field(min_length=1, max_length=100)]


class Hover(Message):
    """Show what a dot there would do."""

    do: Literal["hover"]
    image: Name
    row: Number
    column: Number
    label: Number


class Other(Message):
    """Segment the image by the second network."""

    do: Literal["other"]
    image: Name


class Refine(Message):
    """Segment the image by test-time refinement."""

    do: Literal["refine"]
    image: Name


class View(Message):
    """Send the score of a label, or the similarity to its z, as a grey map."""

    do: Literal["view"]
    image: Name
    what: Literal["heat", "similarity"]
    label: Number


class Fill(Message):
    """Segment all images in the background, and again after each edit."""

    do: Literal["fill"]


class Play(Message):
    """Segment a video frame by frame."""

    do: Literal["play"]
    video: Name
    start: Number = 0
    memory: Memory = "none"
    corrections: Literal["all", "forward"] = "all"
    backward: bool = False


class Stop(Message):
    """Stop what runs in the background."""

    do: Literal["stop"]


class Next(Message):
    """Say where the next dot would help most."""

    do: Literal["next"]


class Frame(Message):
    """Make a frame of a video an image that can be annotated."""

    do: Literal["frame"]
    video: Name
    index: Number


class Export(BaseModel):
    """Masks for another tool, asked for by a download, not by a message.

    Attributes:
        format: a name in `guided_seg.formats.FORMATS`.
        annotated: leave out images without dots.
        refined: refined answers, which take longer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: str
    annotated: bool = False
    refined: bool = False


Question = Look | Hover | Other | View | Refine | Next
"""These change nothing, and only the latest of each kind is answered."""
Edit = Dot | Move | Remove | Scribble | Box | Paint
"""Changes of one image."""
Change = Edit | Clear | Step
"""Changes of dots or masks."""

AnyMessage = Annotated[
    Look
    | Dot
    | Move
    | Remove
    | Scribble
    | Box
    | Paint
    | Clear
    | Step
    | Label
    | Hover
    | Other
    | Refine
    | View
    | Fill
    | Play
    | Stop
    | Next
    | Frame,
    Field(discriminator="do"),
]

_READER: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def parse(text: str) -> AnyMessage:
    """Read a message.

    Raises:
        UserError: it is too long, is not JSON, or lacks something.

    Example:
        >>> parse('{"n": 1, "do": "look", "image": "cat"}').image
        'cat'
    """
    if len(text) > LONGEST:
        raise UserError(f"A message of {len(text):,} characters came; at most {LONGEST:,} are read.")
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"][1:])
        place = f" at {where}" if where else ""
        raise UserError(f"A message that cannot be read came: {found['msg']}{place}; reload the page.") from None
    except ValueError as error:  # lone surrogates
        raise UserError(f"A message that is not text came ({error}); reload the page.") from None
