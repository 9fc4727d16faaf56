"""Checks of exercise 08 about batch norm by hand, against torch's own in float64.

torch is imported when a check runs: this table is read by the checks of every exercise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect, expect_close
from exercise_code.checks.verifiers import call_unchanged, expect_dtype

PARTS = ("dx", "dgamma", "dbeta")


def _torch_norm(x: NDArray, gamma: NDArray, beta: NDArray, eps: float, dout: NDArray | None = None) -> list[NDArray]:
    """What torch gives in training mode: out, and with dout also the gradients of x, gamma and beta."""
    import torch

    given = [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in (x, gamma, beta)]
    out = torch.nn.functional.batch_norm(given[0], None, None, given[1], given[2], training=True, eps=eps)
    if dout is None:
        return [out.detach().numpy()]
    return [out.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(out, given, torch.from_numpy(dout)))]


def _draw(rng: np.random.Generator, n: int, d: int) -> tuple[NDArray, NDArray, NDArray]:
    x = rng.uniform(-4, 4, d) + rng.uniform(0.5, 3, d) * rng.standard_normal((n, d))
    return x, rng.uniform(0.5, 2, d) * rng.choice([-1, 1], d), rng.uniform(-2, 2, d)


def _pair(what: str, result: Any, kind: str) -> tuple[Any, Any]:
    is_pair = isinstance(result, tuple | list) and len(result) == 2
    expect(is_pair, what, f"a pair (out, {kind})", type(result).__name__, "Return both, see Returns.")
    missing = [name for name in ("normalized", "inverse_std", "gamma") if not hasattr(result[1], name)]
    look = f"Fill a {kind}: it is a named tuple."
    expect(not missing, f"{what}: the cache", f"a {kind}", f"{type(result[1]).__name__} without {missing}", look)
    return result[0], result[1]


def forward(answer: Any, rng: np.random.Generator) -> None:
    one, zero = np.ones(1), np.zeros(1)
    hand = "x = [[1], [3]], gamma 1, beta 0, eps 3"  # mean 2, variance 1, so (1 - 2) / sqrt(1 + 3)
    out, _ = _pair(hand, call_unchanged(hand, answer, np.array([[1.0], [3.0]]), one, zero, eps=3.0), "BatchCache")
    look = "The variance divides by N, and eps is added to the variance, under the root."
    expect_close(hand, out, np.array([[-0.5], [0.5]]), look)
    for n, d, eps in ((7, 3, 1e-5), (2, 4, 1e-5), (5, 2, 0.7)):
        x, gamma, beta = _draw(rng, n, d)
        for what, scale, shift in (
            (f"x ({n}, {d}), gamma 1, beta 0, eps {eps:g}", np.ones(d), np.zeros(d)),
            (f"x ({n}, {d}), random gamma and beta, eps {eps:g}", gamma, beta),
        ):
            out, cache = _pair(what, call_unchanged(what, answer, x, scale, shift, eps=eps), "BatchCache")
            look = "Per feature, over the samples: subtract the mean, divide by sqrt(var + eps); then gamma and beta."
            expect_close(what, out, _torch_norm(x, scale, shift, eps)[0], look)
            plain = _torch_norm(x, np.ones(d), np.zeros(d), eps)[0]
            expect_close(f"{what}: cache.normalized", cache.normalized, plain, "Before gamma and beta.")
            spread = np.sqrt(np.var(x, axis=0) + eps)
            expect_close(f"{what}: cache.inverse_std", cache.inverse_std, 1 / spread, "1 / sqrt(var + eps).")
            for name, value in (("gamma", scale), ("mean", x.mean(axis=0)), ("var", np.var(x, axis=0))):
                expect_close(f"{what}: cache.{name}", getattr(cache, name), value, "Of the batch, divisor N.")
    x, gamma, beta = _draw(rng, 6, 3)
    what = "a feature that is constant in the batch"
    x[:, 1] = 2.0
    out, _ = answer(x.copy(), gamma, beta)
    expect_close(what, out, _torch_norm(x, gamma, beta, 1e-5)[0], "Variance 0: only eps keeps it finite.", atol=1e-6)
    out, _ = answer(*(values.astype(np.float32) for values in (x, gamma, beta)))
    expect_dtype("float32 x, gamma and beta", out, np.float32)
    what = "float32 values around 2,000 with a spread of 1"
    x = (2000 + rng.standard_normal((64, 2))).astype(np.float32)
    out, _ = answer(x.copy(), np.ones(2, np.float32), np.zeros(2, np.float32))
    look = "The mean of the squared deviations; the mean of squares minus the squared mean loses all digits."
    expect_close(what, out, _torch_norm(x, np.ones(2), np.zeros(2), 1e-5)[0].astype(np.float32), look, atol=0.02)


def _cache(x: NDArray, gamma: NDArray, eps: float) -> Any:
    from exercise_code.networks.batchnorm import BatchCache

    mean, var = x.mean(axis=0), np.var(x, axis=0)
    spread = np.sqrt(var + eps)
    return BatchCache((x - mean) / spread, 1 / spread, gamma, mean, var)


def backward(answer: Any, rng: np.random.Generator, *, only_three: bool = False) -> None:
    for n, d, eps in ((6, 3, 1e-5), (2, 2, 0.4), (9, 4, 0.05)):
        x, gamma, beta = _draw(rng, n, d)
        dout = rng.standard_normal((n, d))
        expected = _torch_norm(x, gamma, beta, eps, dout)[1:]
        cache = _cache(x, gamma, eps)
        if only_three:  # whoever needs more than normalized, inverse_std and gamma gets nan
            cache = cache._replace(mean=np.full(d, np.nan), var=np.full(d, np.nan))
        what = f"dout ({n}, {d}), eps {eps:g}"
        got = call_unchanged(what, answer, dout, cache)
        is_triple = isinstance(got, tuple | list) and len(got) == 3
        expect(is_triple, what, f"a tuple ({', '.join(PARTS)})", type(got).__name__, "Return three arrays.")
        looks = (
            "Three ways lead from x to the output: directly, by the variance, by the mean.",
            "dout meets what gamma was multiplied with, summed over the samples.",
            "beta was added to every sample: a sum.",
        )
        if only_three:
            looks = (
                "Compare with the formula; of the cache it needs normalized, inverse_std and gamma only.",
                *looks[1:],
            )
        for index in (2, 1, 0):  # the easy parts first
            name = f"{what}: {PARTS[index]}"
            expect_close(name, got[index], expected[index], looks[index], rtol=1e-5, atol=1e-8)
        small = cache._replace(**{name: part.astype(np.float32) for name, part in cache._asdict().items()})
        expect_dtype(f"{what} in float32: dx", answer(dout.astype(np.float32), small)[0], np.float32)


def compact(answer: Any, rng: np.random.Generator) -> None:
    backward(answer, rng, only_three=True)


def test_forward(answer: Any, rng: np.random.Generator) -> None:
    import torch

    hand = "x = [[3]], mean 1, variance 3, gamma 1, beta 0, eps 1"  # (3 - 1) / sqrt(3 + 1)
    one, zero = np.ones(1), np.zeros(1)
    out, _ = _pair(
        hand, call_unchanged(hand, answer, np.array([[3.0]]), one, zero, one, 3 * one, eps=1.0), "FixedCache"
    )
    expect_close(hand, out, np.array([[1.0]]), "The same formula as in training, eps included, with given statistics.")
    for n, eps in ((1, 1e-5), (5, 1e-5), (4, 0.3)):
        x, gamma, beta = _draw(rng, n, 3)
        mean, var = rng.uniform(-3, 3, 3), np.array([rng.uniform(0.3, 4), 0.0, rng.uniform(0.3, 4)])
        what = f"x ({n}, 3), a running variance of 0 in the middle, eps {eps:g}"
        out, cache = _pair(what, call_unchanged(what, answer, x, gamma, beta, mean, var, eps=eps), "FixedCache")
        rows, centre, spread, scale, shift = (torch.from_numpy(values) for values in (x, mean, var, gamma, beta))
        expected = torch.nn.functional.batch_norm(rows, centre, spread, scale, shift, training=False, eps=eps).numpy()
        expect_close(what, out, expected, "Neither the batch's mean nor its variance plays a part; eps does.")
        expect_close(f"{what}: cache.inverse_std", cache.inverse_std, (var + eps) ** -0.5, "1 / sqrt(var + eps).")
        plain = (x - mean) * (var + eps) ** -0.5
        expect_close(f"{what}: cache.normalized", cache.normalized, plain, "Before gamma and beta.")
        expect_close(f"{what}: cache.gamma", cache.gamma, gamma, "As it was given.")
        narrow = [values.astype(np.float32) for values in (x, gamma, beta, mean, var)]
        expect_dtype(f"{what} in float32", answer(*narrow, eps=eps)[0], np.float32)
