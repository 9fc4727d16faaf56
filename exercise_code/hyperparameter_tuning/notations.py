"""The lectures' way to write a parameter, and how to tell a hyperopt expression."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int, Parameter

KINDS: dict[str, Callable[[Any, Any], Parameter]] = {
    "float": Float,
    "int": Int,
    "log": lambda low, high: Float(low, high, log=True),
}


@dataclass(frozen=True)
class Named:
    """A parameter with a name of its own, as hyperopt's labels are, wherever it stands."""

    label: str
    parameter: Parameter


def is_hyperopt(value: Any) -> bool:
    """Whether a value is one of hyperopt's expressions; does not import hyperopt.

    >>> is_hyperopt(Float(0, 1)), is_hyperopt([1, 2])
    (False, False)
    """
    return type(value).__module__.startswith("hyperopt.pyll")


def lecture_parameter(name: str, value: Any) -> Parameter:
    """`[a, b, ...]` or `([low, high], kind)` as a parameter; ValueError naming it when it is neither.

    >>> lecture_parameter("lr", ([1e-4, 1e-1], "log"))
    Float(low=0.0001, high=0.1, log=True, step=None)
    >>> lecture_parameter("act", ["relu", "tanh"])
    Choice(options=['relu', 'tanh'], weights=None)
    """
    try:
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str) and not isinstance(value[0], str):
            values, kind = value
            if kind not in (*KINDS, "item"):
                near = difflib.get_close_matches(kind, [*KINDS, "item"], n=1)
                raise ValueError(
                    f'expected ([low, high], "float" | "int" | "log" | "item"), got {value!r}'
                    + (f": did you mean {near[0]!r}?" if near else "")
                )
            if kind == "item":
                return Choice(values)
            if not isinstance(values, Sequence | np.ndarray) or len(values) != 2:
                raise ValueError(f"expected [low, high] with low < high, got {values!r}")
            return KINDS[kind](values[0], values[1])
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence | np.ndarray) or len(value) == 0:
            raise ValueError(
                f"expected a non-empty list of values, ([low, high], kind), Float, Int or Choice, got {value!r}"
            )
        return Choice(list(value))
    except ValueError as error:
        raise ValueError(f"hyper-parameter {name!r}: {error}") from None
