"""Checks of exercise 01: activations and the affine layer, numeric gradients, and tests that do not test."""

import math
from typing import Any

import numpy as np

from exercise_code.checks import layer_tasks
from exercise_code.checks.core import Check, CheckFailed, expect, expect_close
from exercise_code.checks.verifiers import Case, call_unchanged, function

EXERCISE = "01_sigmoid"
CENTRAL = "Move one entry at a time, by h to both sides, and divide the difference by the distance of the two points."


def numeric_gradient(answer: Any, rng: np.random.Generator) -> None:
    x = rng.uniform(-2, 2, (2, 3))
    # The central difference of a cubic is exactly 3 x^2 + h^2 (a forward difference: 3 x^2 + 3 x h + h^2).
    got = call_unchanged("f(x) = sum of x**3, h = 0.1", lambda v: answer(_cubic(v.shape), v, 0.1), x)
    expect_close("f(x) = sum of x**3, h = 0.1", got, 3 * x**2 + 0.01, CENTRAL)
    got = call_unchanged("f(x) = sum of x**3, h = 0.1 by name", lambda v: answer(_cubic(v.shape), v, h=0.1), x)
    expect_close("f(x) = sum of x**3, h = 0.1 by name", got, 3 * x**2 + 0.01, CENTRAL)
    # At the default step rounding costs about 1e-11 and the formula 1e-10, hence the wide tolerance.
    got = call_unchanged("f(x) = sum of x**3, default h", lambda v: answer(_cubic(v.shape), v), x)
    expect_close("f(x) = sum of x**3, default h", got, 3 * x**2, CENTRAL, rtol=1e-6, atol=1e-7)
    slopes = np.array([[3.0, -2.0], [0.0, -5.0]])
    got = answer(lambda v: float(np.sum(slopes * v)), np.ones((2, 2)))
    expect_close("f(x) = sum of slopes * x", got, slopes, "A function that falls has a negative slope.", atol=1e-7)
    for size in (1, 4):
        matrix, y = rng.standard_normal((size, size)), rng.standard_normal(size)
        got = answer(lambda v, matrix=matrix: np.asarray(v) @ matrix @ v, y)
        look = "Each entry of the gradient is for one entry of x; the other entries stay where they are."
        expect_close(f"f(x) = x.T A x with {size} entries", got, matrix @ y + matrix.T @ y, look, rtol=1e-5, atol=1e-7)


def _cubic(shape: tuple[int, ...]) -> Any:
    def f(x: Any) -> float:
        look = "f wants the whole array, with one entry moved."
        expect(np.shape(x) == shape, "the array that f gets", f"shape {shape}", f"shape {np.shape(x)}", look)
        return float(np.sum(np.asarray(x) ** 3))

    return f


def _largest(a: Any, b: Any) -> float:
    return max(abs(s - t) / max(abs(s), abs(t), 1e-8) for s, t in zip(np.ravel(a), np.ravel(b), strict=True))


def _error_cases(rng: np.random.Generator) -> list[Case]:
    scale = "Divide each difference by the larger of the two absolute values, but by no less than 1e-8."
    largest = "The largest error counts, not the first, the mean or the sum."
    cases = [
        Case("[1, 100] and [1, 101]", ([1.0, 100.0], [1.0, 101.0]), look=scale),
        Case("[2] and [1]", ([2.0], [1.0]), look=scale),
        Case("[-4, 1] and [-5, 1]", ([-4.0, 1.0], [-5.0, 1.0]), look=scale),
        Case(
            "[0.001, 100] and [0.002, 100]",
            ([0.001, 100.0], [0.002, 100.0]),
            look="Each entry has a divisor of its own.",
        ),
        Case("[1] and [-1]", ([1.0], [-1.0]), look="Take the absolute value of each entry, not of the sum of the two."),
        Case("[0, 1] and [0, 1]", ([0.0, 1.0], [0.0, 1.0]), look="Equal entries have error 0, also where both are 0."),
        Case("[1e-12] and [0]", ([1e-12], [0.0]), look=scale),
        Case("[1, 1, 1] and [1.2, 0.9, 0.9]", ([1.0, 1.0, 1.0], [1.2, 0.9, 0.9]), look=largest),
    ]
    a = rng.standard_normal((3, 4))
    cases.append(Case("two arrays of shape (3, 4)", (a, a * rng.uniform(0.9, 1.1, a.shape)), look=largest))
    return [Case(case.what, tuple(map(np.array, case.args)), look=case.look) for case in cases]


def relative_error(answer: Any, rng: np.random.Generator) -> None:
    function(_error_cases, _largest, "")(answer, rng)
    with_nan = answer(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))
    look = "A NaN must never look like a small error; np.max keeps it, the built-in max may lose it."
    expect(not float(with_nan) < np.inf, "[nan, 1] and [1, 1]", "nan", with_nan, look)
    try:
        got = answer(np.ones(3), np.ones((3, 1)))
    except ValueError:
        return
    raise CheckFailed(
        f"shapes (3,) and (3, 1): expected a ValueError, got {got!r}. Compare the shapes first: broadcasting would compare "
        "every entry with every other."
    )


def impostor(answer: Any, rng: np.random.Generator) -> None:
    """A sine whose backward is wrong, and which the careless check (dout of ones, summed difference) accepts."""
    worst = 0.0
    for shape in ((4,), (3, 5)):
        x = rng.uniform(-1, 1, shape)
        layer = answer()
        out, cache = layer.forward(x.copy())
        sines = np.array([math.sin(v) for v in x.flat]).reshape(shape)
        expect_close("forward", out, sines, "Leave forward as it was given; the mistake belongs into backward.")
        slope = np.array([math.cos(v) for v in x.flat]).reshape(shape)
        dx = layer.backward(np.ones(shape), cache)
        look = "dx has the shape of dout."
        expect(np.shape(dx) == shape, "backward", f"an array of shape {shape}", f"shape {np.shape(dx)}", look)
        gap = abs(float(np.sum(dx - slope)))
        look = "With dout = 1 the entries of dx must add up to the sum of the true derivatives."
        expect(gap < 1e-6, "the careless check", "a difference below 1e-6, so that it says fine", f"{gap:.3g}", look)
        dout = rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
        _, cache = layer.forward(x.copy())
        worst = max(worst, float(np.abs(layer.backward(dout.copy(), cache) - dout * slope).max()))
    look = "What does the careless check never try, and what may cancel in its sum?"
    expect(worst > 1e-3, "a careful check", "a wrong gradient", "a right one for every dout that was tried", look)


def inputs_away_from_zero(answer: Any, rng: np.random.Generator) -> None:
    seed = int(rng.integers(2**31))
    for shape in ((200, 100), (7,)):
        x = answer(shape, np.random.default_rng(seed))
        is_float = isinstance(x, np.ndarray) and x.dtype.kind == "f"
        expect(
            is_float, "the result", "a floating-point array", f"{type(x).__name__} of {getattr(x, 'dtype', '?')}", ""
        )
        expect(x.shape == shape, "the result", f"shape {shape}", f"shape {x.shape}", "Pass the whole shape on to rng.")
        again = answer(shape, np.random.default_rng(seed))
        look = "All randomness comes from rng."
        expect(np.array_equal(x, again), "two calls with equal generators", "equal inputs", "different ones", look)
    x = answer((200, 100), np.random.default_rng(seed))
    other = answer((200, 100), np.random.default_rng(seed + 1))
    expect(not np.array_equal(x, other), "another generator", "other inputs", "the same ones", look)
    nearest = float(np.abs(x).min())
    look = "Every single entry has to keep its distance, not only most of them."
    expect(nearest >= 0.01, "the entry nearest to 0", "an absolute value of at least 0.01", f"{nearest:.3g}", look)
    positive = float((x > 0).mean())
    look = "The check must see both branches of ReLU: keep negative inputs negative."
    expect(0.3 < positive < 0.7, "positive inputs", "about half", f"{positive:.0%}", look)
    values = len(np.unique(np.abs(x)))
    look = "Draw them, so that many different inputs are tried."
    expect(values > 1000, "different absolute values among 20,000 inputs", "thousands", values, look)
    far = float(np.abs(x).max())
    expect(far <= 100, "the entry farthest from 0", "at most 100", f"{far:.3g}", "Stay where the layer does something.")


def _dead(out: Any) -> list[bool]:
    return [max(float(sample[unit]) for sample in out) <= 0 for unit in range(len(out[0]))]


def _dead_cases(rng: np.random.Generator) -> list[Case]:
    out = np.maximum(rng.standard_normal((6, 8)), 0)
    out[:, [1, 4]] = 0
    out[:5, 6], out[5, 6] = 0, 1e-6  # speaks once, in the last sample
    out[0, 7], out[1:, 7] = 0.5, 0
    return [
        Case("6 samples, 8 units", (out,), look="One answer per unit; a single sample above 0 is enough to be alive."),
        Case("1 sample, 3 units", (np.array([[0.0, 2.0, 0.0]]),), look="One answer per unit (column)."),
        Case("5 samples, 2 dead units", (np.zeros((5, 2)),), look="All dead."),
    ]


LAYER, GRADIENT = "exercise_code.networks.layer", "exercise_code.numeric_gradient"

CHECKS = {
    "sigmoid": Check(
        EXERCISE,
        layer_tasks.sigmoid,
        (
            "Two forms of one formula: 1 / (1 + exp(-x)) is safe for x >= 0; multiply top and bottom by exp(x) for the rest.",
            "exp(-abs(x)) is never larger than 1. Write both forms with it and choose by the sign of x. For backward, look at "
            "what the derivative needs: the output.",
            "z = exp(-|x|); the result is 1 / (1 + z) where x >= 0 and z / (1 + z) elsewhere. Return it twice, as out and as "
            "cache s; dx is the product of dout, s and 1 - s.",
        ),
        f"{LAYER}:Sigmoid",
    ),
    "numeric_gradient": Check(
        EXERCISE,
        numeric_gradient,
        (
            "A loop over all entries of x. In each turn, f is called twice, with arrays that differ from x in one entry.",
            "np.ndindex(x.shape) gives every index as a tuple, whatever the shape. Make new arrays, so that x stays as it was.",
            "For each index: a copy with h added there, a copy with h taken away, f of the first minus f of the second, over 2 h.",
        ),
        f"{GRADIENT}:numeric_gradient",
    ),
    "relative_error": Check(
        EXERCISE,
        relative_error,
        (
            "First the shapes, then |a - b| entry by entry, then the divisor entry by entry, then one number.",
            "np.maximum works entry by entry and takes two arrays, or an array and a number; np.max gives one number.",
            "The divisor is np.maximum of three things: |a|, |b| and 1e-8 (two calls, one inside the other).",
        ),
        f"{GRADIENT}:relative_error",
    ),
    "impostor": Check(
        EXERCISE,
        impostor,
        (
            "The careless check uses only one kind of dout, and looks only at a sum.",
            "With dout of ones nobody notices whether backward uses dout at all. And a sum does not notice an exchange.",
            "Return the derivative alone, the cosine of x, without dout; or the right entries in reversed order.",
        ),
    ),
    "relu": Check(
        EXERCISE,
        layer_tasks.relu,
        (
            "What passes forward comes back unchanged; what was cut off gets nothing.",
            "Let the cache be the mask of positive inputs; True counts as 1 and False as 0 in a product.",
            "forward: np.maximum(x, 0) and the mask x > 0. backward: dout times the mask, as a new array.",
        ),
        f"{LAYER}:Relu",
    ),
    "inputs_away_from_zero": Check(
        EXERCISE,
        inputs_away_from_zero,
        (
            "Draw the distance from 0 and the sign apart from each other.",
            "rng.uniform(low, high, shape) never goes below low; rng.choice([-1, 1], shape) draws signs.",
            "The product of the two, with low = 0.05 and high = 3, say.",
        ),
    ),
    "elu": Check(
        EXERCISE,
        layer_tasks.elu,
        (
            "np.where computes both of its branches for every entry and then throws one away; the exponential of 1000 is computed.",
            "Give the exponential only numbers that are not positive: np.minimum(x, 0) changes nothing where it matters.",
            "forward: x or alpha (exp(min(x, 0)) - 1), by the sign of x. backward: dout times 1 or alpha exp(min(x, 0)). Cache x.",
        ),
        f"{LAYER}:Elu",
    ),
    "shortcut": Check(
        EXERCISE,
        layer_tasks.shortcut,
        (
            "Print dout after the call. Who changed it?",
            "An assignment makes no copy: two names for one array.",
            "Make the first dx a new array, for example the product of dout and the mask; then add dout.",
        ),
    ),
    "affine_forward": Check(
        EXERCISE,
        layer_tasks.affine_forward,
        (
            "One matrix product and one addition.",
            "x may have more than two axes: reshape it to (N, D) for the product, but keep the x that came in for the cache.",
            "x.reshape(N, -1) @ w + b, and the tuple of x, w and b.",
        ),
        f"{LAYER}:affine_forward",
    ),
    "affine_backward": Check(
        EXERCISE,
        layer_tasks.affine_backward,
        (
            "Write down the shapes: dout (N, M), x (N, D), w (D, M). Only one product of two of them has the shape of each result.",
            "dx (N, D) comes from dout and w, dw (D, M) from x and dout, one of the two transposed. db is a sum over N.",
            "With x flattened to (N, D): dx = dout w^T, dw = x^T dout, db = the column sums of dout; then give dx the shape of x.",
        ),
        f"{LAYER}:affine_backward",
    ),
    "dead_units": Check(
        EXERCISE,
        function(_dead_cases, _dead, "True for a unit that is 0 for every sample."),
        (
            "Samples are rows, units are columns: which axis has to go?",
            "A unit is alive when any sample gives more than 0: (out > 0) and .any along an axis.",
            ".any(axis=0) of out > 0 says who is alive; ~ turns a boolean array round.",
        ),
        "exercise_code.diagnostics:dead_units",
    ),
}  # fmt: skip
