"""The tests check types and shapes of every call, with and without arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from guided_seg.files.text import same_form
from guided_seg.metrics.intervals import t_interval
from guided_seg.protocols.statistics import positive_iou


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
