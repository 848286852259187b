"""Read tensor files without running code in them, and explain in a sentence why a file is unusable."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from guided_seg.errors import BrokenFile, UserError
from guided_seg.files.writing import whole_file

_SPARE, _SPARE_TENSORS = 150_000_000, 2000
"""Extra parameters and tensors that a build may use beyond those of the file; timm builds and drops classifiers."""


def read_torch(path: Path) -> Any:
    """Read a PyTorch file to the CPU, without running code in it.

    Raises:
        BrokenFile: it cannot be read, or contains more than plain values and tensors.
    """
    try:
        return load_plain(path)
    except Exception as error:  # a file that is not a pickle can raise anything
        raise BrokenFile(f"{path} cannot be read as a checkpoint ({unreadable(path, error)}.") from error


def check_whole(path: Path) -> None:
    """Compare a PyTorch file with its own checksums, which reading it does not do.

    Raises:
        BrokenFile: it is damaged, or is no such file.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BrokenFile(f"{path} cannot be read as a checkpoint ({unreadable(path, error)}.") from error
    if damaged is not None:
        raise BrokenFile(f"{path} is damaged: {damaged} in it does not have its checksum.")


def write_torch(path: Path, content: Any, before: Path | None = None) -> int:
    """Write a PyTorch file, which is whole even if the process is killed or the power fails; return its bytes.

    Args:
        path: the file.
        content: tensors and plain values.
        before: where the file that ``path`` names so far is kept. If the process is killed in between, there is only
            ``before``.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    buffer = io.BytesIO()  # PyTorch's own writer reports a full disk as a RuntimeError
    torch.save(content, buffer)
    with whole_file(path, lasting=True) as partial:
        partial.write_bytes(buffer.getbuffer())
        if before is not None and path.exists():
            path.replace(before)
    return buffer.tell()


class Bomb(ValueError):
    """A small file that would fill the memory."""


def load_plain(path: Path) -> Any:
    """What a PyTorch file holds, on the CPU. No code in it is run, and no more is unpacked than the file is long.

    Raises:
        Bomb: it would unpack to more; PyTorch compresses nothing.
        Exception: the error of PyTorch, of any class, if it is no such file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            whole = sum(entry.file_size for entry in packed.infolist())
        if whole > (there := path.stat().st_size):
            raise Bomb(f"its {there:,} bytes would unpack to {whole:,}")
    return torch.load(path, map_location="cpu", weights_only=True)


def unreadable(path: Path, error: Exception) -> str:
    """Why a tensor file cannot be read, often from its first bytes, and advice: ``why); advice``."""
    text = str(error)
    if isinstance(error, Bomb):
        return f"{text}, and PyTorch compresses nothing); use one that guided_seg wrote"
    try:
        with path.open("rb") as file:
            raw = file.read(200)
            begin = raw.lstrip()
    except OSError as refused:
        return f"{refused.strerror or refused}); check its name and its permissions"
    if not begin:
        return "it is empty); get it again"
    if begin[:1] == b"<":
        return "it is a web page, as a server sends when it does not give the file); get it again"
    if begin.startswith(b"version https://git-lfs"):
        return "it only points to a file in Git LFS); run git lfs pull in its repository"
    if any(word in text for word in ("Unsupported global", "GLOBAL", "Unsupported class")):
        # PyTorch advises to load it anyway, which would run code in it
        return (
            "it holds Python objects besides tensors, and reading those could run any code); use one that guided_seg "
            "wrote, or save the state_dict alone"
        )
    if isinstance(error, SafetensorError) and begin.startswith(b"PK"):
        return "it is a zip or a file of PyTorch, not of safetensors); if it is a checkpoint, rename it to .ckpt"
    if not isinstance(error, SafetensorError) and raw[8:9] == b"{":
        return "it is a file of safetensors, such as a released model); give a .ckpt of a run, or rename it"
    return "it is cut off, damaged or another kind of file); get it again"


def check_tensors(state: Mapping[str, object], origin: str | PathLike[str], finite: bool = True) -> None:
    """Refuse tensors that a network cannot use.

    Args:
        state: the tensors.
        origin: their file, for messages.
        finite: refuse NaN, too.

    Raises:
        UserError: a tensor is not an ordinary one, or contains NaN.
    """
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_meta:
            raise UserError(f"{key} in {origin} is no ordinary tensor; give a file that guided_seg wrote.")
        if tensor.numel() > _values(tensor):
            raise UserError(f"{key} in {origin} has more values than the file; give a file that guided_seg wrote.")
        # a sum is fast and shows NaN; so do infinities, which are allowed, as masks use them
        if finite and tensor.is_floating_point() and tensor.sum().isnan() and tensor.isnan().any():
            raise UserError(
                f"{key} in {origin} has values that are not numbers (NaN), so the network cannot answer: its "
                "training diverged. Take an earlier checkpoint, or train with a lower learning rate."
            )


def _values(tensor: Tensor) -> int:
    """How many values a tensor stores. Of a stride of 0, for instance, it may have any number."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def check_types(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise `TypeError` if loading would silently convert integers to floats, or the reverse."""
    for key, own in network.state_dict().items():
        found = state.get(key, own)
        if found.is_complex() or found.is_quantized or found.is_floating_point() != own.is_floating_point():
            raise TypeError(f"{key} is of {found.dtype}, and the network has {own.dtype}")


@contextmanager
def no_larger_than(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Limit networks built in this thread to about that many parameters, to protect memory from far larger ones.

    Raises:
        ValueError: a network is too large.
    """
    # what is stored, and not shapes: any number of tensors, of any shape, may share a few values
    stored = {each.untyped_storage().data_ptr(): _values(each) for each in state.values()}
    left = _SPARE + sum(stored.values())
    tensors, thread = _SPARE_TENSORS + 4 * len(state), get_ident()

    def count(_: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal left, tensors
        if parameter is not None and get_ident() == thread:
            left, tensors = left - parameter.numel(), tensors - 1
            if min(left, tensors) < 0:
                raise ValueError(f"it has far more parameters than the file, in {name} of {tuple(parameter.shape)}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
