"""Hyperband: brackets of successive halving, from many short runs to a few long ones (Li et al. 2018; lecture 002)."""

from collections.abc import Mapping
from typing import Any

from exercise_code.hyperparameter_tuning.searcher import positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.successive_halving import HalvingSearcher, Rungs, check_eta, rung_epochs

VARIANTS = ("lecture", "published")


def hyperband_brackets(max_epochs: int, eta: int = 3, variant: str = "lecture") -> list[Rungs]:
    """The table of `(n_i, r_i)`: brackets s = s_max, ..., 0, each a list of s + 1 rungs (configurations, total epochs).

    s_max is the largest s with `eta**s <= R`, R = max_epochs.  Bracket s starts with n configurations and has
    `n_i = floor(n / eta**i)`, `r_i = floor(R / eta**(s - i))`, i = 0, ..., s, where

        "lecture"    n = floor((s_max + 1) / (s + 1)) * eta**s      lecture 002's table
        "published"  n = ceil((s_max + 1) * eta**s / (s + 1))       Li et al. 2018, algorithm 1

    Use whole numbers throughout: `int(math.log(243, 3))` is 4.

    Args:
        max_epochs: R >= 1.
        eta: >= 2.
        variant: "lecture" or "published".

    Raises:
        ValueError: a number out of range, an unknown variant.

    >>> for rungs in hyperband_brackets(9):
    ...     print(rungs)
    [(9, 1), (3, 3), (1, 9)]
    [(3, 3), (1, 9)]
    [(3, 9)]
    """
    positive_int("max_epochs", max_epochs)
    check_eta(eta)
    if variant not in VARIANTS:
        raise ValueError(f'variant must be "lecture" or "published", got {variant!r}')
    ### BEGIN SOLUTION 05_model_search
    s_max = 0
    while eta ** (s_max + 1) <= max_epochs:
        s_max += 1
    table = []
    for s in range(s_max, -1, -1):
        ceiling = -(-(s_max + 1) * eta**s // (s + 1))
        n = (s_max + 1) // (s + 1) * eta**s if variant == "lecture" else ceiling
        table.append([(n // eta**i, max_epochs // eta ** (s - i)) for i in range(s + 1)])
    return table
    ### END SOLUTION


class Hyperband(HalvingSearcher):
    """Successive halving for every trade-off between many configurations and many epochs, one bracket after the other.

    Survivors are continued from their checkpoints, so R = 81 with eta = 3 trains 1,404 epochs instead of 1,701.

    Args:
        space: a `Space` or what `Space.read` understands.
        max_epochs: R, the most epochs that one configuration gets.
        eta: 1 / eta of a rung goes on.
        seed: of the configurations.
        variant: "lecture" or "published", see `hyperband_brackets`.

    Raises:
        ValueError: a number out of range, an unknown variant.

    >>> search = Hyperband({"lr": ([1e-4, 1e-1], "log")}, max_epochs=9)
    >>> search.expected_trials, [(p.trial, p.epochs) for p in search.ask()][:2]
    (20, [(0, 1), (1, 1)])
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        max_epochs: int = 81,
        eta: int = 3,
        seed: int = 0,
        variant: str = "lecture",
    ):
        super().__init__(space, hyperband_brackets(max_epochs, eta, variant), eta, seed)


def format_brackets(brackets: list[Rungs], resume: bool = True) -> str:
    """The table as text, with the epochs of every bracket.

    >>> print(format_brackets(hyperband_brackets(9)))
             s = 2      s = 1      s = 0
     i      n_i  r_i   n_i  r_i   n_i  r_i
     0        9    1     3    3     3    9
     1        3    3     1    9
     2        1    9
    epochs      21         15         27
    """
    lines = ["      " + "".join(f"   s = {len(rungs) - 1:<4}" for rungs in brackets)]
    lines.append(" i   " + "".join(f"  {'n_i':>4} {'r_i':>4}" for _ in brackets))
    for i in range(max(len(rungs) for rungs in brackets)):
        cells = [f"  {rungs[i][0]:>4} {rungs[i][1]:>4}" if i < len(rungs) else " " * 11 for rungs in brackets]
        lines.append(f"{i:>2}   " + "".join(cells))
    lines.append("epochs" + "".join(f"{rung_epochs(rungs, resume):>8}   " for rungs in brackets))
    return "\n".join(line.rstrip() for line in lines)
