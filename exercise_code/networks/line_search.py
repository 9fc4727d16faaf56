"""How far to go in a given direction: backtracking, and a search for the strong Wolfe conditions.

Both look at phi(alpha) = f(x + alpha * direction) for alpha > 0, with slope = phi'(0) < 0.  The lecture writes
`alpha = min f(...)`; what is meant is the alpha at which f is smallest (arg min), and a search that really finds it would
waste work: an alpha that is good enough, in the sense of these conditions, is all that the methods need.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ARMIJO, CURVATURE = 1e-4, 0.9


@dataclass(frozen=True)
class Point:
    """A point on the search line: how far (alpha >= 0), where x (D,), the value there, the gradient (D,) there."""

    alpha: float
    x: NDArray
    value: float
    gradient: NDArray


def backtracking(fun: Callable, grad: Callable, start: Point, direction: NDArray) -> Point | None:
    """Halve alpha = 1, 1/2, 1/4, ... until f falls enough (Armijo 1966): `phi(alpha) <= phi(0) + 1e-4 * alpha * slope`.

    Args:
        fun: x (D,) -> number.  A value that is not finite counts as too far.
        grad: x (D,) -> (D,).
        start: where the line begins; its own alpha is not looked at.
        direction: (D,), a direction of descent.

    Returns:
        The point found, or None after 50 halvings: the direction goes down by less than rounding can show.

    Raises:
        ValueError: the direction does not go down.

    >>> import numpy as np
    >>> start = Point(0.0, np.array([1.0]), 1.0, np.array([2.0]))
    >>> backtracking(lambda x: float(x @ x), lambda x: 2 * x, start, np.array([-3.0])).alpha
    0.5
    """
    slope = _descent(start, direction)
    for halvings in range(51):
        alpha = 0.5**halvings
        x = start.x + alpha * direction
        value = float(fun(x))
        if value <= start.value + ARMIJO * alpha * slope and value < start.value:
            return Point(alpha, x, value, grad(x))
    return None


def strong_wolfe(
    fun: Callable, grad: Callable, start: Point, direction: NDArray, first_alpha: float = 1.0
) -> Point | None:
    """Find an alpha that lowers f enough and flattens it enough (Nocedal and Wright 2006, algorithms 3.5 and 3.6).

    `phi(alpha) <= phi(0) + 1e-4 * alpha * slope` and `abs(phi'(alpha)) <= 0.9 * abs(slope)`.  The second condition makes
    `s @ u > 0` for the step s and the change u of the gradient, which is what keeps the matrix of BFGS positive definite.

    Args:
        fun, grad, start, direction: as for `backtracking`.
        first_alpha: tried first, > 0; doubled until the wanted alpha is bracketed.

    Returns:
        The point found; failing that within 60 trials, one that at least lowers f enough; failing that, None.

    Raises:
        ValueError: the direction does not go down.

    >>> import numpy as np
    >>> start = Point(0.0, np.array([1.0]), 1.0, np.array([2.0]))
    >>> point = strong_wolfe(lambda x: float(x @ x), lambda x: 2 * x, start, np.array([-0.001]))
    >>> bool(abs(point.gradient @ np.array([-0.001])) <= 0.9 * 0.002)
    True
    """
    slope0 = _descent(start, direction)

    def at(alpha: float) -> tuple[Point, float]:
        x = start.x + alpha * direction
        value, gradient = float(fun(x)), np.asarray(grad(x), dtype=np.float64)
        slope = float(gradient @ direction)
        if not (math.isfinite(value) and math.isfinite(slope)):
            value, slope = math.inf, math.inf
        return Point(alpha, x, value, gradient), slope

    # `low` lowers f enough and lies on the near side of the wanted alpha; `high` is the other side, None while unknown.
    low, low_slope = replace(start, alpha=0.0), slope0  # start may be the end of the search before
    high: Point | None = None
    high_slope = math.nan
    alpha = first_alpha
    for _ in range(60):
        point, slope = at(alpha)
        too_high = point.value > start.value + ARMIJO * alpha * slope0 or (
            point.value >= low.value and (high is not None or low.alpha > 0)
        )
        if too_high:
            high, high_slope = point, slope
        elif abs(slope) <= CURVATURE * abs(slope0):
            return point
        else:
            if high is None:
                if slope >= 0:
                    high, high_slope = low, low_slope
            elif slope * (high.alpha - low.alpha) >= 0:
                high, high_slope = low, low_slope
            low, low_slope = point, slope
        if high is None:
            alpha = 2 * low.alpha
        elif abs(high.alpha - low.alpha) * np.abs(direction).max() <= 1e-16 * (1 + np.abs(start.x).max()):
            break
        else:
            alpha = _between(low, low_slope, high, high_slope)
    return low if low.value < start.value else None


def _descent(start: Point, direction: NDArray) -> float:
    slope = float(start.gradient @ direction)
    if not slope < 0:
        raise ValueError(f"expected a direction of descent (gradient @ direction < 0), got a slope of {slope:.3g}")
    return slope


def _between(low: Point, low_slope: float, high: Point, high_slope: float) -> float:
    """Minimum of the cubic with the values and slopes at both ends, kept off the ends by a tenth of the interval."""
    width = high.alpha - low.alpha
    middle = low.alpha + width / 2
    if not math.isfinite(high.value):
        return middle
    d1 = low_slope + high_slope - 3 * (high.value - low.value) / width
    square = d1 * d1 - low_slope * high_slope
    if not square >= 0:
        return middle
    d2 = math.copysign(math.sqrt(square), width)
    denominator = high_slope - low_slope + 2 * d2
    if denominator == 0:
        return middle
    alpha = high.alpha - width * (high_slope + d2 - d1) / denominator
    near, far = sorted((low.alpha + width / 10, high.alpha - width / 10))
    return min(max(alpha, near), far) if math.isfinite(alpha) else middle
