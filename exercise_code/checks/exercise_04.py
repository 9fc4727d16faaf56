"""Checks of exercise 04: activations with gradients, sanity checks, and the parts of grid, random and fine search."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import Check, expect, expect_close, same_config

EXERCISE = "04_grid_search"


def _numeric_gradient(forward: Any, x: NDArray, dout: NDArray, h: float = 1e-6) -> NDArray:
    """Central differences of sum(forward(x) * dout) with respect to every entry of x (float64)."""
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = ((forward(up)[0] - forward(down)[0]) * dout).sum() / (2 * h)
    return grad


def _verify_activation(make: Any, reference: Any, x: NDArray, rng: np.random.Generator) -> None:
    layer = make()
    given = x.copy()
    result = layer.forward(given)
    is_pair = isinstance(result, tuple) and len(result) == 2
    expect(is_pair, "forward", "a pair (out, cache)", type(result).__name__, "Return out and cache together.")
    out, cache = result
    expect_close("forward", out, reference(x), "Compare your formula with the definition above the task.")
    expect(
        np.array_equal(given, x),
        "forward",
        "the input as it was",
        "a changed input",
        "Make a new array for out.",
    )
    dout = rng.standard_normal(x.shape)
    kept = dout.copy()
    dx = layer.backward(dout, cache)
    expect(
        np.array_equal(dout, kept),
        "backward",
        "dout as it was",
        "a changed dout",
        "Make a new array for dx: others may use dout.",
    )
    # Central differences with h = 1e-6 in float64 are good to about 1e-9; 1e-6 leaves room for any algebra.
    expect_close(
        "backward",
        dx,
        _numeric_gradient(make().forward, x, dout),
        "The chain rule: local derivative times dout, entry by entry (numbers from finite differences).",
        rtol=1e-5,
        atol=1e-7,
    )
    again = layer.backward(dout, cache)
    expect(
        np.array_equal(dx, again),
        "backward",
        "the same dx when called twice",
        "another",
        "Leave the cache unchanged.",
    )
    big = np.array([-1000.0, 1000.0], dtype=np.float32)
    out32, cache32 = make().forward(big)
    expect_close("forward for inputs of -1000 and 1000", out32, reference(big), "Nothing may overflow.", rtol=1e-5)
    expect(
        np.asarray(out32).dtype == np.float32, "forward", "float32 for float32 input", np.asarray(out32).dtype.name,
        "Multiplying by a float64 array widens the result.",
    )  # fmt: skip
    finite = np.isfinite(make().backward(np.ones(2, dtype=np.float32), cache32)).all()
    expect(
        bool(finite),
        "backward for inputs of -1000 and 1000",
        "finite numbers",
        "inf or nan",
        "Use the cached output.",
    )


def _inputs(rng: np.random.Generator) -> NDArray:
    """(3, 4) float64 at least 0.05 away from 0, so that no finite difference straddles a kink."""
    return rng.choice([-1, 1], size=(3, 4)) * rng.uniform(0.05, 3, size=(3, 4))


def tanh(answer: Any, rng: np.random.Generator) -> None:
    _verify_activation(
        answer, lambda x: 1 - 2 / (np.exp(2 * np.clip(x, -50, 50).astype(np.float64)) + 1), _inputs(rng), rng
    )


def leaky_relu(answer: Any, rng: np.random.Generator) -> None:
    for slope in (0.01, float(rng.uniform(0.05, 0.5))):
        _verify_activation(
            lambda slope=slope: answer(slope=slope),
            lambda x, slope=slope: np.maximum(x, slope * x),
            _inputs(rng),
            rng,
        )
    expect_close(
        "slope when none is given",
        answer().forward(np.array([-100.0]))[0],
        [-1.0],
        "Use self.slope, not a number of your own.",
    )


def initial_loss(answer: Any, rng: np.random.Generator) -> None:
    for classes in (10, 2, int(rng.integers(3, 1000))):
        mean_surprise = -sum(math.log(1 / classes) / classes for _ in range(classes))
        expect_close(
            f"{classes} classes",
            answer(classes),
            mean_surprise,
            "Every class has probability 1 / C: what is -log of it?",
        )


def overfit(answer: Any, rng: np.random.Generator) -> None:
    from exercise_code.data import DataLoader

    for n in (1, 8):
        samples = [
            {"image": rng.standard_normal(48).astype(np.float32), "label": int(rng.integers(10))} for _ in range(n)
        ]
        loader = DataLoader(samples, batch_size=4, shuffle=True)
        model = answer(loader, 48)
        expect(
            hasattr(model, "forward"),
            f"{n} image(s)",
            "the trained network",
            type(model).__name__,
            "Return the model, not the Solver.",
        )
        accuracy = model.get_dataset_prediction(loader)[2]
        expect(
            bool(accuracy == 1.0), f"{n} image(s)", "training accuracy 100 %", f"{100 * accuracy:.0f} %",
            "More epochs? A larger learning rate or initial std? No regularisation?",
        )  # fmt: skip


def grid_configs(answer: Any, rng: np.random.Generator) -> None:
    spaces: dict[str, list[Any]] = {
        "learning_rate": [float(v) for v in rng.uniform(1e-4, 1e-1, size=3)],
        "reg": [0.0, 1e-4],
        "activation": ["tanh", "relu"],
    }
    untouched = {name: list(values) for name, values in spaces.items()}
    configs = answer(spaces)
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
        spaces == untouched,
        "the spaces",
        "unchanged",
        "changed",
        "Do not pop values out of the caller's lists.",
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
    low, width = float(rng.uniform(-5, 5)), float(rng.uniform(1, 4))
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


def confusion_matrix(answer: Any, rng: np.random.Generator) -> None:
    labels, predictions = rng.integers(4, size=60), rng.integers(3, size=60)
    expected = [[int(sum((labels == t) & (predictions == p))) for p in range(4)] for t in range(4)]
    counts = answer(labels, predictions, 4)
    expect_close(
        "60 predictions of 4 classes, one never predicted",
        counts,
        expected,
        "Row: true class. Column: prediction.",
    )
    expect_close(
        "no predictions",
        answer(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 2),
        np.zeros((2, 2)),
        "All zero.",
    )


LAYER, TUNING, DIAGNOSTICS = (
    "exercise_code.networks.layer",
    "exercise_code.hyperparameter_tuning",
    "exercise_code.diagnostics",
)

CHECKS = {
    "tanh": Check(
        EXERCISE,
        tanh,
        (
            "The derivative of tanh can be written with tanh itself.",
            "Let the cache be the output t of forward; then the derivative is 1 minus something of t.",
            "forward: t = np.tanh(x), return t twice. backward: dout times (1 - t**2), entry by entry.",
        ),
        f"{LAYER}:Tanh",
    ),
    "leaky_relu": Check(
        EXERCISE,
        leaky_relu,
        (
            "Two cases, x > 0 and the rest: what is the slope of each?",
            "np.where(condition, a, b) picks entry by entry; backward needs to know which case each entry was.",
            "Cache the mask x > 0; backward is np.where(mask, dout, self.slope * dout).",
        ),
        f"{LAYER}:LeakyRelu",
    ),
    "initial_loss": Check(
        EXERCISE,
        initial_loss,
        (
            "What probability does a network that knows nothing give to each of C classes?",
            "Cross entropy is minus the log of the probability of the true class.",
            "-log(1 / C), which is log(C).",
        ),
        f"{DIAGNOSTICS}:expected_initial_loss",
    ),
    "overfit": Check(
        EXERCISE,
        overfit,
        (
            "A net that cannot learn one image by heart has a bug, or is not trained long or boldly enough.",
            'No regularisation (reg=0), an initialisation that lets gradients through (std="he"), Adam with 1e-3 or more.',
            'ClassificationNet(activation=Relu(), input_size=input_size, std="he"), a Solver with the same loader for training '
            "and validation (allow_overlap=True), learning_rate=1e-2, and some 40 epochs.",
        ),
    ),
    "grid_configs": Check(
        EXERCISE,
        grid_configs,
        (
            "Nested for loops, one per name, but you do not know how many names there are.",
            "itertools.product(*lists) is exactly that set of nested loops.",
            "For each tuple of product(*spaces.values()) make dict(zip(spaces, the tuple)).",
        ),
        f"{TUNING}:grid_configs",
    ),
    "sample_config": Check(
        EXERCISE,
        sample_config,
        (
            "Four kinds, four branches; all randomness comes from rng.",
            'For "log" draw the exponent uniformly; for "int" look at the endpoint argument of rng.integers.',
            "float(10 ** rng.uniform(np.log10(low), np.log10(high))) and int(rng.integers(low, high, endpoint=True)).",
        ),
        f"{TUNING}:sample_config",
    ),
    "narrow_space": Check(
        EXERCISE,
        narrow_space,
        (
            "Half as wide means a quarter of the old width to each side of best.",
            'For "log" do the same with log10 of the ends and of best.',
            "new_low = max(low, best - width / 4), and 10**(...) around it for log; floor and ceil for int.",
        ),
        f"{TUNING}:narrow_space",
    ),
    "confusion_matrix": Check(
        EXERCISE,
        confusion_matrix,
        (
            "Go through the pairs (true, predicted) and count.",
            "A double loop is fine; np.add.at does it in one line.",
            "counts[t, p] += 1 for every t, p in zip(labels, predictions).",
        ),
        f"{DIAGNOSTICS}:confusion_matrix",
    ),
}
