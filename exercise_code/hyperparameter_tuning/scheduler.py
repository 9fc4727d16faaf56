"""Stopping hopeless trials while they run."""

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from exercise_code.hyperparameter_tuning.searcher import Result, positive_int


class Scheduler(ABC):
    """Decides, from the trials of earlier waves, at what values a running trial is given up.

    A round of trials is run in waves of `wave` trials, and a wave knows the waves before it.  A fixed size, rather than "whoever
    has finished", makes the decisions the same for any number of workers; more workers than `wave` have nothing to do.

    >>> class UnderOneAfterThree(Scheduler):
    ...     wave = 8
    ...     def limits(self, results):
    ...         return {3: 1.0}
    >>> UnderOneAfterThree().limits([])
    {3: 1.0}
    """

    wave: int

    @abstractmethod
    def limits(self, results: Sequence[Result]) -> dict[int, float]:
        """Return epoch -> the value that a trial's best so far may not exceed after that epoch."""


@dataclass(frozen=True)
class MedianStopping(Scheduler):
    """Stop a trial whose best value so far is above the median of the earlier trials' best values at the same epoch.

    Source: the median rule of Golovin et al. 2017 (Google Vizier), with bests in place of running means.

    Args:
        warmup: epochs during which nothing is stopped, >= 0.
        min_trials: earlier trials that must have reported an epoch before it has a limit, >= 1.
        wave: see `Scheduler`.

    >>> curves = ([0.9, 0.5], [0.8, 0.6], [0.7, 0.8])
    >>> earlier = [Result(i, {}, 2, c[-1], "ok", curve=tuple(enumerate(c, 1))) for i, c in enumerate(curves)]
    >>> MedianStopping(warmup=0, min_trials=3).limits(earlier)
    {1: 0.8, 2: 0.6}
    """

    warmup: int = 1
    min_trials: int = 4
    wave: int = 8

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise ValueError(f"warmup must be at least 0, got {self.warmup!r}")
        positive_int("min_trials", self.min_trials)
        positive_int("wave", self.wave)

    def limits(self, results: Sequence[Result]) -> dict[int, float]:
        """Medians over the trials that came to a value."""
        bests: dict[int, list[float]] = {}
        for result in results:
            best = math.inf
            for epoch, value in result.curve if result.status == "ok" else ():
                best = best if math.isnan(value) else min(best, value)
                bests.setdefault(epoch, []).append(best)
        return {
            epoch: statistics.median(values)
            for epoch, values in sorted(bests.items())
            if epoch > self.warmup and len(values) >= self.min_trials
        }
