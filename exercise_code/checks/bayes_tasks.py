"""Verifiers of exercise 05's model-based tasks: expected improvement, the next configuration, TPE's two steps."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.checks.core import expect, expect_close
from exercise_code.checks.verifiers import call_unchanged, compare_parts

NAN, INF = float("nan"), float("inf")


def _mean_gain(mean: ArrayLike, std: ArrayLike, best: float) -> NDArray[np.float64]:
    """Integral of max(0, best - y) times the normal density: a sum over a fine grid below best (midpoint rule)."""
    gains = []
    for centre, width in zip(np.atleast_1d(mean).tolist(), np.atleast_1d(std).tolist(), strict=True):
        if width == 0:
            gains.append(max(0.0, best - centre))
            continue
        low, high = centre - 12 * width, min(best, centre + 12 * width)
        if high <= low:
            gains.append(0.0)
            continue
        step = (high - low) / 20_000
        y = low + step * (np.arange(20_000) + 0.5)
        density = np.exp(-(((y - centre) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
        gains.append(float(np.sum((best - y) * density) * step))
    return np.array(gains)


def expected_improvement(answer: Any, rng: np.random.Generator) -> None:
    drawn, spread = rng.normal(1, 0.5, 6), rng.uniform(0.1, 1.0, 6)
    formula = "(best - mean) Phi(z) + std phi(z), z = (best - mean) / std. For a loss, lower is better."
    for what, mean, std, best, look in (
        ("mean 1, std 1, best 1", [1.0], [1.0], 1.0, f"z is 0: only std * phi(0) is left. {formula}"),
        ("a better and a worse mean, std 0.5", [0.5, 1.5], [0.5, 0.5], 1.0, formula),
        ("means 0.2, 1.2 and 0.4, std 3, 2 and 0.1", [0.2, 1.2, 0.4], [3.0, 2.0, 0.1], 0.6, formula),
        ("six drawn predictions", drawn, spread, 0.9, formula),
        ("negative losses", -drawn, spread, -1.5, formula),
        ("std 0", [0.5, 1.0, 1.5], [0.0, 0.0, 0.0], 1.0, "Without uncertainty it is max(0, best - mean): no 0 / 0."),
        ("std 0 beside std 0.3", [0.5, 1.0, 1.5, 1.2], [0.0, 0.3, 0.0, 0.3], 1.0,
         "Some std may be 0, others not: decide entry by entry."),
        ("a mean 40 std too high", [5.0, 1.0], [0.1, 0.1], 1.0, "Far from any improvement it is 0."),
        ("a mean 40 std below best", [1.0, 5.0], [0.1, 0.1], 5.0, "Far below, it is best - mean."),
    ):  # fmt: skip
        mean, std = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
        got = call_unchanged(what, answer, mean, std, best)
        expect_close(what, got, _mean_gain(mean, std, best), look, rtol=1e-5, atol=1e-8)
        negative = float(np.min(got))
        expect(negative >= -1e-12, what, "nothing below 0", negative, "An improvement is never negative.")
    got = answer([1.0, 0.5], [1.0, 0.0], best=1.0)
    expect_close("lists in place of arrays", got, [0.3989423, 0.5], "Make arrays of them first.", rtol=1e-6)


def next_configuration(answer: Any, rng: np.random.Generator) -> None:
    hope = "Of two equal means the more uncertain one can improve by more."
    worst = "1 - E[y] is large where accuracy is poor. An improvement is what goes beyond the best so far."
    tail = "E[max(0, y - best)]: how far beyond best, not only how likely, and not the mean or the std alone."
    for what, mean, std, best, wanted, look in (
        ("means 0.3 and 0.9", [0.3, 0.9], [0.05, 0.05], 0.5, 1, worst),
        ("means 0.8, 0.6 and 0.7", [0.8, 0.6, 0.7], [0.1, 0.1, 0.1], 0.75, 0, worst),
        ("equal means, std 0.02 and 0.1", [0.6, 0.6], [0.02, 0.1], 0.65, 1, hope),
        ("a sure 0.80 against 0.70 +- 0.2, best 0.79", [0.8, 0.7], [0.001, 0.2], 0.79, 1, tail),
        ("0.9 +- 0.01 against 0.7 +- 0.2, best 0.6", [0.9, 0.7], [0.01, 0.2], 0.6, 0, tail),
        ("0.5 +- 0.2 against 0.8 +- 0.02, best 0.7", [0.5, 0.8], [0.2, 0.02], 0.7, 1, tail),
        ("0.71 +- 0.001 against 0.7 +- 0.1, best 0.7", [0.71, 0.7], [0.001, 0.1], 0.7, 1, tail),
        ("a known best among the candidates", [0.9, 0.85, 0.2], [0.0, 0.05, 0.05], 0.9, 1,
         "What is known exactly cannot improve on itself: std 0."),
    ):  # fmt: skip
        _expect_choice(what, answer, np.array(mean), np.array(std), best, wanted, look)
    for _ in range(3):
        while True:  # until the answer does not hang on the last digits
            drawn, spread, best = rng.uniform(0.2, 0.9, 6), rng.uniform(0.01, 0.2, 6), float(rng.uniform(0.5, 0.9))
            gains = _mean_gain(-drawn, spread, -best)
            second, first = np.sort(gains)[-2:]
            if first > 1.1 * second and first > 1e-4:
                break
        _expect_choice("six drawn candidates", answer, drawn, spread, best, int(np.argmax(gains)), tail)


def _expect_choice(what: str, answer: Any, mean: NDArray, std: NDArray, best: float, wanted: int, look: str) -> None:
    got = call_unchanged(what, answer, mean, std, best)
    is_index = isinstance(got, int | np.integer) and not isinstance(got, bool)
    kind = "None (is there a return?)" if got is None else type(got).__name__
    expect(
        is_index,
        what,
        "the position of a candidate",
        kind,
        "c* is where the maximum lies (argmax), not how high it is.",
    )
    expect(bool(got == wanted), what, f"candidate {wanted}", f"candidate {got}", look)


def split_good_bad(answer: Any, rng: np.random.Generator) -> None:
    values = rng.permutation(np.linspace(0.1, 1.7, 17))
    ranked = [int(i) for i in sorted(range(17), key=lambda i: values[i])]
    up = "ceil(gamma * n) trials are good, best first: round up, of all n."
    for what, given, gamma, good, look in (
        ("values 0.5, 0.1, 0.4, 0.3, gamma 0.5", [0.5, 0.1, 0.4, 0.3], 0.5, [1, 3], "The lowest values are good, best first."),
        ("17 values, gamma 0.15", values, 0.15, ranked[:3], up),
        ("17 values, gamma 0.33", values, 0.33, ranked[:6], up),
        ("3 values, gamma 0.1", [0.3, 0.2, 0.9], 0.1, [1], f"{up} One at least."),
        ("one value", [0.4], 0.25, [0], up),
        ("equal values", [0.7, 0.2, 0.2, 0.9, 0.2, 0.8], 0.3, [1, 2], "Of equal values the earlier one first (a stable sort)."),
        ("many equal values", [1.0, 0.5] * 20, 0.24, list(range(1, 20, 2)), "Of equal values the earlier one first (a stable sort)."),
        ("a first value of nan", [NAN, 0.3, 0.5, 0.2], 0.5, [3, 1], "A run that failed is never good: where does nan end up?"),
        ("two finite values", [INF, 0.3, NAN, NAN, 0.2, INF], 0.6, [4, 1], "Fewer good ones, when only few are finite: a run that failed is never good."),
        ("four finite values of eight", [NAN, 0.4, INF, 0.2, NAN, 0.3, INF, 0.5], 0.25, [3, 5], up),
        ("minus infinity", [0.3, -INF, 0.5, 0.2], 0.5, [3, 0], "Not finite is not finite, also at the lower end."),
        ("nothing finite", [NAN, INF, NAN], 0.5, [], "A run that failed is never good."),
    ):  # fmt: skip
        given = np.asarray(given, dtype=float)
        bad = np.array([i for i in range(len(given)) if i not in good], dtype=int)
        got = call_unchanged(what, answer, given, gamma)
        parts = ("good", "bad")
        is_pair = isinstance(got, tuple | list) and len(got) == 2
        expect(is_pair, what, "a pair (good, bad)", type(got).__name__, "Two arrays of positions.")
        if what != "minus infinity":
            arrays = tuple(_as_positions(part) for part in got)
            compare_parts(what, arrays, (np.array(good, dtype=int), bad), look, returns=parts)
        else:  # lets the order of good be; what counts is that -inf is not in it
            expect(1 not in np.asarray(got[0]).tolist(), what, "position 1 among the bad", "among the good", look)
    _, bad = answer([0.5, 0.1, 0.4, 0.3], 0.5)
    expect_close("values in a list, bad", _as_positions(bad), [0, 2], "Make an array of them first.")


def _as_positions(part: Any) -> Any:
    return np.array(part, dtype=int) if isinstance(part, list | tuple) and len(part) == 0 else np.asarray(part)


class _Density:
    """Stand-in of a Mixture: deals out given points, and knows the logarithm of the density at each."""

    def __init__(self, points: NDArray, logs: NDArray):
        self.points, self.logs, self.dealt = points, logs, 0
        self.generators: list[Any] = []

    def __len__(self) -> int:
        return len(self.points)

    def sample(self, rng: Any, count: int) -> NDArray:
        self.generators.append(rng)
        start, self.dealt = self.dealt, self.dealt + int(count)
        return np.take(self.points, range(start, self.dealt), axis=0, mode="wrap")

    def log_density(self, points: NDArray) -> NDArray:
        rows = np.abs(np.atleast_2d(points)[:, None] - self.points).sum(axis=2)
        return self.logs[rows.argmin(axis=1)]


def propose_by_ratio(answer: Any, rng: np.random.Generator) -> None:
    drawn = rng.normal(0, 2, (2, 8))
    rare = "Where l is high, g may be higher: it is the ratio l / g that counts, its logarithm is a difference."
    for what, good_logs, bad_logs, wanted, look in (
        ("l highest at 0, l / g at 2", [2.0, 1.0, 1.5, 0.0], [2.5, 1.0, -1.0, 0.0], 2, rare),
        ("g lowest at 1, l / g at 3", [0.0, -5.0, 1.0, 3.0], [0.0, -4.0, 1.0, -2.0], 3, rare),
        ("logarithms that are negative", [-1.0, -8.0, -2.0, -3.0], [-0.5, -1.0, -4.0, -2.0], 2,
         "The logarithm of l / g is the difference of the logarithms, not their quotient."),
        ("densities too small for a float", [-2000.0, -1990.0, -1995.0, -2001.0], [-2000.0, -2005.0, -1900.0, -1000.0], 1,
         "exp(-2000) is 0: stay with the logarithms."),
        ("densities too large for a float", [900.0, 950.0, 910.0, 800.0], [900.0, 980.0, 890.0, 790.0], 2,
         "exp(900) is inf: stay with the logarithms."),
        ("equal ratios", [0.0, 1.0, 2.0, 1.0], [0.0, 0.0, 1.0, 0.0], 1, "Of equals the first."),
        ("eight drawn candidates", drawn[0], drawn[1], int(np.argmax(drawn[0] - drawn[1])), rare),
    ):  # fmt: skip
        count = len(good_logs)
        points, elsewhere = rng.random((count, 3)), rng.random((count, 3)) + 2
        good, bad = _Density(points, np.array(good_logs)), _Density(elsewhere, np.zeros(count))
        bad.log_density = _Density(points, np.array(bad_logs)).log_density  # type: ignore[method-assign]
        own = np.random.default_rng(3)
        got = answer(good, bad, count, own)
        expect(good.dealt > 0 or bad.dealt > 0, what, "candidates drawn from good", "no call of good.sample",
               "Step two starts with good.sample(rng, candidates).")  # fmt: skip
        expect(bad.dealt == 0, what, "candidates drawn from good only", f"{bad.dealt} drawn from bad",
               "Look where the good trials lie; bad is there for the comparison.")  # fmt: skip
        expect(good.dealt == count, what, f"{count} candidates", f"{good.dealt}", "As many as `candidates` says, once.")
        handed = all(one is own for one in good.generators)
        expect(
            handed, what, "the rng that came in, handed on to sample", "another one", "Make no generator of your own."
        )
        expect_close(what, got, points[wanted], f"{look} Return that candidate.")
