"""How far luck goes: intervals, the paired test behind rank bands, the Ladder. Pure functions of counts.

Whoever writes a `scores.json` uses the same functions, so what a board was made with and what it shows agree.
"""

import math
from functools import cache, lru_cache
from statistics import NormalDist

CONFIDENCE = 0.95
SIGNIFICANCE = 1 - CONFIDENCE
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # 1.95996...
# in a large class many users have the same count, on each board again
_remembered = lru_cache(50_000)


@_remembered
def wilson(correct: int, total: int) -> tuple[float, float]:
    """95 % Wilson score interval of correct / total, as fractions in [0, 1].

    Source: E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
    JASA 22, 209-212; without continuity correction.
    """
    share = correct / total
    spread = Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    # the formula gives these bounds exactly; floating point misses them by an ulp
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


def mcnemar(one: int, other: int) -> float:
    """Two-sided p-value of McNemar's exact test: are two models equally good on the same images?

    `one` images only the first has right, `other` images only the second; what both or neither have right says
    nothing about the difference. p = min(1, 2 P(X <= min(one, other))) with X binomial(one + other, 1/2).

    Source: Q. McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12, 153-157; in the exact, binomial form.
    """
    n, k = one + other, min(one, other)
    if 2 * k >= n:
        return 1.0
    term = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
    total = 0.0
    while k >= 0 and term > 1e-18 * total:
        total += term
        term *= k / (n - k + 1)  # C(n, k - 1) / C(n, k)
        k -= 1
    return min(1.0, 2 * total)


@cache
def _most_uneven(n: int) -> int:
    """The largest min(one, other) of n disagreements that `mcnemar` calls significant; -1: none is."""
    low, high = -1, n // 2
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if mcnemar(middle, n - middle) < SIGNIFICANCE else (low, middle - 1)
    return low


def paired_tie(one: int, other: int) -> bool:
    """Whether McNemar's exact test leaves two models tied at 5 %; the same as `mcnemar(...) >= 0.05`, and quick."""
    return min(one, other) > _most_uneven(one + other)


def difference(correct: int, other: int, total: int) -> tuple[float, float]:
    """95 % interval of (correct - other) / total for two counts whose images are not paired, in [-1, 1].

    Source: R. G. Newcombe (1998), Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17, 873-890, method 10: the Wilson bounds of both, put together in squares.
    """
    first, second = correct / total, other / total
    (low, high), (other_low, other_high) = wilson(correct, total), wilson(other, total)
    gap = first - second
    return (
        gap - math.hypot(first - low, other_high - second),
        gap + math.hypot(high - first, second - other_low),
    )


@_remembered
def unpaired_tie(correct: int, other: int, total: int) -> bool:
    """Whether the interval of the difference of two counts holds 0."""
    low, high = difference(correct, other, total)
    return low <= 0 <= high


def gain(gained: int, lost: int, total: int) -> tuple[float, float]:
    """95 % interval of (gained - lost) / total, the paired change of accuracy on the same images, in [-1, 1].

    `gained` images are right after and were wrong before, `lost` the other way round.

    Source: D. G. Bonett and R. M. Price (2012), Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data, Journal of Educational and Behavioral Statistics 37, 479-488.
    """
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (total + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def ladder_moves(gained: int, lost: int, standing: int, total: int) -> bool:
    """Whether a submission is so much better than the one that stands that it takes its place.

    `gained` images are right in the new one only, `lost` in the old one only, `standing` of `total` in the old one. With
    d = gained - lost, the lead has to be more than one standard error in both senses:

    - of the paired difference, d / n > s / sqrt(n) with s the sample standard deviation of the n differences -1, 0, 1.
      As s^2 = (gained + lost - d^2 / n) / (n - 1), that is d > 0 and d^2 > gained + lost. This is the parameter-free
      Ladder of A. Blum and M. Hardt (2015), The Ladder: a reliable leaderboard for machine learning competitions, ICML.
    - of the standing score, d / n > sqrt(p (1 - p) / n) with p = standing / n, that is n d^2 > standing (n - standing).
      Without it a change of two images could move the score, and labels could be felt out two at a time.

    There is no step size to choose, and whole numbers decide.
    """
    lead = gained - lost
    return lead > 0 and lead * lead > gained + lost and total * lead * lead > standing * (total - standing)
