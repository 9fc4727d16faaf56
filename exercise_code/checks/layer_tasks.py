"""How exercise 01's layers are checked: sigmoid, ReLU, ELU, the affine layer, and a shortcut around a ReLU."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import CheckFailed, expect, expect_close
from exercise_code.checks.verifiers import away_from_zero, call_unchanged, element_wise_layer, expect_dtype

Make = Callable[[Any], Any]


def _entry_by_entry(formula: Callable[[float], float]) -> Callable[[NDArray], NDArray]:
    """Turn a formula for one Python float into a reference for arrays of any shape."""
    return lambda x: np.array([formula(float(value)) for value in np.ravel(x)]).reshape(np.shape(x))


def _call(answer: Any) -> Any:
    return answer()


def _layer(answer: Any, rng: np.random.Generator, formula: Callable[[float], float], make: Make = _call) -> None:
    _one_layer_in_two_places(make(answer), rng)
    element_wise_layer(_entry_by_entry(formula), make)(answer, rng)
    _any_shape_and_dtype(make(answer), rng)
    for dtype in (np.float32, np.float64):
        _nothing_overflows(make(answer), dtype)


def _any_shape_and_dtype(layer: Any, rng: np.random.Generator) -> None:
    for shape in ((5,), (2, 3, 2)):
        x = rng.standard_normal(shape).astype(np.float32)
        out, cache = layer.forward(x)
        dx = layer.backward(np.ones_like(x), cache)
        for what, got in (("forward", out), ("backward", dx)):
            look = "A layer works on arrays of any shape, entry by entry."
            expect(np.shape(got) == shape, f"{what} for x of shape {shape}", f"shape {shape}", np.shape(got), look)
            expect_dtype(what, got, np.float32)


def _one_layer_in_two_places(layer: Any, rng: np.random.Generator) -> None:
    """First of all, so that a layer that remembers is told so; what is no layer yet is told by the next check."""
    x, dout = away_from_zero(rng), rng.standard_normal((3, 4))
    results = []
    for between in ((), (-2 * x,)):
        result = layer.forward(x.copy())
        if not isinstance(result, tuple) or len(result) != 2:
            return
        for other in between:
            layer.forward(other)
        results.append(np.array(layer.backward(dout.copy(), result[1])))
    expect(
        np.array_equal(results[0], results[1]), "backward after another forward of the same object", "the same dx as before", "another one",
        "One object may serve two places in a network: keep what backward needs in the cache, not in self.",
    )  # fmt: skip


def _nothing_overflows(layer: Any, dtype: Any) -> None:
    x = np.array([-1000, -3, 0, 3, 1000], dtype=dtype)
    what = "forward"
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            _, cache = layer.forward(x)
            what = "backward"
            layer.backward(np.ones_like(x), cache)
    except FloatingPointError as error:
        raise CheckFailed(
            f"{what} for inputs from -1000 to 1000 in {np.dtype(dtype)}: expected no overflow on the way, got {error!s}. "
            "The values you return are right, but a step before them is not: which numbers reach the exponential, also in "
            "entries whose result is thrown away?"
        ) from None


def sigmoid(answer: Any, rng: np.random.Generator) -> None:
    _layer(answer, rng, lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0)


def relu(answer: Any, rng: np.random.Generator) -> None:
    _layer(answer, rng, lambda v: (v + abs(v)) / 2)


def elu(answer: Any, rng: np.random.Generator) -> None:
    for alpha in (1.0, float(rng.uniform(0.3, 3))):
        _elu_with(alpha, answer, rng)
    out = answer().forward(np.array([-100.0]))[0]
    expect_close("forward for -100 when no alpha is given", out, [-1.0], "Use self.alpha.")


def _elu_with(alpha: float, answer: Any, rng: np.random.Generator) -> None:
    _layer(answer, rng, lambda v: v if v > 0 else alpha * (math.exp(v) - 1), lambda answer: answer(alpha=alpha))


def _affine_case(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x of this shape, w (D, 5), b (5,) and a gradient from above (N, 5), all float64."""
    features = math.prod(shape[1:])
    sizes = (shape, (features, 5), (5,), (shape[0], 5))
    x, w, b, dout = (rng.standard_normal(size) for size in sizes)
    return x, w, b, dout


def affine_forward(answer: Any, rng: np.random.Generator) -> None:
    for shape in ((3, 4), (2, 3, 2, 2), (1, 2)):
        x, w, b, _ = _affine_case(rng, shape)
        what = f"x of shape {shape}"
        result = call_unchanged(what, answer, x, w, b)
        is_pair = isinstance(result, tuple) and len(result) == 2
        expect(is_pair, what, "a pair (out, cache)", type(result).__name__, "Return out and cache together.")
        out, cache = result
        flat = [np.ravel(sample) for sample in x]
        expected = [[b[m] + sum(v * w[d, m] for d, v in enumerate(sample)) for m in range(5)] for sample in flat]
        expect_close(f"{what}, out", out, expected, "out[n, m] = sum over d of x[n, d] * w[d, m], plus b[m].")
        is_triple = isinstance(cache, tuple | list) and len(cache) == 3
        expect(is_triple, f"{what}, cache", "(x, w, b)", type(cache).__name__, "backward needs all three.")
        for name, kept, given in zip("xwb", cache, (x, w, b), strict=True):
            expect_close(f"{what}, {name} in the cache", kept, given, "Keep x, w and b as they came in.")
    x, w, b, _ = (array.astype(np.float32) for array in _affine_case(rng, (3, 4)))
    expect_dtype("out", answer(x, w, b)[0], np.float32)


def affine_backward(answer: Any, rng: np.random.Generator) -> None:
    for shape in ((3, 4), (2, 3, 2, 2), (1, 2)):
        x, w, b, dout = _affine_case(rng, shape)
        what = f"x of shape {shape}"
        result = call_unchanged(what, answer, dout, (x, w, b))
        is_triple = isinstance(result, tuple) and len(result) == 3
        size = f" of {len(result)}" if isinstance(result, tuple) else ""
        expect(
            is_triple,
            what,
            "a tuple (dx, dw, db)",
            type(result).__name__ + size,
            "Return three gradients, in this order.",
        )
        flat = np.stack([np.ravel(sample) for sample in x])
        expected = {
            "dx": (np.einsum("nm,dm->nd", dout, w).reshape(shape), "Which outputs does one input reach, with which weights?"),
            "dw": (np.einsum("nd,nm->dm", flat, dout), "A weight meets every sample: its gradient is a sum over the samples."),
            "db": (np.einsum("nm->m", dout), "A bias reaches every sample with factor 1: a sum over the samples, no mean."),
        }  # fmt: skip
        for got, (name, (value, look)) in zip(result, expected.items(), strict=True):
            expect_close(f"{what}, {name}", got, value, look)
    x, w, b, dout = _affine_case(rng, (3, 4))
    result = answer(dout, (x, w, b), need_dx=False)
    expect_close("need_dx=False, dw", result[1], x.T.dot(dout), "dw and db are needed all the same.")
    x, w, b, dout = (array.astype(np.float32) for array in (x, w, b, dout))
    for name, got in zip(("dx", "dw", "db"), answer(dout, (x, w, b)), strict=True):
        expect_dtype(name, got, np.float32)


def shortcut(answer: Any, rng: np.random.Generator) -> None:
    """Gradient of relu(x) + x: twice dout where x was positive, dout elsewhere."""
    by_hand = np.array([[10.0, 20.0], [30.0, -40.0]]), np.array([[True, False], [False, True]])
    for dout, mask in (by_hand, (rng.standard_normal((4, 3)), rng.random((4, 3)) < 0.5)):
        dx = call_unchanged("dx", answer, dout, mask)
        expected = [[2 * d if on else d for d, on in zip(*row, strict=True)] for row in zip(dout, mask, strict=True)]
        look = "Two paths lead back: through the ReLU where the mask is on, and through the shortcut everywhere."
        expect_close(f"dx for {len(dout)} samples", dx, expected, look)
