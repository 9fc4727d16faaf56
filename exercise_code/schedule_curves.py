"""The curves that the schedules are made of, as plain functions of numbers."""

import math
from collections.abc import Callable


def half_cosine(start: float, end: float, share: float) -> float:
    """Return the value on the way from start (share 0) to end (share 1) along half a cosine wave.

    `end + (start - end) * (1 + cos(pi * share)) / 2` (Loshchilov and Hutter 2017): flat at both ends, steepest halfway.

    >>> [round(half_cosine(1.0, 0.0, share), 3) for share in (0, 0.25, 0.5, 0.75, 1)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    ### BEGIN SOLUTION 03_optimizers
    weight = (1 + math.cos(math.pi * share)) / 2
    return end + (start - end) * weight
    ### END SOLUTION


def straight_line(start: float, end: float, share: float) -> float:
    """Return the value on the way from start (share 0) to end (share 1) along a line.

    >>> straight_line(1.0, 0.0, 0.25)
    0.75
    """
    return end + (start - end) * (1 - share)


def one_cycle(
    step: float,
    num_steps: int,
    lr_max: float,
    between: Callable[[float, float, float], float],
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> float:
    """Return the learning rate of step 0, 1, ..., num_steps - 1 of one cycle (Smith and Topin 2018).

    From `lr_max / div_factor` at step 0 up to lr_max at step `pct_start * num_steps - 1`, then down to
    `lr_max / div_factor / final_div_factor` at step num_steps - 1, where it stays.  A rise that ends before the first step is
    left out.

    Args:
        between: the curve of both parts, (start, end, share) -> learning rate: `half_cosine` or `straight_line`.

    >>> [round(one_cycle(step, 10, lr_max=1.0, between=straight_line, pct_start=0.5), 3) for step in (0, 2, 4, 9)]
    [0.04, 0.52, 1.0, 0.0]
    """
    ### BEGIN SOLUTION 03_optimizers
    first, last, top = lr_max / div_factor, num_steps - 1, pct_start * num_steps - 1
    if 0 < top >= step:
        return between(first, lr_max, step / top)
    share = min((step - top) / (last - top), 1)
    return between(lr_max, first / final_div_factor, share)
    ### END SOLUTION
