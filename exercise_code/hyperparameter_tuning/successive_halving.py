"""Successive halving: many configurations for a few epochs, the better ones for more (Jamieson and Talwalkar 2016; lecture 002)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space

Rungs = list[tuple[int, int]]  # (n_i configurations, r_i epochs in total per configuration), first rung first


def successive_halving_survivors(values: ArrayLike, eta: int) -> list[int]:
    """Which configurations of a rung go on to the next: the best `floor(n / eta)` of n, and at least one.

    Args:
        values: (n,) results of the rung, lower is better; nan and inf stand for runs that diverged or failed.
        eta: the share that goes on is 1 / eta.

    Returns:
        Their positions, best first; of equal values the earlier one first.  A value that is not finite never goes on, so
        the list is shorter when there are too few others, and empty when there is none.

    >>> successive_halving_survivors([0.5, 0.2, 0.9, 0.1, 0.7, 0.3], eta=3)
    [3, 1]
    """
    ### BEGIN SOLUTION 05_model_search
    values = np.asarray(values, dtype=float)
    keep = max(1, len(values) // eta)
    order = np.argsort(values, kind="stable")  # nan comes last
    return [int(i) for i in order[:keep] if np.isfinite(values[i])]
    ### END SOLUTION


def rung_sizes(trials: int, max_epochs: int, min_epochs: int = 1, eta: int = 3) -> Rungs:
    """Rungs `(n_i, r_i)` of successive halving with `n_i = floor(trials / eta**i)` and epochs that end at max_epochs.

    `r_i = floor(max_epochs / eta**(k - i))` for the largest k with `r_0 >= min_epochs`.  A configuration that is alone has
    nobody left to beat and goes straight to max_epochs.

    Raises:
        ValueError: trials, an epoch number or eta out of range.

    >>> rung_sizes(27, 27)
    [(27, 1), (9, 3), (3, 9), (1, 27)]
    >>> rung_sizes(10, 81)
    [(10, 1), (3, 3), (1, 81)]
    """
    trials, max_epochs = positive_int("trials", trials), positive_int("max_epochs", max_epochs)
    check_eta(eta)
    if positive_int("min_epochs", min_epochs) > max_epochs:
        raise ValueError(f"min_epochs must not exceed max_epochs, got {min_epochs} and {max_epochs}")
    last = 0
    while max_epochs // eta ** (last + 1) >= min_epochs:
        last += 1
    rungs: Rungs = []
    for i in range(last + 1):
        configs = trials // eta**i
        if configs <= 1:
            return [*rungs, (1, max_epochs)]
        rungs.append((configs, max_epochs // eta ** (last - i)))
    return rungs


def check_eta(eta: int) -> None:
    """Raise ValueError unless eta is a whole number of at least 2.

    >>> check_eta(1)
    Traceback (most recent call last):
    ValueError: eta must be at least 2, so that some configurations go: got 1
    """
    if positive_int("eta", eta) < 2:
        raise ValueError(f"eta must be at least 2, so that some configurations go: got {eta!r}")


def rung_epochs(rungs: Rungs, resume: bool = True) -> int:
    """Epochs that a bracket trains in all: continuing from checkpoints, or training every rung from the start.

    With resume `sum_i n_i (r_i - r_{i-1})`, r_{-1} = 0; without `sum_i n_i r_i`.

    >>> rungs = rung_sizes(81, 81)
    >>> rung_epochs(rungs, resume=False), rung_epochs(rungs)
    (405, 297)
    """
    before = [0, *(epochs for _, epochs in rungs)] if resume else [0] * len(rungs)
    return sum(configs * (epochs - done) for (configs, epochs), done in zip(rungs, before, strict=False))


class HalvingSearcher(Searcher):
    """Runs brackets of successive halving one after the other; every survivor is continued from its checkpoint.

    A round is a rung.  Its proposals carry the total epochs r_i, and from the second rung on `resume_from`, the trial that
    trained the same configuration for r_{i-1} epochs.

    Args:
        brackets: rungs of each bracket.
        seed: of the configurations.

    >>> search = HalvingSearcher({"lr": ([0.0, 1.0], "float")}, [[(3, 1), (1, 3)]], eta=3, seed=0)
    >>> losses = (0.5, 0.2, 0.9)
    >>> search.tell([Result(p.trial, p.config, 1, loss, "ok") for p, loss in zip(search.ask(), losses, strict=True)])
    >>> [(p.trial, p.epochs, p.resume_from) for p in search.ask()]
    [(3, 3, 1)]
    """

    def __init__(self, space: Space | Mapping[str, Any], brackets: Sequence[Rungs], eta: int, seed: int):
        self.space = Space.read(space)
        self.brackets = [list(rungs) for rungs in brackets]
        self.eta = eta
        self.expected_trials = sum(configs for rungs in self.brackets for configs, _ in rungs)
        self._rng = np.random.default_rng(seed)
        self._bracket, self._rung = 0, 0
        self._next_trial = 0
        self._waiting: list[Proposal] = []  # the rung that has been proposed, or its survivors

    def ask(self) -> list[Proposal]:
        """The next rung; an empty list after the last bracket."""
        if self._bracket == len(self.brackets):
            return []
        configs, epochs = self.brackets[self._bracket][self._rung]
        if self._rung == 0:
            starts: list[tuple[dict[str, Any], int | None]] = [
                (self.space.sample(self._rng), None) for _ in range(configs)
            ]
        else:
            starts = [(proposal.config, proposal.trial) for proposal in self._waiting]
        first = self._next_trial
        self._next_trial += len(starts)
        self._waiting = [
            Proposal(first + i, config, epochs, resume_from) for i, (config, resume_from) in enumerate(starts)
        ]
        return list(self._waiting)

    def tell(self, results: Sequence[Result]) -> None:
        """Take the results of the rung in the order of its proposals and choose who goes on."""
        if len(results) != len(self._waiting):
            raise ValueError(f"expected {len(self._waiting)} results, one per proposal of the rung, got {len(results)}")
        survivors = successive_halving_survivors([result.value for result in results], self.eta)
        self._waiting = [self._waiting[i] for i in survivors]
        self._rung += 1
        if not survivors or self._rung == len(self.brackets[self._bracket]):
            self._bracket, self._rung, self._waiting = self._bracket + 1, 0, []


class SuccessiveHalving(HalvingSearcher):
    """One bracket: `trials` configurations, of which every rung keeps the best 1 / eta for eta times the epochs.

    It loses configurations that start slowly (lecture 002); `Hyperband` hedges against that.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: configurations of the first rung.
        max_epochs: epochs of the last rung, in all.
        min_epochs: least epochs of the first rung.
        eta: 1 / eta of a rung goes on.
        seed: of the configurations.

    Raises:
        ValueError: a number out of range.

    >>> search = SuccessiveHalving({"lr": ([1e-4, 1e-1], "log")}, trials=9, max_epochs=9)
    >>> search.brackets, search.expected_trials
    ([[(9, 1), (3, 3), (1, 9)]], 13)
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 81,
        max_epochs: int = 81,
        min_epochs: int = 1,
        eta: int = 3,
        seed: int = 0,
    ):
        super().__init__(space, [rung_sizes(trials, max_epochs, min_epochs, eta)], eta, seed)
