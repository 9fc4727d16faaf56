"""What a search strategy is: it proposes a round of trials, sees all their results, and proposes the next round.

Rounds make a search the same for any number of workers: the trials of a round may run in any order and at any time, yet
`tell` gets all of their results at once, in the order in which they were proposed.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.space import Space

STATUSES = ("ok", "nan", "failed", "timeout", "crashed")


@dataclass(frozen=True)
class Proposal:
    """A trial to run.

    trial is its number, new for every proposal of a search; epochs the total number of epochs it shall have afterwards;
    resume_from the number of an earlier trial with the same configuration whose checkpoint it continues.
    """

    trial: int
    config: dict[str, Any]
    epochs: int
    resume_from: int | None = None


@dataclass(frozen=True)
class Result:
    """What became of a trial.

    value is lower for better and inf unless status is "ok"; the other statuses are "nan" (the objective gave no finite
    number), "failed" (it raised or gave something else), "timeout" and "crashed" (its process died).  epochs is what it has
    reached in total, start_epoch where it began; curve the `(epoch, value)` it reported, seconds what it took (not compared).

    >>> Result(0, {"lr": 0.1}, 3, 0.7, "ok", metrics={"pruned": True}).pruned
    True
    """

    trial: int
    config: dict[str, Any]
    epochs: int
    value: float
    status: str
    detail: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    start_epoch: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"expected a status out of {', '.join(STATUSES)}, got {self.status!r}")

    @property
    def pruned(self) -> bool:
        """Whether a scheduler stopped the trial before its last epoch."""
        return bool(self.metrics.get("pruned", False))


class Searcher(ABC):
    """A search strategy; deterministic, given its arguments and the results it is told.

    Subclasses implement `ask` and may override `tell`; expected_trials, when known, gives the progress bar its length.

    Attributes: settings, name -> argument, what the searcher was made with (a search is resumed only with the same).

    >>> class Once(Searcher):
    ...     def __init__(self, x):
    ...         self.waiting = [Proposal(0, {"x": x}, epochs=1)]
    ...     def ask(self):
    ...         proposals, self.waiting = self.waiting, []
    ...         return proposals
    >>> search = Once(3)
    >>> search.settings, len(search.ask()), len(search.ask())
    ({'x': 3}, 1, 0)
    """

    expected_trials: int | None = None
    settings: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> "Searcher":
        searcher = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(searcher, *args, **kwargs)
        bound.apply_defaults()
        searcher.settings = {name: value for name, value in list(bound.arguments.items())[1:]}
        return searcher

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """Return the next round; an empty list ends the search."""

    def tell(self, results: Sequence[Result]) -> None:  # noqa: B027 -- grid and random search have nothing to learn
        """Take the results of the last round, one per proposal and in their order."""


class ListSearcher(Searcher):
    """Given configurations, in one round.

    >>> [p.trial for p in ListSearcher([{"lr": 0.1}, {"lr": 0.2}]).ask()]
    [0, 1]
    """

    def __init__(self, configs: Sequence[dict[str, Any]], epochs: int = 1):
        self.epochs = positive_int("epochs", epochs)
        self._configs = list(configs)
        self.expected_trials = len(self._configs)

    def ask(self) -> list[Proposal]:
        """All of them, then nothing."""
        configs, self._configs = self._configs, []
        return [Proposal(trial, config, self.epochs) for trial, config in enumerate(configs)]


class GridSearcher(ListSearcher):
    """Every combination of the listed values, the last name fastest, in one round.

    Args:
        space: `{"lr": [1e-2, 1e-3], ...}` or a `Space` of choices and short integer ranges.
        epochs: per trial.

    Raises:
        ValueError: a space with a continuous parameter, which has no grid.

    >>> [p.config for p in GridSearcher({"a": [1, 2], "b": ["x"]}).ask()]
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """

    def __init__(self, space: Space | Mapping[str, Any], epochs: int = 1):
        self.space = Space.read(space)
        super().__init__(self.space.grid(), epochs)


class RandomSearcher(Searcher):
    """Independent random configurations in one round.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: how many.
        seed: of the configurations.
        epochs: per trial.

    >>> space = {"lr": ([1e-4, 1e-1], "log")}
    >>> first, again = (RandomSearcher(space, 3, seed=7).ask() for _ in range(2))
    >>> first == again, len(first)
    (True, 3)
    """

    def __init__(self, space: Space | Mapping[str, Any], trials: int, seed: int = 0, epochs: int = 1):
        self.space = Space.read(space)
        self.expected_trials = positive_int("trials", trials)
        self.epochs = positive_int("epochs", epochs)
        self._rng = np.random.default_rng(seed)
        self._asked = False

    def ask(self) -> list[Proposal]:
        """All configurations, then nothing."""
        if self._asked:
            return []
        self._asked = True
        return [Proposal(i, self.space.sample(self._rng), self.epochs) for i in range(self.expected_trials or 0)]


def positive_int(name: str, value: Any) -> int:
    """Return value as an int, or raise ValueError naming it unless it is a whole number of at least 1.

    >>> positive_int("trials", 3)
    3
    >>> positive_int("trials", 0)
    Traceback (most recent call last):
    ValueError: trials must be a whole number of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)
