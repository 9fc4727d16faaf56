"""Verifiers that many tasks share, declared as data plus oracle: a function over cases, an element-wise layer.

A check is then `Check(EXERCISE, function(cases, oracle, look), hints, home)`.  The oracle computes the expected result in
another way than the solution does (a loop, finite differences, a table by hand).
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect, expect_close

Verify = Callable[[Any, np.random.Generator], None]


@dataclass(frozen=True)
class Case:
    """One call of the student's function: what to name it in a message, its arguments, and where to look when it fails."""

    what: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    look: str = ""


Cases = Sequence[Case] | Callable[[np.random.Generator], Iterable[Case]]


def function(
    cases: Cases,
    oracle: Callable[..., Any],
    look: str,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    returns: Sequence[str] = (),
    keeps_dtype: bool = False,
) -> Verify:
    """Return a verifier that compares a function with an oracle over cases, and refuses one that changes its arguments.

    Args:
        cases: list of cases, or a function that draws them from the generator.
        oracle: gets the same arguments; returns a number or an array, or a tuple of them when `returns` names its parts.
        look: where to look when a case has no advice of its own.
        rtol, atol: tolerances; leave room for other algebra (1e-6 is ample in float64, 1e-4 for float32 inputs).
        returns: names of the parts of a returned tuple, for example `("out", "cache")`.
        keeps_dtype: also demand that float32 arrays in give float32 out.

    >>> from exercise_code.checks import Check, CheckFailed
    >>> verify = function([Case("x = [1, 2]", (np.array([1.0, 2.0]),))], lambda x: x * x, "Entry by entry.")
    >>> verify(lambda x: x**2, np.random.default_rng(0))
    >>> verify(lambda x: 2 * x, np.random.default_rng(0))
    Traceback (most recent call last):
        ...
    exercise_code.checks.core.CheckFailed: x = [1, 2]: expected 1 at index (0,), got 2 (1 of 2 entries differ). Entry by entry.
    """

    def verify(answer: Any, rng: np.random.Generator) -> None:
        for case in cases(rng) if callable(cases) else cases:
            advice = case.look or look
            expected = oracle(*copy.deepcopy(case.args), **copy.deepcopy(dict(case.kwargs)))
            got = call_unchanged(case.what, answer, *case.args, **case.kwargs)
            compare_parts(case.what, got, expected, advice, returns=returns, rtol=rtol, atol=atol)
            narrow = tuple(_as_float32(value) for value in case.args)
            if keeps_dtype and any(value is not given for value, given in zip(narrow, case.args, strict=True)):
                again = answer(*narrow, **copy.deepcopy(dict(case.kwargs)))
                for name, part in zip(returns or ("",), again if returns else (again,), strict=False):
                    expect_dtype(" ".join(filter(None, (case.what, name))), part, np.float32)

    return verify


def element_wise_layer(
    reference: Callable[[NDArray], NDArray],
    make: Callable[[Any], Any] = lambda answer: answer(),
    *,
    draw: Callable[[np.random.Generator], NDArray] | None = None,
    extremes: Sequence[float] = (-1000.0, 1000.0),
) -> Verify:
    """Return a verifier of an activation: forward against a reference, backward against finite differences.

    Also tried: x and dout stay as they were, backward can be called twice, float32 stays float32, and the extreme inputs
    give finite numbers.

    Args:
        reference: the function itself, entry by entry, in float64.
        make: how to make a layer from the student's class, for example with a slope.
        draw: the inputs; the default keeps 0.05 away from 0, so that no finite difference straddles a kink there.
        extremes: inputs at which nothing may overflow.
    """

    def verify(answer: Any, rng: np.random.Generator) -> None:
        x = (draw or away_from_zero)(rng)
        layer = make(answer)
        result = call_unchanged("forward", layer.forward, x)
        is_pair = isinstance(result, tuple) and len(result) == 2
        expect(is_pair, "forward", "a pair (out, cache)", type(result).__name__, "Return out and cache together.")
        out, cache = result
        expect_close("forward", out, reference(x), "Compare your formula with the definition above the task.")
        dout = rng.standard_normal(x.shape)
        kept = dout.copy()
        dx = layer.backward(dout, cache)
        look = "Make a new array for dx: others may use dout."
        expect(np.array_equal(dout, kept), "backward", "dout as it was", "a changed dout", look)
        # Central differences with h = 1e-6 in float64 are good to about 1e-9; 1e-5 leaves room for any algebra.
        look = "The chain rule: local derivative times dout, entry by entry (numbers from finite differences)."
        expect_close("backward", dx, numeric_gradient(lambda v: make(answer).forward(v)[0], x, dout), look,
                     rtol=1e-5, atol=1e-7)  # fmt: skip
        again = layer.backward(kept.copy(), cache)
        expect(
            np.array_equal(np.asarray(dx), np.asarray(again)), "backward", "the same dx when called twice", "another",
            "Leave the cache unchanged.",
        )  # fmt: skip
        big = np.array(extremes, dtype=np.float32)
        what = f"inputs of {' and '.join(f'{value:g}' for value in extremes)}"
        out32, cache32 = make(answer).forward(big)
        expect_close(
            f"forward for {what}", out32, reference(big.astype(np.float64)), "Nothing may overflow.", rtol=1e-5
        )
        expect_dtype("forward", out32, np.float32)
        finite = np.isfinite(np.asarray(make(answer).backward(np.ones_like(big), cache32), dtype=float)).all()
        expect(bool(finite), f"backward for {what}", "finite numbers", "inf or nan", "Use the cached output.")

    return verify


def away_from_zero(rng: np.random.Generator) -> NDArray:
    """Draw (3, 4) float64 with absolute values from 0.05 to 3."""
    return rng.choice([-1, 1], size=(3, 4)) * rng.uniform(0.05, 3, size=(3, 4))


def numeric_gradient(of: Callable[[NDArray], Any], x: NDArray, dout: Any = 1.0, h: float = 1e-6) -> NDArray:
    """Return central differences of sum(of(x) * dout) with respect to every entry of x (float64)."""
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = np.sum((of(up) - of(down)) * dout) / (2 * h)
    return grad


def call_unchanged(what: str, answer: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the student's function on copies of the arguments and refuse it when it changes them; return its result."""
    given, named = copy.deepcopy(args), copy.deepcopy(kwargs)
    result = answer(*given, **named)
    for index, (before, after) in enumerate(zip((*args, *kwargs.values()), (*given, *named.values()), strict=True)):
        which = f"argument {index + 1}" if len(args) + len(kwargs) > 1 else "the input"
        look = "Work on a copy or make a new array."
        expect(_same(before, after), what, f"{which} as it was", f"a changed one ({which})", look)
    return result


def compare_parts(
    what: str,
    got: Any,
    expected: Any,
    look: str,
    *,
    returns: Sequence[str] = (),
    rtol: float = 1e-6,
    atol: float = 1e-8,
) -> None:
    """Compare one result, or the named parts of a returned tuple, with what is expected."""
    if not returns:
        expect_close(what, got, expected, look, rtol=rtol, atol=atol)
        return
    is_tuple = isinstance(got, tuple | list) and len(got) == len(returns)
    size = f" of {len(got)}" if isinstance(got, tuple | list) else ""
    expect(is_tuple, what, f"a tuple ({', '.join(returns)})", type(got).__name__ + size, look)
    for name, part, want in zip(returns, got, expected, strict=True):
        expect_close(f"{what}, {name}", part, want, look, rtol=rtol, atol=atol)


def expect_dtype(what: str, got: Any, dtype: Any) -> None:
    """Raise CheckFailed unless got is an array or scalar of this dtype."""
    want, have = np.dtype(dtype), getattr(got, "dtype", None)
    name = str(have) if have is not None else type(got).__name__
    look = f"An array or number of another type turned the result into {name}."
    expect(have == want, what, f"{want} for {want} input", name, look)


def _as_float32(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _same(before: Any, after: Any) -> bool:
    """Whether two structures of arrays, numbers and containers are equal; what cannot be compared counts as equal."""
    if isinstance(before, np.ndarray):
        same_form = isinstance(after, np.ndarray) and before.dtype == after.dtype and before.shape == after.shape
        return same_form and (np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"))
    if isinstance(before, Mapping):
        return list(before) == list(after) and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, int | float | str | set | bool | type(None)):
        return before == after or before != before
    return True
