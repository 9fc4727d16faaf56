"""The two ways to list configurations by hand, grid and random draw, and the step from coarse to fine (lecture 004)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def grid_configs(spaces: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the listed values.

    Args:
        spaces: name -> values to try.

    Returns:
        One dict per combination; the last name varies fastest, as in nested for loops written in the order of the names.

    >>> grid_configs({"a": [1, 2], "b": ["x", "y"]})
    [{'a': 1, 'b': 'x'}, {'a': 1, 'b': 'y'}, {'a': 2, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    """
    ### BEGIN SOLUTION 04_grid_search
    names = list(spaces)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*spaces.values())]
    ### END SOLUTION


def sample_config(spaces: Mapping[str, tuple[Sequence[Any], str]], rng: np.random.Generator) -> dict[str, Any]:
    """Draw one random configuration.

    Args:
        spaces: name -> `([low, high], "float")` uniform in [low, high];
            `([low, high], "int")` a whole number, both ends possible, all equally likely;
            `([low, high], "log")` 10**u with u uniform between log10(low) and log10(high);
            `([a, b, ...], "item")` one of the listed values.
        rng: the only source of randomness.

    Returns:
        name -> a plain Python float, int or the chosen item.

    >>> import numpy as np
    >>> config = sample_config({"lr": ([1e-4, 1e-2], "log"), "width": ([50, 60], "int")}, np.random.default_rng(1))
    >>> 1e-4 <= config["lr"] <= 1e-2 and 50 <= config["width"] <= 60
    True
    """
    ### BEGIN SOLUTION 04_grid_search
    config: dict[str, Any] = {}
    for name, (values, kind) in spaces.items():
        if kind == "float":
            config[name] = float(rng.uniform(*values))
        elif kind == "int":
            config[name] = int(rng.integers(values[0], values[1], endpoint=True))
        elif kind == "log":
            config[name] = float(10 ** rng.uniform(np.log10(values[0]), np.log10(values[1])))
        else:
            config[name] = values[int(rng.integers(len(values)))]
    return config
    ### END SOLUTION


def narrow_space(space: tuple[Sequence[Any], str], best: Any) -> tuple[Sequence[Any], str]:
    """Halve the range of a "float", "log" or "int" space around the best value found: one step from coarse to fine.

    Args:
        space: `([low, high], kind)` as for `sample_config`.
        best: the value to centre on.

    Returns:
        `([new_low, new_high], kind)`: half as wide as before ("log": half as many decades), centred on best, and cut off
        at the old ends, so it never leaves the space.  For "int" the new ends are rounded outwards to whole numbers.  An "item"
        space comes back as it is.

    >>> narrow_space(([0.0, 1.0], "float"), 0.5)
    ([0.25, 0.75], 'float')
    """
    ### BEGIN SOLUTION 04_grid_search
    (low, high), kind = (space[0][0], space[0][-1]), space[1]
    if kind == "item":
        return space
    if kind == "log":
        quarter = (math.log10(high) - math.log10(low)) / 4
        new_low, new_high = best / 10**quarter, best * 10**quarter
    else:
        quarter = (high - low) / 4
        new_low, new_high = best - quarter, best + quarter
    new_low, new_high = max(low, new_low), min(high, new_high)
    if kind == "int":
        new_low, new_high = math.floor(new_low), math.ceil(new_high)
    return [new_low, new_high], kind
    ### END SOLUTION


def check_spaces(spaces: Mapping[str, Sequence[Any]]) -> None:
    """Raise ValueError unless every name has a non-empty list of values.

    >>> check_spaces({"lr": []})
    Traceback (most recent call last):
    ValueError: expected a non-empty list of values for 'lr', got []
    """
    if not spaces:
        raise ValueError("expected at least one hyper-parameter in the search space, got none")
    for name, values in spaces.items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or len(values) == 0:
            raise ValueError(f"expected a non-empty list of values for {name!r}, got {values!r}")


def check_random_spaces(spaces: Mapping[str, tuple[Sequence[Any], str]]) -> None:
    """Raise ValueError unless every space reads `([low, high], "float" | "int" | "log")` or `([...], "item")`.

    >>> check_random_spaces({"lr": ([0, 0.1], "log")})
    Traceback (most recent call last):
    ValueError: a log space needs low > 0, got [0, 0.1] for 'lr'
    """
    check_spaces(spaces)
    for name, space in spaces.items():
        if len(space) != 2 or space[1] not in ("float", "int", "log", "item"):
            raise ValueError(f'expected ([low, high], "float" | "int" | "log" | "item") for {name!r}, got {space!r}')
        values, kind = space
        check_spaces({name: values})
        if kind == "item":
            continue
        if len(values) != 2 or not values[0] < values[1]:
            raise ValueError(f"expected [low, high] with low < high for {name!r}, got {values!r}")
        if kind == "log" and values[0] <= 0:
            raise ValueError(f"a log space needs low > 0, got {values!r} for {name!r}")
