"""The tests check types and shapes of every call, with and without arrays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import runtime_types
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from guided_seg.episode import Shot
from guided_seg.files.text import same_form
from guided_seg.metrics.intervals import t_interval
from guided_seg.protocols.statistics import positive_iou

WRONG: Any = "wrong"


def checked(function: Any) -> Any:
    """As the plugin of jaxtyping decorates what it finds in guided_seg."""
    return runtime_types._checked(function, typechecker=runtime_types.checker)


def test_a_wrong_type_is_told() -> None:
    wrong: Any = 3
    with pytest.raises(BeartypeCallHintViolation):
        same_form(wrong)
    with pytest.raises(BeartypeCallHintViolation):
        t_interval(wrong)


def test_a_wrong_shape_is_told_behind_a_name_too() -> None:
    table = {"fg_i": np.ones(4), "fg_u": np.ones(4)}
    assert positive_iou(table, np.ones((1, 4))) == 1
    with pytest.raises(TypeCheckError, match="weights"):
        positive_iou(table, np.ones(4))


def test_a_wrong_field_is_told() -> None:
    dot = torch.tensor([[0, 0, 1]])
    Shot(torch.zeros(3, 4, 5), dot)
    with pytest.raises(TypeCheckError, match="image"):
        Shot(torch.zeros(4, 5), dot)

    @checked
    @dataclass
    class Plain:
        number: int

    assert Plain(3).number == 3
    with pytest.raises(BeartypeCallHintViolation, match="number"):
        Plain(WRONG)


def test_a_name_is_one_length_in_arguments_and_result() -> None:
    @checked
    def cut(one: Float[Tensor, "N 2"], other: Float[Tensor, "N"], end: int) -> Float[Tensor, "N"]:
        return (one[:, 0] + other)[:end]

    assert len(cut(torch.zeros(3, 2), torch.zeros(3), 3)) == 3
    assert len(cut(torch.zeros(4, 2), torch.zeros(4), 4)) == 4, "another call, another length"
    with pytest.raises(TypeCheckError, match="other"):
        cut(torch.zeros(3, 2), torch.zeros(4), 3)
    with pytest.raises(TypeCheckError, match="return"):
        cut(torch.zeros(3, 2), torch.zeros(3), 2)


def test_a_call_inside_has_lengths_of_its_own() -> None:
    @checked
    def inner(values: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        return values

    @checked
    def outer(values: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        inner(values[1:])
        return values

    assert len(outer(torch.zeros(3))) == 3


def test_what_a_generator_takes_is_checked() -> None:
    @checked
    def rows(values: Float[Tensor, "N 2"]) -> Iterator[Float[Tensor, "N"]]:
        yield from (values[:end, 0] for end in range(2))

    assert [len(row) for row in rows(torch.zeros(3, 2))] == [0, 1]
    with pytest.raises(TypeCheckError, match="values"):
        rows(torch.zeros(3))


@pytest.mark.parametrize("arrays", [False, True])
def test_a_function_inside_another_is_checked_each_time_it_is_made(arrays: bool) -> None:
    def make(start: int) -> Callable[..., Any]:
        def plain(number: int, *, more: int = 1) -> int:
            return start + number + more

        def of_array(number: Float[Tensor, "N"], *, more: int = 1) -> Float[Tensor, "N"]:
            return start + number + more

        return checked(of_array if arrays else plain)

    first, second = make(10), make(20)
    three: Any = torch.tensor([3.0]) if arrays else 3
    assert [int(made(three)) for made in (first, second, first, make(30))] == [14, 24, 14, 34]
    assert int(second(three, more=2)) == 25
    error = TypeCheckError if arrays else BeartypeCallHintViolation
    for made in (first, second, make(40)):
        with pytest.raises(error, match="number"):
            made(WRONG)
        with pytest.raises(error, match="more"):
            made(three, more=WRONG)


def test_no_variable_of_an_outer_function_is_kept() -> None:
    def make(held: Tensor) -> Callable[[int], int]:
        def inner(number: int) -> int:
            return number + len(held)

        return checked(inner)  # type: ignore[no-any-return]

    held = torch.zeros(3)
    seen = weakref.ref(held)
    assert make(held)(1) == 4
    del held
    gc.collect()
    assert seen() is None
