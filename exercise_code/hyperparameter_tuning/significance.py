"""Do two configurations differ, or was it luck?  Paired tests over seeds and over examples, and the spread over seeds.

A search picks the luckiest of many runs.  Train the finalists again with a few seeds, the same seeds for both, before you
say that one is better: a fraction of a point on 10,000 test images is within the noise (half a point at 50 % is one
standard error).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.searcher import Result

EXACT_UP_TO = 14  # pairs; 2**14 sign patterns are enumerated, more are sampled


@dataclass(frozen=True)
class Comparison:
    """Outcome of `compare`; print it for the answer in one line.

    difference: mean of b - a (of the accuracies for `compare_predictions`).  low, high: its interval at the level
    1 - alpha.  p: probability of a difference at least as large, either way, if there was none.

    >>> Comparison(-0.04, -0.05, -0.03, p=0.001, alpha=0.05, pairs=4).differ
    True
    """

    difference: float
    low: float
    high: float
    p: float
    alpha: float
    pairs: int
    names: tuple[str, str] = ("a", "b")
    lower_is_better: bool = True

    @property
    def differ(self) -> bool:
        """Whether p is below alpha."""
        return self.p < self.alpha

    def __str__(self) -> str:
        what = f"{self.difference:+.4g} [{self.low:+.4g}, {self.high:+.4g}], p = {self.p:.2g}, {self.pairs} pairs"
        a, b = self.names
        if not self.differ:
            return f"no evidence that {a} and {b} differ: {b} - {a} = {what}"
        better = b if (self.difference < 0) == self.lower_is_better else a
        return f"{better} is better: {b} - {a} = {what}"


@dataclass(frozen=True)
class SeedSpread:
    """Mean, sample standard deviation (n - 1) and 95 % interval of the mean over seeds; nan where one seed cannot tell.

    >>> print(SeedSpread(0.52, math.nan, math.nan, math.nan, seeds=1))
    0.52 (1 seed: spread unknown)
    """

    mean: float
    std: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        if self.seeds < 2:
            return f"{self.mean:.4g} (1 seed: spread unknown)"
        return f"{self.mean:.4g} +- {self.std:.2g} over {self.seeds} seeds, mean in [{self.low:.4g}, {self.high:.4g}]"


def seed_spread(values: ArrayLike, alpha: float = 0.05) -> SeedSpread:
    """Mean and spread of one configuration's results over seeds, `mean +- t(1 - alpha/2, n - 1) std / sqrt(n)`.

    Args:
        values: (n,) finite numbers, one per seed.

    Raises:
        ValueError: no value, or one that is not finite.

    >>> print(seed_spread([0.50, 0.52, 0.54]))
    0.52 +- 0.02 over 3 seeds, mean in [0.4703, 0.5697]
    """
    values = _finite(values, "values")
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return SeedSpread(mean, math.nan, math.nan, math.nan, n)
    std = float(np.std(values, ddof=1))
    half = _t_quantile(1 - alpha / 2, n - 1) * std / math.sqrt(n)
    return SeedSpread(mean, std, mean - half, mean + half, n)


@dataclass(frozen=True)
class Repeated:
    """One configuration of a search and its finite values, in the order of the trials; failed counts its other trials.

    >>> print(Repeated({"lr": 9.0}, (), failed=2, spread=None))
    {'lr': 9.0}: no finite value, 2 failed
    """

    config: dict[str, Any]
    values: tuple[float, ...]
    failed: int
    spread: SeedSpread | None

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.config}: {self.spread if self.spread else 'no finite value'}{failed}"


def spread_over_seeds(results: Sequence[Result]) -> list[Repeated]:
    """Group results of equal configurations and as many epochs, lowest mean first; without a finite value last.

    Every trial of `tune` has a seed of its own, so repeating a configuration (see `ListSearcher`) repeats it with other seeds.

    >>> runs = [Result(i, {"lr": lr}, 5, v, "ok") for i, (lr, v) in enumerate([(0.1, 0.50), (0.2, 0.40), (0.1, 0.54), (0.2, 0.41)])]
    >>> for repeated in spread_over_seeds(runs):
    ...     print(repeated)
    {'lr': 0.2}: 0.405 +- 0.0071 over 2 seeds, mean in [0.3415, 0.4685]
    {'lr': 0.1}: 0.52 +- 0.028 over 2 seeds, mean in [0.2659, 0.7741]
    """
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((repr(result.config), result.epochs), []).append(result)
    found = []
    for group in groups.values():
        values = tuple(result.value for result in group if math.isfinite(result.value))
        spread = seed_spread(values) if values else None
        found.append(Repeated(group[0].config, values, len(group) - len(values), spread))
    return sorted(found, key=lambda repeated: repeated.spread.mean if repeated.spread else math.inf)


def compare(
    config_a_values: ArrayLike,
    config_b_values: ArrayLike,
    *,
    names: tuple[str, str] = ("a", "b"),
    test: str = "t",
    alpha: float = 0.05,
    lower_is_better: bool = True,
    rng: np.random.Generator | None = None,
) -> Comparison:
    """Say whether two configurations differ, from runs with the same seeds: the i-th values of both belong to one seed.

    Args:
        config_a_values, config_b_values: (n,) results, n >= 2.
        test: "t" for the paired t-test, "sign_flip" for the permutation test, which assumes no normal distribution but needs
            at least 6 seeds to reach p < 0.05.  The interval is the t-test's either way.
        alpha: the accepted rate of false alarms.
        lower_is_better: True for losses, False for accuracies.
        rng: for the sampled permutations of more than 14 pairs; None uses seed 0.

    Raises:
        ValueError: lists of different or too small length, values that are not finite, an unknown test.

    >>> print(compare([0.31, 0.29, 0.30, 0.32], [0.27, 0.26, 0.27, 0.28]))
    b is better: b - a = -0.035 [-0.04419, -0.02581], p = 0.0012, 4 pairs
    >>> print(compare([0.31, 0.29, 0.30], [0.30, 0.31, 0.28]))
    no evidence that a and b differ: b - a = -0.003333 [-0.05504, +0.04838], p = 0.81, 3 pairs
    """
    a, b = _finite(config_a_values, "config_a_values"), _finite(config_b_values, "config_b_values")
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"expected one value per seed for both, and at least 2 seeds, got {len(a)} and {len(b)}")
    if test not in ("t", "sign_flip"):
        raise ValueError(f'expected test "t" or "sign_flip", got {test!r}')
    p = paired_t_test(a, b) if test == "t" else sign_flip_test(a, b, rng=rng)
    spread = seed_spread(b - a, alpha)
    return Comparison(spread.mean, spread.low, spread.high, p, alpha, len(a), names, lower_is_better)


def paired_t_test(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of `t = mean(d) / (std(d) / sqrt(n))`, d = b - a, with n - 1 degrees of freedom (Student 1908).

    Args:
        a, b: (n,) finite values of the same seeds, n >= 2.

    Returns:
        p in [0, 1]; 1 when all differences are 0, 0 when all are equal and not 0.

    >>> round(paired_t_test([1.0, 2.0, 3.0], [2.0, 4.0, 4.0]), 4)
    0.0572
    """
    difference = np.asarray(b, float) - np.asarray(a, float)
    n, mean, std = len(difference), float(np.mean(difference)), float(np.std(difference, ddof=1))
    if std <= 1e-12 * abs(mean) or (std == 0 and mean == 0):  # rounding must not make equal differences look spread
        return 0.0 if mean else 1.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) * math.sqrt(n) / std))


def sign_flip_test(
    a: ArrayLike, b: ArrayLike, *, resamples: int = 20_000, rng: np.random.Generator | None = None
) -> float:
    """Two-sided p-value of a permutation test: without a difference, every sign of every b - a is as likely as the other.

    Up to 14 pairs all 2**n sign patterns are tried, beyond that `resamples` random ones plus the one observed (Fisher 1935).

    Args:
        a, b: (n,) finite values of the same seeds.

    Returns:
        Share of the patterns whose |sum| is at least the observed one.

    >>> sign_flip_test([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])   # 2 of the 8 patterns are as extreme
    0.25
    """
    difference = np.asarray(b, float) - np.asarray(a, float)
    n = len(difference)
    observed = abs(difference.sum()) * (1 - 1e-12)
    if n <= EXACT_UP_TO:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(signs @ difference) >= observed))
    rng = np.random.default_rng(0) if rng is None else rng
    signs = rng.choice(np.array([-1.0, 1.0]), size=(resamples, n))
    return float((1 + np.sum(np.abs(signs @ difference) >= observed)) / (1 + resamples))


def compare_predictions(
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    labels: ArrayLike,
    *,
    names: tuple[str, str] = ("a", "b"),
    alpha: float = 0.05,
) -> Comparison:
    """Say whether two trained networks differ in accuracy on the same images (McNemar's exact test).

    difference is accuracy b minus accuracy a; its interval is Wald's for paired proportions.  It speaks about these two
    trained networks, not about the configurations: another seed may turn it round.

    Args:
        predictions_a, predictions_b, labels: (N,) integers.

    Raises:
        ValueError: different lengths, or none.

    >>> labels = np.zeros(100, int)
    >>> a, b = labels.copy(), labels.copy()
    >>> a[:12], b[10:13] = 1, 1
    >>> print(compare_predictions(a, b, labels))
    b is better: b - a = +0.09 [+0.02743, +0.1526], p = 0.012, 100 pairs
    """
    a, b, labels = (np.asarray(array) for array in (predictions_a, predictions_b, labels))
    if not a.shape == b.shape == labels.shape or not len(labels):
        raise ValueError(f"expected three lists of one length, at least 1, got {a.shape}, {b.shape} and {labels.shape}")
    only_a, only_b = _disagreements(a == labels, b == labels)
    n = len(labels)
    difference = (only_b - only_a) / n
    error = math.sqrt(max(only_a + only_b - (only_b - only_a) ** 2 / n, 0.0)) / n
    half = _normal_quantile(1 - alpha / 2) * error
    p = mcnemar_exact(a == labels, b == labels)
    return Comparison(difference, difference - half, difference + half, p, alpha, n, names, lower_is_better=False)


def mcnemar_exact(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Two-sided p-value of McNemar's exact test: of the images on which just one is right, half should be a's.

    `p = min(1, 2 P(X <= min(m_a, m_b)))`, X binomial with m_a + m_b trials and probability 1/2, where m_a counts the
    images that only a gets right (McNemar 1947).

    Args:
        correct_a, correct_b: (N,) booleans, the same images in the same order.

    >>> mcnemar_exact([True] * 9 + [False], [False] * 9 + [True])
    0.021484375
    """
    only_a, only_b = _disagreements(np.asarray(correct_a, bool), np.asarray(correct_b, bool))
    m = only_a + only_b
    tail = ways = 1  # integers throughout: exact for any m
    for k in range(min(only_a, only_b)):
        ways = ways * (m - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**m)


def seeds_needed(difference: float, std: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Seeds per configuration to see a mean difference, `n = ((z(1 - alpha/2) + z(power)) std / difference)**2 + 2`, rounded up.

    Args:
        difference: the smallest one that matters, not 0.
        std: standard deviation of the paired differences; without pairing sqrt(2) times that of one configuration.

    Raises:
        ValueError: a difference of 0.

    >>> seeds_needed(0.005, 0.004)
    8
    """
    if not difference:
        raise ValueError("expected a difference other than 0: no number of seeds can show that")
    z = _normal_quantile(1 - alpha / 2) + _normal_quantile(power)
    return math.ceil((z * std / difference) ** 2 + 2)


def _disagreements(right_a: NDArray, right_b: NDArray) -> tuple[int, int]:
    return int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))


def _normal_quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(level)


def _t_quantile(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))


def _finite(values: ArrayLike | Sequence[float], name: str) -> NDArray:
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(
            f"expected a list of finite numbers for {name}, got {values!r}: leave out diverged seeds of both"
        )
    return array
