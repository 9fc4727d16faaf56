"""What is wrong with a trained network, and how many samples it takes to tell: lecture 002's four cases, and split sizes.

Accuracies are fractions from 0 to 1 throughout.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

BIAS, VARIANCE, DEV_OVERFITTING = "bias", "variance", "dev overfitting"

REMEDIES = {
    BIAS: (
        "a larger network",
        "less regularisation",
        "longer training, or a better learning rate",
        "a search over the other hyper-parameters",
        "error analysis: look at the mistakes on the training set",
    ),
    VARIANCE: (
        "more training data, collected or synthetic",
        "data augmentation",
        "more regularisation, dropout or batch norm",
        "early stopping",
        "a smaller network",
    ),
    DEV_OVERFITTING: (
        "a larger dev set",
        "fewer choices made on the dev set; look at the test set once, at the end",
    ),
}


@dataclass(frozen=True)
class Gap:
    """A difference of two accuracies, `upper - lower`, and what it stands for.

    noise: half-width of its 95 % interval from the sizes of the two sets; 0 when they were not given.
    found: whether the gap exceeds both the threshold and the noise.

    >>> Gap("bias", "human", "training", upper=1.0, lower=0.75, noise=0.0, found=True).size
    0.25
    """

    problem: str
    upper_name: str
    lower_name: str
    upper: float
    lower: float
    noise: float
    found: bool

    @property
    def size(self) -> float:
        """The difference; negative when the lower level is the better one."""
        return self.upper - self.lower


@dataclass(frozen=True)
class Diagnosis:
    """Outcome of `diagnose`: the gaps in the order human, training, dev, test, and what follows from them.

    >>> diagnosis = diagnose(train=0.8, val=0.7)
    >>> diagnosis.problems, diagnosis.name
    (('bias', 'variance'), 'both')
    """

    gaps: tuple[Gap, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What was found, out of "bias", "variance" and "dev overfitting"."""
        return tuple(gap.problem for gap in self.gaps if gap.found)

    @property
    def name(self) -> str:
        """The lecture's name of the case: "bias", "variance", "both", "dev overfitting", combinations with "and", or "none"."""
        problems = self.problems
        if problems[:2] == (BIAS, VARIANCE):
            problems = ("both", *problems[2:])
        return " and ".join(problems) or "none"

    @property
    def remedies(self) -> dict[str, tuple[str, ...]]:
        """Problem -> what helps, in the order to try.  With both bias and variance: one of each in turn, bias first."""
        return {problem: REMEDIES[problem] for problem in self.problems}

    def __str__(self) -> str:
        lines = [f"diagnosis: {self.name}"]
        for gap in self.gaps:
            noise = f" (noise: +-{100 * gap.noise:.1f})" if gap.noise else ""
            lines.append(
                f"  {gap.upper_name} {100 * gap.upper:.1f} % -> {gap.lower_name} {100 * gap.lower:.1f} %: "
                f"{100 * gap.size:+.1f} points{noise}, {gap.problem if gap.found else 'fine'}"
            )
        lines += [f"  against {problem}: {'; '.join(advice)}" for problem, advice in self.remedies.items()]
        return "\n".join(lines)


def diagnose(
    train: float,
    val: float,
    test: float | None = None,
    *,
    human: float = 1.0,
    threshold: float = 0.05,
    sizes: tuple[int, ...] = (),
) -> Diagnosis:
    """Name the gaps between human, training, dev and test accuracy (lecture 002).

    `bias = human - train`, `variance = train - val`, `dev overfitting = val - test`; a gap counts when it exceeds the
    threshold and, if sizes are given, also its own 95 % noise `1.96 sqrt(p1 (1 - p1) / n1 + p2 (1 - p2) / n2)`.

    One slide of the lecture measures variance between training and *test* set, its table between training and *dev* set.
    The table is right: the test accuracy also contains what was lost by tuning on the dev set, the fourth case.

    Args:
        train, val, test: accuracies in [0, 1]; test may be left out.
        human: accuracy of people on the task, in place of the best possible (Bayes) accuracy.
        threshold: gap from which on it matters, in [0, 1]; 0.05 tells the lecture's four cases apart.
        sizes: numbers of samples (train, val) or (train, val, test).  On 128 test images, a gap of 5 points is noise.

    Raises:
        ValueError: an accuracy outside [0, 1] (85 instead of 0.85), or sizes that do not match.

    >>> [diagnose(*case).name for case in [(0.85, 0.83, 0.82), (0.97, 0.75, 0.74), (0.85, 0.75, 0.73), (0.97, 0.94, 0.85)]]
    ['bias', 'variance', 'both', 'dev overfitting']
    >>> diagnose(0.97, 0.94, 0.85, sizes=(1034, 133, 128)).problems
    ('dev overfitting',)
    >>> diagnose(0.97, 0.91, 0.85, sizes=(1034, 133, 128)).name
    'variance'
    """
    names = ["human", "training", "dev"] + (["test"] if test is not None else [])
    levels = [human, train, val] + ([test] if test is not None else [])
    for name, value in zip([*names, "threshold"], [*levels, threshold], strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"expected the {name} value as a fraction from 0 to 1, got {value!r}")
    if sizes and (len(sizes) != len(levels) - 1 or min(sizes) < 1):
        raise ValueError(
            f"expected {len(levels) - 1} positive sizes, one for each of {', '.join(names[1:])}, got {sizes}"
        )
    variances = (
        [0.0, *(p * (1 - p) / n for p, n in zip(levels[1:], sizes, strict=True))] if sizes else [0.0] * len(levels)
    )
    gaps = []
    for i, problem in enumerate((BIAS, VARIANCE, DEV_OVERFITTING)[: len(levels) - 1]):
        noise = _quantile(0.95) * math.sqrt(variances[i] + variances[i + 1])
        size = levels[i] - levels[i + 1]
        found = size > max(threshold, noise) and not math.isclose(size, threshold)
        gaps.append(Gap(problem, names[i], names[i + 1], levels[i], levels[i + 1], noise, found))
    return Diagnosis(tuple(gaps))


def accuracy_interval(accuracy: float, size: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the true accuracy when `accuracy` was measured on `size` samples (Wilson 1927).

    With z the normal quantile: centre `(p + z**2 / 2n) / (1 + z**2 / n)`, half-width
    `z sqrt(p (1 - p) / n + z**2 / 4n**2) / (1 + z**2 / n)`.  It stays inside [0, 1] and is right for an accuracy of 1 too.

    Raises:
        ValueError: an accuracy outside [0, 1], a size below 1, a confidence outside (0, 1).

    >>> [round(end, 3) for end in accuracy_interval(0.85, 128)]
    [0.778, 0.902]
    """
    _check_rate("accuracy", accuracy, ends=True)
    _check_size(size)
    z = _quantile(confidence)
    scale = 1 + z * z / size
    centre = (accuracy + z * z / (2 * size)) / scale
    half = z * math.sqrt(accuracy * (1 - accuracy) / size + (z / (2 * size)) ** 2) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def dev_size_for_events(event_rate: float, events: int = 10) -> int:
    """The lecture's size of a dev set, `2 * events / event_rate`: 200 for an event of 10 % and a change of 10 events.

    Twice `events` are then expected in the set.  Unstated there: a change of `events` is then *half* of all events,
    and 200 samples show it in one comparison of two; `dev_size_for_change(0.1, 0.05)` asks for 432 to see it in four of five.

    Raises:
        ValueError: a rate outside (0, 1) or events below 1.

    >>> dev_size_for_events(0.1)
    200
    """
    _check_rate("event_rate", event_rate)
    _check_size(events)
    return math.ceil(round(2 * events / event_rate, 9))


def dev_size_for_change(error_rate: float, change: float, *, confidence: float = 0.95, power: float = 0.8) -> int:
    """Samples needed to see that an error rate falls by `change`, when two networks are measured on sets of that size.

    `n = (z_a + z_b)**2 (p1 (1 - p1) + p2 (1 - p2)) / change**2`, with p2 = p1 - change, z_a the two-sided quantile of the
    confidence and z_b the quantile of the power: the sample size of two independent proportions (Fleiss 1981, without
    continuity correction).  Two networks on the *same* images need fewer, as their mistakes are alike.

    Raises:
        ValueError: a rate, confidence or power outside (0, 1), or a change outside (0, error_rate].

    >>> dev_size_for_change(0.1, 0.01)
    13493
    """
    _check_rate("error_rate", error_rate)
    _check_rate("power", power)
    if not 0 < change <= error_rate:
        raise ValueError(f"change must lie in (0, error_rate], got {change!r} with an error rate of {error_rate!r}")
    better = error_rate - change
    z = _quantile(confidence) + NormalDist().inv_cdf(power)
    return math.ceil(z * z * (error_rate * (1 - error_rate) + better * (1 - better)) / change**2)


@dataclass(frozen=True)
class SplitPlan:
    """Sizes of the three parts, the dev size that was asked for, and a sentence on what they allow."""

    train: int
    val: int
    test: int
    needed: int
    advice: str


def plan_split(size: int, *, error_rate: float = 0.1, change: float = 0.02, largest_share: float = 0.15) -> SplitPlan:
    """Divide `size` samples so that dev and test set can show a fall of the error rate by `change`, if that is possible.

    Dev and test set get what `dev_size_for_change` asks for, but at most `largest_share` of all samples each; the rest is
    for training.  The lecture's 70-30 for small sets leaves no test set; the default share gives 70-15-15 there.

    Raises:
        ValueError: fewer than 3 samples, a share outside (0, 0.5), or rates as in `dev_size_for_change`.

    >>> plan = plan_split(1000)
    >>> plan.train, plan.val, plan.test
    (700, 150, 150)
    >>> plan_split(1_000_000).val
    3211
    """
    if size < 3:
        raise ValueError(f"expected at least 3 samples to split in three, got {size!r}")
    if not 0 < largest_share < 0.5:
        raise ValueError(f"largest_share must lie in (0, 0.5), got {largest_share!r}")
    needed = dev_size_for_change(error_rate, change)
    part = max(1, min(needed, int(largest_share * size)))
    advice = f"dev and test set show a change of {100 * change:g} points"
    if part < needed:
        advice = f"{part} of {needed} samples for a change of {100 * change:g} points: use k-fold cross-validation"
    return SplitPlan(size - 2 * part, part, part, needed, advice)


def _quantile(confidence: float) -> float:
    _check_rate("confidence", confidence)
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_rate(name: str, value: float, *, ends: bool = False) -> None:
    if not (0 <= value <= 1 if ends else 0 < value < 1):
        raise ValueError(f"{name} must lie {'from 0 to 1' if ends else 'between 0 and 1'}, got {value!r}")


def _check_size(size: int) -> None:
    if int(size) != size or size < 1:
        raise ValueError(f"expected a whole number of at least 1, got {size!r}")
