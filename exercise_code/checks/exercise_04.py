"""Checks of exercise 04: activations with gradients, sanity checks, and the parts of grid, random and fine search."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import Check, expect, expect_close
from exercise_code.checks.search_tasks import grid_configs, narrow_space, sample_config

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
