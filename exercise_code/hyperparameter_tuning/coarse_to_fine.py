"""Coarse-to-fine search: look everywhere, then again around the best places with half the range (lectures 001 and 002)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube


class CoarseToFine(Searcher):
    """Stages of random search: the first in the whole space, each later one in `keep` regions with half the range.

    A region has as many trials as the whole space had in the first stage, so along every axis the density doubles from stage
    to stage.  Within a region the trials are spread evenly over each axis (Latin hypercube).  Ranges are halved in unit
    coordinates: a log scale loses half of its decades.  Choices stay open, as in `narrow_space`.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: per region and stage, so `trials * (1 + keep * (stages - 1))` in all.
        stages: how often to look; the last one has ranges of `2**-(stages - 1)` of the first.
        keep: regions to go on with.  The objective is not convex: the best coarse point may lie beside the best place.
        epochs: per trial, one number or one for every stage (few for the coarse look, more for the fine one).
        seed: of everything random.

    Raises:
        ValueError: a number out of range, or not one number of epochs per stage.

    >>> search = CoarseToFine({"lr": ([1e-4, 1e-1], "log")}, trials=4, stages=2, keep=2)
    >>> search.expected_trials, len(search.ask())
    (12, 4)
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 9,
        stages: int = 3,
        keep: int = 2,
        epochs: int | Sequence[int] = 1,
        seed: int = 0,
    ):
        self.space = Space.read(space)
        self.cube = UnitCube(self.space)
        self.trials, self.stages, self.keep = (
            positive_int(name, value) for name, value in (("trials", trials), ("stages", stages), ("keep", keep))
        )
        listed = [epochs] * self.stages if isinstance(epochs, int | np.integer) else list(epochs)
        if len(listed) != self.stages:
            raise ValueError(f"expected one number of epochs for each of the {self.stages} stages, got {epochs!r}")
        self.epochs = [positive_int("epochs", number) for number in listed]
        self.expected_trials = self.trials * (1 + self.keep * (self.stages - 1))
        dims = len(self.space.dimensions)
        self.regions: list[tuple[NDArray, NDArray]] = [(np.zeros(dims), np.ones(dims))]  # (low, high) of this stage
        self._told: list[tuple[int, NDArray, float]] = []  # epochs, unit coordinates, value
        self._rng = np.random.default_rng(seed)
        self._stage = self._next_trial = 0

    def ask(self) -> list[Proposal]:
        """All trials of the next stage; nothing after the last."""
        if self._stage == self.stages or not self.regions:
            return []
        points = [spread_evenly(low, high, self.trials, self._rng) for low, high in self.regions]
        first, epochs = self._next_trial, self.epochs[self._stage]
        configs = [self.space.from_unit(point) for point in np.vstack(points)]
        self._next_trial += len(configs)
        return [Proposal(first + i, config, epochs) for i, config in enumerate(configs)]

    def tell(self, results: Sequence[Result]) -> None:
        """Choose the regions of the next stage.

        Only trials of as many epochs as this stage's are compared; without a finite value among them the search ends.
        """
        self._told += [(self.epochs[self._stage], self.space.to_unit(r.config), r.value) for r in results]
        comparable = [(unit, value) for epochs, unit, value in self._told if epochs == self.epochs[self._stage]]
        units, values = np.array([unit for unit, _ in comparable]), [value for _, value in comparable]
        self._stage += 1
        width = 0.5**self._stage
        fixed = np.array(self.cube.is_choice)
        centres = distant_best(np.where(fixed, 0.5, units), values, self.keep, width / 2)
        self.regions = [halved_region(units[i], width, fixed) for i in centres]


def distant_best(units: NDArray, values: ArrayLike, keep: int, distance: float) -> list[int]:
    """Positions of the best points, each further than distance from those before it (in some coordinate).

    Args:
        units: (n, D) points.  values: (n,), lower is better; points whose value is not finite are left out.
        keep: how many at most.

    >>> distant_best(np.array([[0.1], [0.12], [0.9]]), [0.0, 0.1, 0.2], keep=2, distance=0.25)
    [0, 2]
    """
    values = np.asarray(values, dtype=float)
    chosen: list[int] = []
    for i in np.argsort(values, kind="stable"):
        if len(chosen) == keep or not np.isfinite(values[i]):
            break
        if all(np.abs(units[i] - units[j]).max() > distance for j in chosen):
            chosen.append(int(i))
    return chosen


def halved_region(centre: NDArray, width: float, fixed: NDArray) -> tuple[NDArray, NDArray]:
    """Low and high ends (D,) of a box around centre, pushed back into [0, 1] where it sticks out; all of [0, 1] where fixed.

    >>> low, high = halved_region(np.array([0.5, 0.9]), 0.5, np.array([False, False]))
    >>> low.tolist(), high.tolist()
    ([0.25, 0.5], [0.75, 1.0])
    """
    low = np.clip(centre - width / 2, 0.0, 1.0 - width)
    return np.where(fixed, 0.0, low), np.where(fixed, 1.0, low + width)


def spread_evenly(low: NDArray, high: NDArray, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points (count, D) in a box, exactly one in each of count equal slices of every axis (McKay et al. 1979).

    >>> points = spread_evenly(np.zeros(2), np.ones(2), 4, np.random.default_rng(0))
    >>> np.sort((4 * points).astype(int), axis=0).tolist()   # each quarter of both axes once
    [[0, 0], [1, 1], [2, 2], [3, 3]]
    """
    slices = rng.permuted(np.tile(np.arange(count), (len(low), 1)), axis=1).T
    return low + (high - low) * (slices + rng.random(slices.shape)) / count
