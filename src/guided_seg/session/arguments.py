"""Argument checks: each value is normalised, or rejected before anything changes."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from guided_seg.errors import UserError

RGB = UInt8[np.ndarray, "H W 3"]


def text(value: object, what: str) -> str:
    """The value as a plain, non-empty ``str``.

    Args:
        value: the argument.
        what: name of the argument in the message.

    Raises:
        UserError: the value is not a string, or is empty.
    """
    if not isinstance(value, str):
        instead = f"str(...) of it, such as {str(value)!r}" if isinstance(value, (int, os.PathLike)) else "a string"
        raise UserError(f"{what} is {shown(value)}; expected text: give {instead}.")
    if not value:
        raise UserError(f"{what} is an empty string; give it a name.")
    return str.__str__(value)  # drops a subclass such as numpy's


def whole_number(value: object, what: str, least: int | None = None) -> int:
    """The value as an ``int``. Integers of numpy and torch are accepted; floats, bools and strings are not.

    Args:
        value: the argument.
        what: name of the argument in the message.
        least: smallest valid number.

    Raises:
        UserError: the value is not an integer, or is smaller than ``least``.
    """
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, RuntimeError):  # a tensor of several numbers raises RuntimeError
        number = None
    if number is None:
        raise UserError(f"{what} is {shown(value)}; expected an integer.")
    if least is not None and number < least:
        raise UserError(f"{what} is {number}; expected {least} or more.")
    return number


def pair(value: object, what: str) -> tuple[object, object]:
    """The two values of a pair, such as a row and a column.

    Raises:
        UserError: there are more or fewer than two.
    """
    found = list(value) if isinstance(value, Iterable) else []
    if len(found) != 2:
        raise UserError(f"{what} is {shown(value)}; expected a pair (row, column).")
    return found[0], found[1]


def entries(value: object, what: str, number: int | None = None) -> list[object]:
    """The entries of a list, such as points.

    Args:
        value: the argument.
        what: name of the argument in the message, with what it should hold.
        number: how many entries are expected; None for one or more.

    Raises:
        UserError: there are none, or another number.
    """
    found = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if not found or number not in (None, len(found)):
        raise UserError(f"{what}, but it is {shown(value)}.")
    return found


def flag(value: object, what: str) -> bool:
    """True or False. Raises `UserError` for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise UserError(f"{what} is {shown(value)}; expected True or False.")
    return bool(value)


def one_of(value: object, what: str, choices: tuple[str, ...]) -> str:
    """One of the choices. Raises `UserError` for anything else."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{what}={value if isinstance(value, str) else shown(value)}: expected {' or '.join(choices)}.")
    return value


def megabytes(value: object, what: str) -> float:
    """The value as a finite float from 0.

    Raises:
        UserError: the value is anything else.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise UserError(f"{what} is {shown(value)}; expected a number of megabytes, such as 1024.")
    if not isfinite(value) or value < 0:
        raise UserError(f"{what} is {value}; expected a number of megabytes from 0, such as 1024.")
    return float(value)


def usable_device(value: object) -> torch.device:
    """The value as a device that torch can use on this machine.

    Raises:
        UserError: the device is unknown or not available.
    """
    try:
        device = torch.device(value)  # type: ignore[call-overload]
        torch.empty(1, device=device).cpu()
    except Exception as error:  # the exception type depends on the device and the torch build
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"device={value} cannot be used here ({reason}); choose cpu, or cuda with a GPU.") from error
    return device


def local_path(value: object, what: str) -> Path:
    """The value as an absolute path, with ``~`` expanded. It stays valid if the working directory changes.

    Args:
        value: a string or a path.
        what: name of the argument in the message.

    Raises:
        UserError: the value is anything else, or a URL.
    """
    raw = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(raw, str):
        raise UserError(f"{what} is {shown(value)}; expected a path as text or pathlib.Path.")
    if not raw or "\0" in raw:
        raise UserError(f"{what} is the path {raw!r}, which names no file.")
    if "://" in raw or raw.startswith(("http:/", "https:/")):  # pathlib merges the two slashes
        raise UserError(f"{what} is the address {raw}, which is not fetched; download the file, or give its pixels.")
    return Path(os.path.expanduser(raw)).absolute()  # noqa: PTH111  (pathlib fails where the user is unknown)


def is_path(value: object) -> bool:
    """Whether a value names a file rather than holding its content. `local_path` then rejects bytes."""
    return isinstance(value, (str, bytes, os.PathLike))


def marked(pixels: Any, image: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A mask as a bool array: true where it is true or nonzero.

    Args:
        pixels: the mask, ``[H, W]``.
        image: id of the image in the message.
        size: height and width of the image.

    Raises:
        UserError: the size differs, or the mask is not an array of bools or numbers.
    """
    try:
        array = np.asarray(pixels)
    except Exception as error:  # numpy calls methods of the object, which can raise anything
        raise UserError(f"The mask of {image!r} is {shown(pixels)}, which numpy cannot read ({error}).") from error
    if array.dtype.kind not in "buif":
        raise UserError(f"The mask of {image!r} has the type {array.dtype}; expected bools or numbers.")
    if array.shape != size:
        raise UserError(f"The mask is {array.shape} but the image {image!r} is {size}; give one of its size.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise UserError(f"The mask of {image!r} holds NaN; give true or 1 where the label is, and 0 elsewhere.")
    return np.asarray(array != 0)


def check_rgb(what: str, image: Any) -> RGB:
    """The image as a contiguous, writable array, copied only if needed. Raises `UserError` if it is not RGB uint8."""
    try:
        array = np.asarray(image)
    except Exception as error:  # numpy calls methods of the object, which can raise anything
        raise UserError(f"The {what} is {shown(image)}, which numpy cannot read ({error}).") from error
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        found = f"{array.dtype} {array.shape}" if array.dtype != object else shown(image)
        raise UserError(f"The {what} is {found}; expected uint8 (H, W, 3), RGB{_conversion(array)}.")
    return np.require(array, requirements=["C", "W"])


def _conversion(array: np.ndarray) -> str:
    """A hint on how to convert the array to an RGB image; empty if there is none."""
    if array.ndim == 4 and array.shape[-1] == 3:
        return ": give one image at a time, or add_video for the frames of a video"
    if array.ndim == 3 and array.shape[2] not in (3, 4) and array.shape[0] in (1, 3):
        return ": put the channels last, .transpose(1, 2, 0) in numpy or .permute(1, 2, 0) in torch"
    if array.dtype.kind == "f":
        return ": values from 0 to 1 become (255 * image).round().astype(numpy.uint8)"
    if array.dtype == np.uint16:
        return ": 16 bits become (image / 257).round().astype(numpy.uint8)"
    if array.ndim == 2 and array.size:
        return ": grey becomes numpy.stack([image] * 3, axis=2)"
    if array.ndim == 3 and array.shape[2] == 4:
        return ": leave the alpha channel out, image[..., :3]"
    return ""


def shown(value: object) -> str:
    """A value as messages show it: shortened, with its type."""
    return f"{short(value)} ({type(value).__name__})"
