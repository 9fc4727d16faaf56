"""Checks of exercise 06: hyperopt's ranges, records and early stop, TPE's choice, tuning MNIST, and what the gain is worth.

The ones that run hyperopt are in `hyperopt_tasks`, the one that trains in `tuning_tasks`.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from exercise_code.checks import hyperopt_tasks, tuning_tasks
from exercise_code.checks.core import Check, expect
from exercise_code.checks.verifiers import Case, function

EXERCISE = "06_hyperopt"
HOME = "exercise_code.labs.hyperopt_tools"


def _bayes(log_good: Any, log_bad: Any, gamma: float) -> Any:
    """Bayes' rule with 60 digits, where e**-5000 is a number like any other."""
    log_good, log_bad = np.asarray(log_good, float), np.asarray(log_bad, float)
    result = np.empty(log_good.shape)
    with localcontext() as context:
        context.prec = 60
        share = Decimal(str(gamma))
        for index in np.ndindex(*log_good.shape):
            good, bad = (Decimal(float(values[index])).exp() for values in (log_good, log_bad))
            result[index] = float(share * good / (share * good + (1 - share) * bad))
    return result


def _density_cases(rng: np.random.Generator) -> list[Case]:
    inf = math.inf
    far = "The densities themselves are 0 or infinite as floats: subtract the logarithms before you take any exp."
    return [
        Case("l = g everywhere: gamma itself", (np.zeros(3), np.zeros(3), 0.2)),
        Case("l = 4 g, gamma 0.2: even odds", (np.log([4.0, 8.0]), np.log([1.0, 2.0]), 0.2)),
        Case("30 points, gamma 0.15", (rng.normal(0, 3, 30), rng.normal(0, 3, 30), 0.15)),
        Case("a table (4, 5), gamma 0.6", (rng.normal(0, 2, (4, 5)), rng.normal(0, 2, (4, 5)), 0.6)),
        Case("logarithms near -2000", (rng.normal(-2000, 2, 8), rng.normal(-2000, 2, 8), 0.25), look=far),
        Case("logarithms near +2000", (rng.normal(2000, 2, 8), rng.normal(2000, 2, 8), 0.25), look=far),
        Case("densities that are e**3000 apart", (np.array([1500.0, -1500.0]), np.array([-1500.0, 1500.0]), 0.25), look=far),
        Case("a density of 0 in one of the two", (np.array([-inf, 0.0]), np.array([0.0, -inf]), 0.3),
             look="Where no good trial can lie the answer is 0, where no bad one can lie it is 1."),
    ]  # fmt: skip


def good_probability(answer: Any, rng: np.random.Generator) -> None:
    look = "Bayes' rule: a share gamma of the trials is good and has density l, a share 1 - gamma is bad and has density g."
    function(_density_cases, _bayes, look, rtol=1e-9, atol=1e-12)(answer, rng)


def _paired(labels: Any, before: Any, after: Any) -> tuple[float, float, float]:
    """The same interval from the n differences, each -1, 0 or +1: their mean and the standard error of it."""
    right = [[float(p == t) for p, t in zip(predicted, labels, strict=True)] for predicted in (before, after)]
    differences = [b - a for a, b in zip(*right, strict=True)]
    n = len(differences)
    mean = sum(differences) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / n)
    return mean, mean - 1.959964 * spread / math.sqrt(n), mean + 1.959964 * spread / math.sqrt(n)


def _prediction_cases(rng: np.random.Generator) -> list[Case]:
    def noisy(labels: np.ndarray, share: float) -> np.ndarray:
        return np.where(rng.random(len(labels)) < share, (labels + rng.integers(1, 10, len(labels))) % 10, labels)

    def drawn(n: int, before: float, after: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = rng.integers(0, 10, n)
        return labels, noisy(labels, before), noisy(labels, after)

    many = drawn(2000, 0.03, 0.015)
    worse = drawn(300, 0.1, 0.3)
    half = np.arange(40) % 10
    return [
        Case("4 images: 1 won, none lost", (np.arange(4), np.array([0, 1, 2, 9]), np.arange(4))),
        Case("8 images: 3 won, 1 lost, 2 wrong twice, in different ways",
             (np.zeros(8, int), np.array([1, 2, 3, 0, 4, 5, 0, 0]), np.array([0, 0, 0, 1, 6, 7, 0, 0])),
             look="Only images that exactly one of the two gets right count; which wrong class it is does not matter."),
        Case("2000 images, errors halved", many),
        Case("300 images, and after is worse", worse, look="A loss is a negative gain: after minus before."),
        Case("the same predictions twice", (half, half, half.copy()), look="No difference at all: gain 0, interval of width 0."),
        Case("every image won", (half, (half + 1) % 10, half), look="b = n: the standard error is 0, not the root of n."),
    ]  # fmt: skip


def paired_gain(answer: Any, rng: np.random.Generator) -> None:
    look = (
        "b: only after is right. c: only before is right. The standard error has n under the root and once more below."
    )
    verify = function(_prediction_cases, _paired, look, returns=("gain", "low", "high"), rtol=1e-5, atol=1e-9)
    verify(answer, rng)
    wrong: Sequence[tuple[list[int], list[int], list[int]]] = [
        ([1, 2], [1, 2], [1]),
        ([1, 2], [1], [1, 2]),
        ([], [], []),
    ]
    for labels, before, after in wrong:
        sizes = f"{len(labels)} labels, {len(before)} and {len(after)} predictions"
        try:
            got = answer(np.array(labels), np.array(before), np.array(after))
        except ValueError:
            continue
        expect(False, sizes, "a ValueError", got, "The docstring says when to refuse: look under Raises.")


CHECKS = {
    "hyperopt_draw": Check(
        EXERCISE,
        hyperopt_tasks.hyperopt_draw,
        (
            "Three of the four begin with one uniform number between the first two arguments.",
            "loguniform: the bounds are logarithms already, so only exp is missing. quniform: round to the nearest multiple of q.",
            "u = rng.uniform(low, high); then u, math.exp(u), or round(u / q) * q. A choice: rng.integers(number of options).",
        ),
        f"{HOME}:hyperopt_draw",
    ),
    "learning_rate_space": Check(
        EXERCISE,
        hyperopt_tasks.learning_rate_space,
        (
            "hyperopt gives exp(u) with u between its two arguments. What is u when exp(u) is low?",
            "The arguments of hp.loguniform are natural logarithms of the bounds, not powers of ten, and not the bounds.",
            "hp.loguniform(label, ...) with math.log(low) and math.log(high).",
        ),
    ),
    "best_settings": Check(
        EXERCISE,
        hyperopt_tasks.best_settings,
        (
            "Two steps: find the trial (by hand, hyperopt's own shortcut is fooled by nan), then turn what it drew into settings.",
            "Keep the trials with status STATUS_OK and a finite loss, take the lowest; hyperopt.space_eval(space, drawn) does the rest.",
            'misc["vals"] has lists: {"width": [2], "dropout": []}. space_eval wants {"width": 2}, without the empty ones.',
        ),
        f"{HOME}:best_settings",
    ),
    "stop_when_stuck": Check(
        EXERCISE,
        hyperopt_tasks.stop_when_stuck,
        (
            "The inner function sees all trials on every call, so it can count anew each time and remember nothing.",
            "Walk through trials.results with the lowest loss so far and a counter: progress sets it to 0, anything else adds 1.",
            'A result has "loss" only if result["status"] == STATUS_OK. nan is not below anything, but -inf is: ask math.isfinite. '
            "Return (counter >= patience, []).",
        ),
        f"{HOME}:stop_when_stuck",
    ),
    "good_probability": Check(
        EXERCISE,
        good_probability,
        (
            "Divide numerator and denominator by gamma * l: what is left depends on the ratio g / l only.",
            "1 / (1 + (1 - gamma) / gamma * exp(log g - log l)): a sigmoid of the logarithm of the odds.",
            "log odds = log(gamma) - log(1 - gamma) + log_good - log_bad, then a sigmoid that does not overflow: yours of "
            "exercise 01, or scipy.special.expit.",
        ),
        f"{HOME}:good_probability",
    ),
    "train_config": Check(
        EXERCISE,
        tuning_tasks.train_config,
        (
            "Take the nine settings one by one and follow each to the place where it acts. Six do not arrive.",
            "Dropout, batch size, weight decay and learning rate get lost; the schedule counts epochs as if they were steps; and the "
            "network is judged by the wrong images. (And a width may come as 128.0.)",
            'MLP gets dropout=, batches gets config["batch_size"], optimizer_maker a third argument, schedule_for the learning rate of '
            "config and epochs * len(train); fit's third argument is made from data.val.",
        ),
        "exercise_code.labs.mnist_tuning:train_config",
    ),
    "paired_gain": Check(
        EXERCISE,
        paired_gain,
        (
            "For each image and each network: right or wrong? Four combinations; two of them say nothing.",
            "b counts images with after right and before wrong, c the other way round. Compare both with labels, not with each other.",
            "won = sum((after == labels) & (before != labels)), lost likewise; then the formula, and gain -/+ Z_95 * standard error.",
        ),
        f"{HOME}:paired_gain",
    ),
}
