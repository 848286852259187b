"""How far the guidance of one class differs from image to image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def spread(guidance: Sequence[tuple[str, Float[np.ndarray, " C"]]]) -> dict[str, float]:
    """The norm of guidance, and how far it differs within a class.

    ``guidance_norm`` is the mean norm of z. ``guidance_variance`` is the variance of z within a class (the mean squared
    distance from the mean z of its class, with the denominator n - 1), as a share of the mean squared norm: 0 if all
    images of a class give one z. It is left out if no class occurs twice.

    Args:
        guidance: class or object, and its z in one episode.

    Example:
        >>> spread([("cow", np.array([3.0, 4.0])), ("cow", np.array([3.0, 4.0])), ("dog", np.array([5.0, 0.0]))])
        {'guidance_norm': 5.0, 'guidance_variance': 0.0}
    """
    if not guidance:
        return {}
    z = np.stack([vector for _, vector in guidance]).astype(float)
    squares = (z**2).sum(1)
    found = {"guidance_norm": float(np.sqrt(squares).mean())}
    names, own = np.unique([group for group, _ in guidance], return_inverse=True)
    means = np.stack([z[own == number].mean(0) for number in range(len(names))])
    freedom = len(z) - len(names)
    if freedom and squares.any():
        found["guidance_variance"] = float(((z - means[own]) ** 2).sum() / freedom / squares.mean())
    return found
