"""What a gradient check found: a row per array, a table when printed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArrayCheck:
    """Outcome for one array (an input or a parameter).

    name, shape: of the array.  indices: (K,) flat positions compared.  analytic, numeric: (K,) float64 derivatives.
    skipped: sampled positions that sit on a kink.  rtol, atol: see `error`.

    >>> two = {"indices": np.array([0, 3]), "analytic": np.array([1.0, 2.0]), "numeric": np.array([1.0, 4.0])}
    >>> row = ArrayCheck("W1", (2, 2), **two, skipped=0, rtol=1e-5, atol=1e-8)
    >>> row.passed, row.worst, round(row.max_error, 3)
    (False, (1, 1), 0.5)
    """

    name: str
    shape: tuple[int, ...]
    indices: NDArray
    analytic: NDArray
    numeric: NDArray
    skipped: int
    rtol: float
    atol: float

    @property
    def error(self) -> NDArray:
        """Relative errors (K,), `|a - n| / (max(|a|, |n|) + atol / rtol)`; a value <= rtol means that the two agree.

        That is the same as `|a - n| <= rtol * max(|a|, |n|) + atol`: relative for large derivatives, absolute for tiny
        ones, where rounding would make any purely relative error large.  NaN counts as inf.
        """
        scale = np.maximum(np.abs(self.analytic), np.abs(self.numeric)) + self.atol / self.rtol
        with np.errstate(invalid="ignore"):
            error = np.abs(self.analytic - self.numeric) / scale
        return np.where(np.isnan(error), np.inf, error)

    @property
    def max_error(self) -> float:
        """The largest relative error; inf without a comparison."""
        return float(self.error.max()) if len(self.indices) else np.inf

    @property
    def worst(self) -> tuple[int, ...]:
        """Index of the entry with the largest error; () when nothing could be compared."""
        if not len(self.indices):
            return ()
        return tuple(int(i) for i in np.unravel_index(self.indices[self.error.argmax()], self.shape))

    @property
    def informative(self) -> int:
        """How many compared derivatives exceed atol; a check in which all are 0 proves little."""
        return int(np.sum(np.maximum(np.abs(self.analytic), np.abs(self.numeric)) > self.atol))

    @property
    def passed(self) -> bool:
        """Whether every compared derivative agrees; False when nothing could be compared."""
        return self.max_error <= self.rtol


@dataclass(frozen=True)
class GradientCheck:
    """Outcome of a gradient check: one `ArrayCheck` per array, and faults that no number shows.

    Printing it gives a table; `check["W1"]` is the row of one array.

    >>> row = ArrayCheck("b1", (1,), np.array([0]), np.ones(1), np.ones(1), skipped=0, rtol=1e-5, atol=1e-8)
    >>> check = GradientCheck((row,))
    >>> check.passed, check["b1"].max_error
    (True, 0.0)
    """

    rows: tuple[ArrayCheck, ...]
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every row passed and there is no fault."""
        return not self.faults and all(row.passed for row in self.rows)

    @property
    def max_error(self) -> float:
        """The largest relative error of all rows; inf without any row."""
        return max((row.max_error for row in self.rows), default=np.inf)

    def __getitem__(self, name: str) -> ArrayCheck:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}: known are {', '.join(row.name for row in self.rows)}")

    def __str__(self) -> str:
        width = max([len("array"), *(len(row.name) for row in self.rows)])
        lines = [f"{'array':<{width}}  {'shape':<14} checked  non-zero  on a kink   max error"]
        for row in self.rows:
            verdict = "ok" if row.passed else f"WRONG at {row.worst}" if len(row.indices) else "nothing to compare"
            lines.append(
                f"{row.name:<{width}}  {row.shape!s:<14} {len(row.indices):>7}  {row.informative:>8}  {row.skipped:>9}"
                f"  {row.max_error:>10.1e}  {verdict}"
            )
        return "\n".join([*lines, *(f"fault: {fault}" for fault in self.faults)])
