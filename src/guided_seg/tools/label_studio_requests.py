"""Requests of Label Studio, checked: tasks, the labelling configuration, and what a person drew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar
from xml.etree import ElementTree as ET

from pydantic import BaseModel, Field, ValidationError

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE
from guided_seg.session.marks import Pixel

R = TypeVar("R", bound=BaseModel)

MOST_TASKS = 1000
EXAMPLE = '<BrushLabels name="tag" toName="image"> and <Image name="image" value="$image"/>'

Percent = Annotated[float, Field(ge=0, le=100)]
Length = Annotated[int, Field(gt=0)]
Text = Annotated[str, Field(max_length=2**20)]


class Value(BaseModel):
    """Where a region is, in percent of the image, and its labels."""

    x: Percent
    y: Percent
    width: Percent = 0
    height: Percent = 0
    keypointlabels: list[str] = []
    rectanglelabels: list[str] = []


class Region(BaseModel):
    """A region that a person drew.

    Attributes:
        type: ``keypointlabels``, ``rectanglelabels``, or another, which is left out.
        value: see `Value`; of another type, anything.
        is_positive: false for a negative key point; Label Studio says nothing for one that is not smart.
    """

    type: str
    value: dict[str, Any]
    original_width: Length | None = None
    original_height: Length | None = None
    image_rotation: float = 0
    is_positive: bool | None = None


class Context(BaseModel):
    """What a person has drawn on the image so far."""

    result: list[Region] = []


class Params(BaseModel):
    """Further parameters of a request."""

    context: Context | None = None


class Task(BaseModel):
    """An image to annotate: where Label Studio has it."""

    data: dict[str, Any]


class Predict(BaseModel):
    """A request for predictions."""

    tasks: Annotated[list[Task], Field(min_length=1, max_length=MOST_TASKS)]
    label_config: Text
    params: Params | None = None


class Setup(BaseModel):
    """What Label Studio says about a project before it asks for predictions."""

    label_config: Annotated[Text, Field(alias="schema")]


class Config(NamedTuple):
    """What is needed of a labelling configuration.

    Attributes:
        brush: name of the ``BrushLabels`` tag.
        image: name of the ``Image`` tag.
        key: under which a task has the address of the image.
        labels: values of the brush labels.
    """

    brush: str
    image: str
    key: str
    labels: list[str]


class Prompts(NamedTuple):
    """The dots and boxes of a request, and their labels."""

    dots: list[tuple[Pixel, str]]
    boxes: list[tuple[tuple[int, int, int, int], str]]
    labels: list[str]


def parsed(kind: type[R], body: bytes) -> R:
    """A request. Raises `UserError` with the first thing that does not fit."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, found["loc"]))
        place = f" at {where}" if where else ""
        raise UserError(
            f"The request does not fit: {found['msg']}{place}; expected what Label Studio sends to a backend."
        ) from None


def config_of(text: str) -> Config:
    """Read a labelling configuration.

    Raises:
        UserError: it is no XML, or it has no brush labels on an image.

    Example:
        >>> config_of('<View><Image name="i" value="$photo"/><BrushLabels name="b" toName="i"><Label value="cat"/>'
        ...           '</BrushLabels></View>')
        Config(brush='b', image='i', key='photo', labels=['cat'])
    """
    if "<!DOCTYPE" in text:
        raise UserError("The labelling configuration declares a DOCTYPE, which is not read; leave it out.")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise UserError(f"The labelling configuration is no XML: {error}; expected tags such as {EXAMPLE}.") from None
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for brush in root.iter("BrushLabels"):
        name, image = brush.get("name"), brush.get("toName")
        if name and image and images.get(image, "").startswith("$"):
            labels = [value for label in brush.iter("Label") if (value := label.get("value"))]
            return Config(name, image, images[image][1:], labels)
    raise UserError(f"The labelling configuration has no brush labels on an image; add {EXAMPLE}.")


def prompts_of(regions: Sequence[Region], size: Pixel, config: Config) -> Prompts:
    """The key points and boxes of a request. Regions of other types are left out.

    Args:
        regions: as Label Studio sends them.
        size: height and width of the image.
        config: names the labels.

    Raises:
        UserError: a region does not fit the image or the labels, or there is no key point and no box.
    """
    found = Prompts([], [], [])
    for region in regions:
        if region.type not in ("keypointlabels", "rectanglelabels"):
            continue
        given = (region.original_height or size[0], region.original_width or size[1])
        if given != size:
            raise UserError(
                f"The image has {given[0]} x {given[1]} pixels in Label Studio but {size[0]} x {size[1]} here; open "
                "the same file on both sides."
            )
        if region.image_rotation:
            raise UserError(f"The image is turned by {region.image_rotation:g} degrees; turn it back.")
        try:
            value = Value.model_validate(region.value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise UserError(f"A region does not fit: {first['msg']} at {'.'.join(map(str, first['loc']))}.") from None
        labels = value.keypointlabels if region.type == "keypointlabels" else value.rectanglelabels
        if len(labels) != 1 or labels[0] not in (*config.labels, NEGATIVE):
            raise UserError(
                f"A region has the labels {labels}; expected one of the brush labels: {', '.join(config.labels)}."
            )
        _add(found, value, labels[0], region, size)
    if not (found.dots or found.boxes):
        raise UserError("The request has no key point and no box; click on the object with a smart key point.")
    return found


def _add(prompts: Prompts, value: Value, label: str, region: Region, size: Pixel) -> None:
    first = _pixel(value.x, value.y, size)
    if label != NEGATIVE and label not in prompts.labels:
        prompts.labels.append(label)
    if region.type == "keypointlabels":
        prompts.dots.append((first, NEGATIVE if region.is_positive is False else label))
    else:
        last = _pixel(min(value.x + value.width, 100), min(value.y + value.height, 100), size)
        prompts.boxes.append(((*first, *last), label))


def _pixel(x: float, y: float, size: Pixel) -> Pixel:
    """The pixel at x and y in percent."""
    return min(int(y / 100 * size[0]), size[0] - 1), min(int(x / 100 * size[1]), size[1] - 1)
