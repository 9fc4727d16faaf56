"""A numeric derivative that knows when it cannot be trusted.

With D(h) = (f(x + h) - f(x - h)) / 2h, the derivative along one coordinate is taken as `(4 D(h/2) - D(h)) / 3`
(Richardson 1911), whose error falls with h**4 instead of h**2.

A step that jumps over a kink, such as that of ReLU at 0, shows in `|D(h) - D(h/2)| + |S(h) - 2 S(h/2)|`, where
`S(h) = (f(x + h) - 2 f(x) + f(x - h)) / h`.  For a smooth function both terms are tiny.  For a slope that changes by J at the
distance d from x, the second alone is J at d = 0 and vanishes at d = h/3, where the first is J/6: together they see every
kink that does harm.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEPS = (1e-4, 1e-5, 1e-6)  # times max(1, |x|)


def numeric_derivative(
    value: Callable[[], NDArray], weights: NDArray, array: NDArray, index: int, tolerance: Callable[[float], float]
) -> float | None:
    """Derivative of `sum(weights * value())` along one entry of a float64 array that `value` reads.

    The entry is changed in place and put back, also when `value` fails.

    Args:
        value: called without arguments, gives a float64 array; reads `array` anew at each call.
        weights: of value's shape.
        array: float64, in one piece in memory.
        index: of the entry, 0 to array.size - 1, counted row by row.
        tolerance: derivative -> largest uncertainty (see the module's text) to accept.

    Returns:
        The derivative; None when every step size meets a kink, where the uncertainty is larger than the tolerance.

    Raises:
        ValueError: array is a view that does not lie in one piece.

    >>> import numpy as np
    >>> x = np.array([3.0])
    >>> round(numeric_derivative(lambda: x**2, np.ones(1), x, 0, lambda d: 1e-6), 9)
    6.0
    >>> x[:] = 0
    >>> numeric_derivative(lambda: np.abs(x), np.ones(1), x, 0, lambda d: 1e-6) is None
    True
    """
    flat, centre = array.reshape(-1), value()
    if not np.shares_memory(flat, array):
        raise ValueError("expected an array that lies in memory in one piece")
    old = flat[index]

    def slopes(step: float) -> tuple[float, float]:
        flat[index] = old + step
        above, up = value(), flat[index] - old  # what the step came to after rounding
        flat[index] = old - step
        below, down = value(), old - flat[index]
        return (
            float(np.vdot(weights, above - below)) / (up + down),
            float(np.vdot(weights, (above - centre) - (centre - below))) / step,
        )

    best, doubt = 0.0, np.inf
    try:
        for relative in STEPS:
            step = relative * max(1.0, abs(old))
            (first, bend), (second, half_bend) = slopes(step), slopes(step / 2)
            derivative = float((4 * second - first) / 3)
            if abs(first - second) + abs(bend - 2 * half_bend) < doubt:
                best, doubt = derivative, abs(first - second) + abs(bend - 2 * half_bend)
            if doubt <= tolerance(best):
                return best
    finally:
        flat[index] = old
    return None
