"""One hyper-parameter each: `Float`, `Int`, `Normal` and `Choice`, all of which map the unit interval to their values.

`from_unit(u)` turns a uniform u in [0, 1] into a value of the parameter's distribution, `to_unit(value)` turns a value into
the middle of the part of [0, 1] that gives it.  size is the number of values, None if they are not counted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, cast

import numpy as np


def _finite(kind: str, **bounds: Any) -> None:
    for name, value in bounds.items():
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise ValueError(f"{kind}: expected a finite number as {name}, got {value!r}")


def _ordered(kind: str, low: Any, high: Any, log: bool) -> None:
    _finite(kind, low=low, high=high)
    if not low < high:
        raise ValueError(f"{kind}: expected low < high, got low={low!r} and high={high!r}")
    if log and low <= 0:
        raise ValueError(f"{kind}: a log space needs low > 0, got low={low!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], uniform, or with log=True uniform in its logarithm.

    step rounds to multiples of it, as hyperopt's q does; the outermost multiple may then lie up to half a step outside.

    Raises:
        ValueError: low >= high, bounds that are not finite, a log space with low <= 0, step <= 0.

    >>> round(Float(1e-4, 1e-2, log=True).from_unit(0.5), 9)
    0.001
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _ordered("Float", self.low, self.high, self.log)
        if self.step is not None:
            _finite("Float", step=self.step)
            if self.step <= 0:
                raise ValueError(f"Float: expected step > 0, got {self.step!r}")

    @property
    def size(self) -> None:
        """None: there are values without end."""
        return None

    def from_unit(self, u: float) -> float:
        """The value below which a share u of all draws lies."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + u * (high - low))
        else:
            value = self.low + u * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return float(value if self.step is None else round(value / self.step) * self.step)

    def to_unit(self, value: Any) -> float:
        """Inverse of from_unit."""
        value = min(max(value, self.low), self.high)  # a rounded value may lie outside
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return float((value - self.low) / (self.high - self.low))

    def contains(self, value: Any) -> bool:
        """Whether a draw could be this number."""
        slack = 0.0 if self.step is None else self.step / 2
        return _is_number(value) and self.low - slack <= value <= self.high + slack


@dataclass(frozen=True)
class Int:
    """A whole number from low to high, both possible: equally likely, or with log=True v with weight log((v + step) / v).

    step leaves out all but low, low + step, low + 2 step, ...

    Raises:
        ValueError: low >= high, numbers that are not whole, a log space with low < 1, a step below 1 or that leaves only low.

    >>> [Int(3, 5).from_unit(u) for u in (0.0, 0.5, 1.0)], Int(16, 70, step=16).values()
    ([3, 4, 5], [16, 32, 48, 64])
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _ordered("Int", self.low, self.high, self.log)
        if int(self.low) != self.low or int(self.high) != self.high:
            raise ValueError(f"Int: expected whole numbers as bounds, got {self.low!r} and {self.high!r}")
        _finite("Int", step=self.step)
        if int(self.step) != self.step or not 1 <= self.step <= self.high - self.low:
            raise ValueError(f"Int: expected a whole step from 1 to high - low, got {self.step!r}")

    @property
    def size(self) -> int:
        """How many different values there are."""
        return (int(self.high) - int(self.low)) // int(self.step) + 1

    @property
    def edges(self) -> np.ndarray:
        """Borders (size + 1,) float64 of the values' cells in [0, 1]."""
        steps = np.arange(self.size + 1) * int(self.step)
        if not self.log:
            return steps / steps[-1]
        return np.log((self.low + steps) / self.low) / math.log((self.low + steps[-1]) / self.low)

    def _end(self) -> int:
        """One step beyond the last value."""
        return int(self.low) + self.size * int(self.step)

    def from_unit(self, u: float) -> int:
        """The value in whose cell u lies."""
        if self.log:
            cell = math.floor((self.low * (self._end() / self.low) ** u - self.low) / self.step)
        else:
            cell = math.floor(u * self.size)
        return int(self.low) + int(self.step) * min(max(cell, 0), self.size - 1)

    def to_unit(self, value: Any) -> float:
        """Middle of the value's cell."""
        if self.log:
            middle = (math.log(value) + math.log(value + self.step)) / 2
            return (middle - math.log(self.low)) / (math.log(self._end()) - math.log(self.low))
        return float(((value - self.low) / self.step + 0.5) / self.size)

    def contains(self, value: Any) -> bool:
        """Whether it is one of the values."""
        whole = _is_number(value) and int(value) == value
        return whole and self.low <= value <= self.high and (int(value) - int(self.low)) % int(self.step) == 0

    def values(self) -> list[int]:
        """All of them, ascending."""
        return list(range(int(self.low), int(self.high) + 1, int(self.step)))


@dataclass(frozen=True)
class Normal:
    """A normally distributed number, or with log=True one whose logarithm is; unbounded.

    Raises:
        ValueError: std <= 0, numbers that are not finite, step <= 0.

    >>> Normal(2.0, 1.0).from_unit(0.5)
    2.0
    """

    mean: float
    std: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _finite("Normal", mean=self.mean, std=self.std, **({} if self.step is None else {"step": self.step}))
        if self.std <= 0 or (self.step is not None and self.step <= 0):
            raise ValueError(f"Normal: expected std and step > 0, got {self.std!r} and {self.step!r}")

    @property
    def size(self) -> None:
        """None: there are values without end."""
        return None

    def from_unit(self, u: float) -> float:
        """The quantile u, which is kept off 0 and 1 by 1e-12."""
        value = NormalDist(self.mean, self.std).inv_cdf(min(max(u, 1e-12), 1 - 1e-12))
        value = math.exp(value) if self.log else value
        return float(value if self.step is None else round(value / self.step) * self.step)

    def to_unit(self, value: Any) -> float:
        """The share of draws below value."""
        if self.log:
            value = math.log(value) if value > 0 else -math.inf
        return NormalDist(self.mean, self.std).cdf(value) if value > -math.inf else 0.0

    def contains(self, value: Any) -> bool:
        """Whether it is a finite number (>= 0 in the log form, where rounding may give 0)."""
        return _is_number(value) and math.isfinite(value) and (not self.log or value >= 0)


@dataclass(frozen=True)
class Choice:
    """One of the options; equally likely unless weights are given.

    Options of a mapping bring parameters of their own, which are in a configuration only when their option is chosen:

    >>> from exercise_code.hyperparameter_tuning.space import Space
    >>> optimizer = Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}})
    >>> Space({"optimizer": optimizer}).from_unit([0.9, 0.5])
    {'optimizer': 'adam'}

    Raises:
        ValueError: no option, or weights that are not one positive number each.
    """

    options: Sequence[Any] | Mapping[Any, Mapping[str, Any]]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        options = self.options
        if isinstance(options, str) or not isinstance(options, Sequence | Mapping | np.ndarray) or len(options) == 0:
            raise ValueError(f"Choice: expected a non-empty list of options, got {options!r}")
        if self.weights is not None:
            for weight in self.weights:
                _finite("Choice", weight=weight)
            if len(self.weights) != len(options) or min(self.weights) <= 0:
                raise ValueError(f"Choice: expected {len(options)} weights > 0, got {self.weights!r}")

    @property
    def size(self) -> int:
        """How many different values there are."""
        return len(self.options)

    def listed(self) -> list[Any]:
        """The options as a list; those of an array are plain Python numbers."""
        return self.options.tolist() if isinstance(self.options, np.ndarray) else list(self.options)

    def brings(self, option: int) -> Mapping[str, Any]:
        """The parameters that an option (by index) brings."""
        return list(self.options.values())[option] if isinstance(self.options, Mapping) else {}

    def _edges(self) -> list[float]:
        shares = [1.0] * self.size if self.weights is None else list(self.weights)
        return cast("list[float]", np.concatenate([[0.0], np.cumsum(shares) / sum(shares)]).tolist())

    def from_unit(self, u: float) -> int:
        """Index of the option in whose cell u lies."""
        return min(int(np.searchsorted(self._edges(), u, side="right")) - 1, self.size - 1)

    def to_unit(self, index: int) -> float:
        """Middle of the cell of the option with this index."""
        edges = self._edges()
        return (edges[index] + edges[index + 1]) / 2


Parameter = Float | Int | Normal | Choice
