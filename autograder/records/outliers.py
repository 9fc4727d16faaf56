"""What is far above what the class does: the null distribution is the class itself.

Honest work is no independent sample: the same notebook, data and defaults make students' models alike, so a test against
independence would accuse everybody. So every statistic here is compared with the same statistic of the rest of the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ALPHA = 0.01  # chance of one false flag or more in a class of honest students, per statistic
_LEAST_EXCESS = np.log(5)
FEWEST = 8  # below so many students a class has no distribution to speak of


def tail(values: ArrayLike, noise: ArrayLike = 0.0) -> np.ndarray:
    """How likely a value so high is in this class, float64 (n,) of probabilities.

    Beyond its median the class is taken to fall off exponentially, half of what is left for every step of the length
    from the median to the upper quartile: P(v) = 2^-(1 + (v - median) / step). An exponential tail is the cautious
    choice (a normal one would call 2^-20 what this calls 2^-5), and neither figure moves while fewer than a quarter of the
    class is what is looked for. `noise` (n,), the standard error of each value, widens the step to that of a
    normal variable with this error where it is longer.
    """
    values, noise = np.asarray(values, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    middle, upper = np.quantile(values, [0.5, 0.75])
    step = np.sqrt((upper - middle) ** 2 + (0.6745 * noise) ** 2)
    distance = np.maximum(values - middle, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(distance > 0, distance / step, 0.0)
    return 0.5 ** (1 + steps)


@dataclass(frozen=True)
class Agreement:
    """Two students whose models err on the same images; `chance` is after correction for the size of the class."""

    one: int
    other: int
    kappa: float
    differ: int  # images that one of them has right and the other wrong
    crowd: float  # kappa of the crowd around these two, the closer one
    chance: float


def kappa(right: np.ndarray) -> np.ndarray:
    """Error consistency of all pairs.

    Args:
        right: bool (n, N): which of N images each of n models has right.
    Returns:
        float64 (n, n), at most 1: (c_obs - c_exp) / (1 - c_exp), where c_obs is the part of the images on which both are
        right or both are wrong, and c_exp = p q + (1 - p)(1 - q) what two independent models of accuracies p and q would
        reach (Geirhos, Meding and Wichmann, "Beyond accuracy", NeurIPS 2020, after Cohen 1960). 0 where c_exp is 1.
    """
    agree, p = _agreements(right), right.mean(axis=1)
    expected = np.outer(p, p) + np.outer(1 - p, 1 - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected < 1, (agree / right.shape[1] - expected) / (1 - expected), 0.0)


def closer_than_the_crowd(right: np.ndarray, *, alpha: float = ALPHA) -> list[Agreement]:
    """Pairs that agree in their errors far more than either does with the students next closest to it, closest first.

    Honest models agree in their errors far above independence, and the more the more alike their settings are: a third
    of a class may share the notebook's defaults. What tells a copy is one partner (or a few) far closer than the crowd
    next to it. With s = log(1 - kappa), the excess of a pair is the distance of s to the k-th smallest s of either
    student, k = sqrt(n), whichever is less; it is compared by `tail` with the excess that each student's closest partner
    student has in this class, times n (Bonferroni over the n closest partners, as each of these is an extreme already). A
    flagged pair also has at most a fifth of the crowd's chance-corrected disagreement: two linear models in a class of
    deeper ones are alike by nature, since their training has one optimum (CIFAR-10 at half the resolution, other seeds,
    nothing copied: kappa 0.89 to 0.91 among linear models, 0.60 to 0.69 among networks with the same settings, 0.45 to 0.79
    among networks with settings of their own). Copies with 10 % noise on their weights had 0.93 and ones
    that were trained on for an epoch 0.79: the latter are not told from honest work by their errors.

    Groups of more than k copies hide each other; `model_fingerprint` finds those that share weights.

    Args:
        right: bool (n, N), a row per student.
    """
    n, images = right.shape
    if n < FEWEST:
        return []
    agree, measured = _agreements(right), kappa(right)
    differ = images - agree
    with np.errstate(divide="ignore", invalid="ignore"):
        per_image = np.where(differ > 0, (1 - measured) / differ, 0.0)
        per_image = np.where(per_image > 0, per_image, 1 / images)
        distance = np.log(np.maximum(differ, 0.5) * per_image)  # log(1 - kappa); no disagreement counts as half of one
    np.fill_diagonal(distance, np.inf)
    k = max(3, round(n**0.5))
    crowd = np.sort(distance, axis=1)[:, k - 1]  # (n,)
    nearest = crowd - distance.min(axis=1)
    excess = np.minimum(crowd[:, None], crowd[None, :]) - distance  # (n, n)
    ones, others = np.nonzero(np.triu(excess >= _LEAST_EXCESS, 1))
    chance = np.minimum(n * tail_of(excess[ones, others], nearest), 1.0)
    found = [
        Agreement(
            int(i),
            int(j),
            float(measured[i, j]),
            int(differ[i, j]),
            float(1 - np.exp(min(crowd[i], crowd[j]))),
            float(p),
        )
        for i, j, p in zip(ones, others, chance, strict=True)
        if p < alpha
    ]
    return sorted(found, key=lambda pair: (pair.chance, pair.one, pair.other))


def tail_of(values: np.ndarray, null: np.ndarray) -> np.ndarray:
    """`tail` of other values under the distribution of `null`."""
    middle, upper = np.quantile(null, [0.5, 0.75])
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(values > middle, (values - middle) / (upper - middle), 0.0)
    return 0.5 ** (1 + steps)


def _agreements(right: np.ndarray) -> np.ndarray:
    """float64 (n, n): on how many images two models are both right or both wrong."""
    signs = np.where(right, np.float32(1), np.float32(-1))  # products are whole numbers below 2^24: exact
    return (right.shape[1] + (signs @ signs.T).astype(np.float64)) / 2
