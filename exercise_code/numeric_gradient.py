"""Gradients by central differences, and how far two gradients are apart: the gradient check of exercise 01.

`exercise_code.gradient_check` is the thorough version: it chooses the step for each entry, steps around kinks and knows
whole networks.  This one is short enough to be written in a quarter of an hour.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def numeric_gradient(f: Callable[[NDArray], float], x: NDArray, h: float = 1e-5) -> NDArray:
    """Gradient of f at x by central differences, `(f(x + h e_i) - f(x - h e_i)) / (2 h)` for every entry i.

    e_i is 1 at entry i and 0 elsewhere.  The formula's own error falls with h**2, that of rounding grows with 1 / h.

    Args:
        f: takes an array of x's shape, returns one number.
        x: floating-point array of any shape; it is the same afterwards.
        h: size of the step, > 0.

    Returns:
        float64 array of x's shape.

    >>> import numpy as np
    >>> numeric_gradient(lambda x: float(np.sum(x**2)), np.array([1.0, -3.0])).round(6).tolist()
    [2.0, -6.0]
    """
    ### BEGIN SOLUTION 01_sigmoid
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient
    ### END SOLUTION


def relative_error(a: NDArray, b: NDArray) -> float:
    """Largest relative difference of two arrays, `max_i |a_i - b_i| / max(|a_i|, |b_i|, 1e-8)`.

    The 1e-8 keeps two entries of 0 from giving 0 / 0, and counts a difference between tiny entries as small.

    Args:
        a, b: arrays of one shape.

    Returns:
        A number from 0 (equal) to 2 (opposite signs); NaN when an entry is NaN.

    Raises:
        ValueError: the shapes differ (NumPy would broadcast them and compare entries that do not belong together).

    >>> import numpy as np
    >>> round(relative_error(np.array([1.0, 100.0]), np.array([1.0, 101.0])), 5)
    0.0099
    """
    ### BEGIN SOLUTION 01_sigmoid
    if np.shape(a) != np.shape(b):
        raise ValueError(f"expected two arrays of one shape, got {np.shape(a)} and {np.shape(b)}")
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-8)
    return float(np.max(np.abs(a - b) / scale))
    ### END SOLUTION
