"""Verifiers of exercise 04's search tasks: the grid, a random configuration, and a narrower space."""

import itertools
from typing import Any

import numpy as np

from exercise_code.checks.core import expect, expect_close, same_config
from exercise_code.checks.verifiers import call_unchanged


def grid_configs(answer: Any, rng: np.random.Generator) -> None:
    spaces: dict[str, list[Any]] = {
        "learning_rate": [float(v) for v in rng.uniform(1e-4, 1e-1, size=3)],
        "reg": [0.0, 1e-4],
        "activation": ["tanh", "relu"],
    }
    configs = call_unchanged("the spaces", answer, spaces)
    expect(isinstance(configs, list), "result", "a list", type(configs).__name__, "Collect the dicts in a list.")
    expect(
        len(configs) == 12,
        "number of configurations",
        "3 * 2 * 2 = 12",
        len(configs),
        "Every value meets every other.",
    )
    expected = [
        {"learning_rate": a, "reg": b, "activation": c}
        for a, b, c in itertools.product(spaces["learning_rate"], spaces["reg"], spaces["activation"])
    ]
    for i, (got, want) in enumerate(zip(configs, expected, strict=True)):
        expect(
            same_config(got, want),
            f"configuration {i}",
            want,
            got,
            "The last name varies fastest; each is a dict of its own.",
        )
    expect(
        len({id(config) for config in configs}) == 12,
        "the dicts",
        "12 different ones",
        "one repeated",
        "Make a new dict each time.",
    )
    single = answer({"reg": [0.5]})
    expect(
        single == [{"reg": 0.5}],
        "one name with one value",
        [{"reg": 0.5}],
        single,
        "The general case covers it.",
    )


def sample_config(answer: Any, rng: np.random.Generator) -> None:
    spaces: dict[str, Any] = {
        "lr": ([1e-5, 1e-1], "log"),
        "std": ([2.0, 4.0], "float"),
        "width": ([3, 5], "int"),
        "act": (["tanh", "relu"], "item"),
    }
    n = 2000
    draws = [answer(spaces, rng) for _ in range(n)]
    first = draws[0]
    expect(
        isinstance(first, dict) and list(first) == list(spaces),
        "names",
        list(spaces),
        first,
        "One entry per name.",
    )
    values = {name: [draw[name] for draw in draws] for name in spaces}
    lr, std, width = (np.array(values[name], dtype=float) for name in ("lr", "std", "width"))
    # Bounds are eight standard errors wide (2000 draws): a right answer fails less than once in 10**14 runs.
    expect(bool((lr >= 1e-5 * (1 - 1e-9)).all() and (lr <= 0.1 * (1 + 1e-9)).all()), "log", "all in [1e-5, 1e-1]",
           f"{lr.min():.2g} to {lr.max():.2g}", "10 to the power of a uniform number: `10**u`, not `np.exp`.")  # fmt: skip
    share = float(np.mean(lr < 1e-3))
    expect(abs(share - 0.5) < 0.09, "log", "half of the draws below 1e-3, the middle decade", f"{share:.0%}",
           "Draw the exponent uniformly, between the log10 of the ends.")  # fmt: skip
    expect(bool((std >= 2).all() and (std <= 4).all() and abs(std.mean() - 3) < 0.11), "float", "uniform in [2, 4], mean 3",
           f"{std.min():.2f} to {std.max():.2f}, mean {std.mean():.2f}", "`rng.uniform(low, high)`.")  # fmt: skip
    expect(
        set(width) == {3.0, 4.0, 5.0},
        "int",
        "3, 4 and 5 all possible",
        sorted(set(width)),
        "Both ends count.",
    )
    counts = [float(np.mean(width == value)) for value in (3, 4, 5)]
    expect(
        max(counts) < 0.42 and min(counts) > 0.25,
        "int",
        "3, 4 and 5 equally likely",
        counts,
        "Rounding a float is not fair to the ends.",
    )
    expect(
        all(type(value) is int for value in values["width"]), "int", "a Python int", type(values["width"][0]).__name__,
        "A layer cannot have 4.0 units.",
    )  # fmt: skip
    expect(
        set(values["act"]) == {"tanh", "relu"},
        "item",
        "both items",
        set(values["act"]),
        "Any item, by its index.",
    )
    pair = [answer(spaces, np.random.default_rng(3)) for _ in range(2)]
    expect(pair[0] == pair[1], "two generators with one seed", "the same configuration", "two different ones",
           "Use only the rng that was handed in, not np.random or random.")  # fmt: skip


def narrow_space(answer: Any, rng: np.random.Generator) -> None:
    look = "Half as wide, centred on best, cut off at the old ends."
    low, width = round(float(rng.uniform(-5, 5)), 2), round(float(rng.uniform(1, 4)), 2)
    middle = low + width / 2
    cases: list[tuple[Any, float, list[float]]] = [
        (([low, low + width], "float"), middle, [low + width / 4, low + 3 * width / 4]),
        (([low, low + width], "float"), low, [low, low + width / 4]),
        (([1e-6, 1e-2], "log"), 1e-4, [1e-5, 1e-3]),
        (([1e-6, 1e-2], "log"), 1e-2, [1e-3, 1e-2]),
        (([100, 500], "int"), 300, [200, 400]),
    ]
    for space, best, expected in cases:
        result = answer(space, best)
        is_pair = isinstance(result, tuple | list) and len(result) == 2
        expect(
            is_pair,
            f"narrow_space({space}, {best:.4g})",
            "([low, high], kind)",
            result,
            "Same form as the input.",
        )
        expect(result[1] == space[1], "kind", space[1], result[1], "The kind stays.")
        extra = " For a log space count in decades." if space[1] == "log" else ""
        expect_close(f"narrow_space({space}, {best:.4g})", np.asarray(result[0], dtype=float), expected, look + extra)
    int_ends = answer(([1, 4], "int"), 2)[0]
    expect(
        all(type(end) is int for end in int_ends),
        "int ends",
        "whole numbers",
        int_ends,
        "Round the ends outwards.",
    )
    items = (["tanh", "relu"], "item")
    expect(
        answer(items, "relu") == items,
        "an item space",
        items,
        answer(items, "relu"),
        "It has no middle: hand it back.",
    )
