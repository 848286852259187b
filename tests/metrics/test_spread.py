"""The spread of guidance, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from guided_seg.metrics.spread import spread


def test_it_is_the_variance_within_classes_over_the_mean_squared_norm() -> None:
    z = {"a": [[1.0, 0.0], [3.0, 0.0]], "b": [[0.0, 2.0], [0.0, 2.0], [0.0, 5.0]], "c": [[6.0, 0.0]]}
    found = spread([(name, np.array(row)) for name, rows in z.items() for row in rows])
    within = sum(np.var(rows, axis=0, ddof=1).sum() * (len(rows) - 1) for rows in z.values() if len(rows) > 1) / 3
    assert found["guidance_variance"] == pytest.approx(within / ((1 + 9 + 4 + 4 + 25 + 36) / 6))
    assert found["guidance_norm"] == pytest.approx((1 + 3 + 2 + 2 + 5 + 6) / 6)


def test_it_does_not_depend_on_the_scale() -> None:
    rng = np.random.default_rng(0)
    z = [("ab"[number % 2], rng.normal(size=4)) for number in range(9)]
    small, large = spread(z), spread([(name, 100 * row) for name, row in z])
    assert large["guidance_variance"] == pytest.approx(small["guidance_variance"])
    assert large["guidance_norm"] == pytest.approx(100 * small["guidance_norm"])


def test_guidance_without_a_class_in_common_has_no_variance() -> None:
    assert spread([]) == {}
    assert spread([("a", np.ones(2)), ("b", np.ones(2))]).keys() == {"guidance_norm"}
    assert spread([("a", np.zeros(2)), ("a", np.zeros(2))]) == {"guidance_norm": 0.0}
