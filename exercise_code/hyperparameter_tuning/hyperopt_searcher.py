"""hyperopt's tree-structured Parzen estimator as the engine of our own search loop: parallel, recorded, and seeded."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.parameters import Choice
from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space


class HyperoptSearcher(Searcher):
    """Proposals of `hyperopt.tpe.suggest` (or another of its algorithms).

    hyperopt sees a choice as `hp.choice` and a number as `hp.uniform` in unit coordinates, which for a log scale is its own
    `loguniform`; configurations come back with values, never with hyperopt's indices.

    Args:
        space: a `Space` or what `Space.read` understands, `hp.*` expressions included.
        trials: how many in all.
        seed: of a numpy Generator that draws one seed for each of hyperopt's calls.
        batch: proposals per round; hyperopt draws them independently of one another.
        epochs: per trial.
        algorithm: "tpe", "rand" or "anneal".
        algorithm_settings: for "tpe" n_startup_jobs, gamma and n_EI_candidates.

    Raises:
        ValueError: a number out of range, an unknown algorithm.

    >>> searcher = HyperoptSearcher({"x": ([0.0, 1.0], "float")}, trials=5, batch=2)
    >>> [proposal.trial for proposal in searcher.ask()]
    [0, 1]
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 50,
        seed: int = 0,
        batch: int = 1,
        epochs: int = 1,
        *,
        algorithm: str = "tpe",
        algorithm_settings: Mapping[str, Any] | None = None,
    ):
        import hyperopt
        from hyperopt.base import Domain

        if algorithm not in ("tpe", "rand", "anneal"):
            raise ValueError(f'expected the algorithm "tpe", "rand" or "anneal", got {algorithm!r}')
        self.space = Space.read(space)
        self.expected_trials = self.trials = positive_int("trials", trials)
        self.batch, self.epochs = positive_int("batch", batch), positive_int("epochs", epochs)
        self._suggest = getattr(hyperopt, algorithm).suggest
        self._algorithm_settings = dict(algorithm_settings or {})
        self._domain = Domain(None, self._expression(None))
        self._history = hyperopt.Trials()
        self._rng = np.random.default_rng(seed)
        self._waiting: list[Any] = []
        self._proposed = 0

    def ask(self) -> list[Proposal]:
        """The next `batch` proposals; nothing when `trials` have been proposed."""
        count = min(self.batch, self.trials - self._proposed)
        first, self._proposed = self._proposed, self._proposed + count
        self._waiting = []
        for new_id in self._history.new_trial_ids(count) if count else []:
            seed = int(self._rng.integers(2**31 - 1))
            self._waiting += self._suggest([new_id], self._domain, self._history, seed, **self._algorithm_settings)
        return [Proposal(first + i, self._config(trial), self.epochs) for i, trial in enumerate(self._waiting)]

    def tell(self, results: Sequence[Result]) -> None:
        """Hand the results to hyperopt; those without a finite value as failed ones."""
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        for trial, result in zip(self._waiting, results, strict=True):
            ok = bool(np.isfinite(result.value))
            trial["state"] = JOB_STATE_DONE
            trial["result"] = {"status": STATUS_OK, "loss": float(result.value)} if ok else {"status": STATUS_FAIL}
        self._history.insert_trial_docs(self._waiting)
        self._history.refresh()

    def _expression(self, parent: tuple[int, int] | None) -> dict[str, Any]:
        """The dimensions below a parent as hyperopt's expression, labelled by their position."""
        from hyperopt import hp

        fields: dict[str, Any] = {}
        for i, dimension in enumerate(self.space.dimensions):
            if dimension.parent != parent:
                continue
            parameter = dimension.parameter
            if not isinstance(parameter, Choice):
                fields[str(i)] = hp.uniform(str(i), 0.0, 1.0)
                continue
            below = [self._expression((i, option)) for option in range(parameter.size)]
            weights = np.ones(parameter.size) if parameter.weights is None else np.asarray(parameter.weights, float)
            fields[str(i)] = hp.pchoice(str(i), list(zip((weights / weights.sum()).tolist(), below, strict=True)))
        return fields

    def _config(self, trial: Any) -> dict[str, Any]:
        unit = np.full(len(self.space.dimensions), 0.5)
        for label, values in trial["misc"]["vals"].items():
            if values:
                parameter = self.space.dimensions[int(label)].parameter
                is_choice = isinstance(parameter, Choice)
                unit[int(label)] = parameter.to_unit(int(values[0])) if is_choice else np.clip(values[0], 0.0, 1.0)
        return self.space.from_unit(unit)
