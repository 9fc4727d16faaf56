"""What searchers with a model of the results share: the trials so far in unit coordinates, rounds of proposals, startup."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube


class ModelSearcher(Searcher):
    """Propose without the model for `startup` trials and until one has a finite value, then what the model likes best.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: how many in all.
        seed: of everything random.
        batch: proposals per round.
        epochs: per trial.
        startup: trials before the model is asked.

    Attributes: units (M, D) float64 in [0, 1] and values (M,), inf where a trial failed: the trials told so far.

    Raises:
        ValueError: a number out of range.

    >>> class BestAgain(ModelSearcher):
    ...     def _by_model(self, pending):
    ...         return self.units[np.argmin(self.values)]
    >>> search = BestAgain({"x": [5]}, trials=2, seed=0, batch=1, epochs=1, startup=1)
    >>> search.tell([Result(p.trial, p.config, 1, 0.5, "ok") for p in search.ask()])   # a random trial
    >>> search.ask()[0].config
    {'x': 5}
    """

    def __init__(
        self, space: Space | Mapping[str, Any], trials: int, seed: int, batch: int, epochs: int, startup: int
    ) -> None:
        self.space = Space.read(space)
        self.cube = UnitCube(self.space)
        self.expected_trials = self.trials = positive_int("trials", trials)
        self.batch, self.epochs = positive_int("batch", batch), positive_int("epochs", epochs)
        self.startup = positive_int("startup", startup)
        self.units = np.empty((0, len(self.space.dimensions)))
        self.values = np.empty(0)
        self._rng = np.random.default_rng(seed)
        self._proposed = 0

    def ask(self) -> list[Proposal]:
        """The next `batch` proposals; nothing when `trials` have been proposed."""
        count = min(self.batch, self.trials - self._proposed)
        units: list[NDArray] = []
        for _ in range(count):
            position = self._proposed + len(units)
            if position < self.startup:
                units.append(self._at_startup(position))
            elif not np.isfinite(self.values).any():
                units.append(self._at_random())
            else:
                units.append(self._by_model(units))
        first, self._proposed = self._proposed, self._proposed + count
        return [Proposal(first + i, self.space.from_unit(unit), self.epochs) for i, unit in enumerate(units)]

    def tell(self, results: Sequence[Result]) -> None:
        """Add finished trials."""
        self.units = np.vstack([self.units, *(self.space.to_unit(result.config) for result in results)])
        self.values = np.append(self.values, [result.value for result in results])

    def _at_random(self) -> NDArray:
        """A random configuration's unit coordinates (D,)."""
        return self.space.to_unit(self.space.sample(self._rng))

    def _at_startup(self, position: int) -> NDArray:
        """Unit coordinates (D,) of the trial at this position of the startup."""
        return self._at_random()

    @abstractmethod
    def _by_model(self, pending: Sequence[NDArray]) -> NDArray:
        """Unit coordinates (D,) of the next proposal; pending are those of this round without a result yet."""
