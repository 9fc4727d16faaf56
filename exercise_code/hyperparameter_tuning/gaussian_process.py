"""Bayesian optimisation: a Gaussian process guesses the objective, an acquisition function says where to look (lecture 002).

The lecture prints the expected improvement for an accuracy y as the integral of (1 - y) P(y | c), which is 1 - E[y]: to
maximise that is to ask for the worst configuration.  An improvement is what goes beyond the best value so far, and nothing
when a value is worse: for a loss, E[max(0, best - y)].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.coarse_to_fine import spread_evenly
from exercise_code.hyperparameter_tuning.model_searcher import ModelSearcher
from exercise_code.hyperparameter_tuning.searcher import positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.surrogate import Surrogate


def expected_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> NDArray[np.float64]:
    """Expected improvement on the lowest value so far (Mockus 1978; Jones et al. 1998).

    `EI = E[max(0, best - Y)] = (best - mean) Phi(z) + std phi(z)`, `z = (best - mean) / std`, for Y normal with this mean and
    std; Phi and phi are the distribution function and the density of the standard normal distribution
    (`scipy.special.ndtr` is Phi).  Without uncertainty, std = 0, it is `max(0, best - mean)`.

    Args:
        mean, std: (n,) predictions of a loss, std >= 0.
        best: the lowest value so far.

    Returns:
        (n,) float64, never negative.  No warning where std is 0.

    >>> expected_improvement([1.0, 1.0, 0.5], [1.0, 0.0, 0.0], best=1.0).round(3).tolist()
    [0.399, 0.0, 0.5]
    """
    ### BEGIN SOLUTION 05_model_search
    from scipy.special import ndtr

    gain = best - np.asarray(mean, dtype=float)
    std = np.asarray(std, dtype=float)
    z = gain / np.where(std > 0, std, 1.0)
    improvement = gain * ndtr(z) + std * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.maximum(np.where(std > 0, improvement, gain), 0.0)
    ### END SOLUTION


def probability_of_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> NDArray[np.float64]:
    """`P(Y < best) = Phi((best - mean) / std)` (Kushner 1964); does not ask by how much, so it stays close to what it knows.

    Args and Returns as for `expected_improvement`; where std is 0 it is 1 or 0.

    >>> probability_of_improvement([1.0, 0.5], [1.0, 0.0], best=1.0).tolist()
    [0.5, 1.0]
    """
    from scipy.special import ndtr

    gain, std = best - np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    return np.where(std > 0, ndtr(gain / np.where(std > 0, std, 1.0)), (gain > 0).astype(float))


def upper_confidence_bound(
    mean: ArrayLike, std: ArrayLike, best: float = 0.0, kappa: float = 2.0
) -> NDArray[np.float64]:
    """`kappa std - mean`: how good a loss could be if we were lucky, the more the higher (Srinivas et al. 2010).

    best is not used; it is there so that all three acquisition functions are called alike.

    >>> upper_confidence_bound([1.0, 2.0], [0.0, 1.0]).tolist()
    [-1.0, 0.0]
    """
    return kappa * np.asarray(std, dtype=float) - np.asarray(mean, dtype=float)


Acquisition = Callable[[NDArray, NDArray, float], NDArray]
ACQUISITIONS: dict[str, Acquisition] = {
    "ei": lambda mean, std, best: expected_improvement(mean, std, best),  # looked up late: a student's takes its place
    "pi": probability_of_improvement,
    "ucb": upper_confidence_bound,
}


class GaussianProcessSearcher(ModelSearcher):
    """Propose where the acquisition function of a Gaussian process is highest.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: how many in all.
        seed: of everything random.
        batch: proposals per round.  Each is added to the process as if its result was the best so far ("constant liar",
            Ginsbourger et al. 2010), so that the next one goes elsewhere.
        epochs: per trial.
        startup: trials before the process is asked, random but spread evenly over every axis.
        acquisition: "ei", "pi" or "ucb".
        candidates: random points at which the acquisition function is evaluated; the best are then refined.

    Raises:
        ValueError: a number out of range, an unknown acquisition function.

    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> search = GaussianProcessSearcher({"x": ([0.0, 1.0], "float")}, trials=6, startup=4, candidates=50)
    >>> found = tune(lambda config, context: (config["x"] - 0.3) ** 2, None, search, engine="serial", progress=False)
    >>> len(found.results), round(found.best.config["x"], 1)
    (6, 0.3)
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 50,
        seed: int = 0,
        batch: int = 1,
        epochs: int = 1,
        *,
        startup: int = 8,
        acquisition: str = "ei",
        candidates: int = 500,
    ):
        super().__init__(space, trials, seed, batch, epochs, startup)
        self.candidates = positive_int("candidates", candidates)
        if acquisition not in ACQUISITIONS:
            raise ValueError(f"expected an acquisition function out of {', '.join(ACQUISITIONS)}, got {acquisition!r}")
        self.acquisition = acquisition
        self._fitted: Surrogate | None = None  # whose settings are in use, fitted to the first _fitted_to trials
        self._fitted_to = 0
        dims = len(self.space.dimensions)
        self._startup = self.cube.snap(spread_evenly(np.zeros(dims), np.ones(dims), self.startup, self._rng))

    def _at_startup(self, position: int) -> NDArray:
        return self._startup[position]

    def _by_model(self, pending: Sequence[NDArray]) -> NDArray:
        return self._maximise(self.surrogate(pending), np.vstack([self.units, *pending]))

    def surrogate(self, pending: Sequence[NDArray] = ()) -> Surrogate:
        """The process after the trials so far; pending unit coordinates (D,) enter with the best value as their result.

        Its settings are fitted anew whenever there is a quarter more trials than at the last time: a few more hardly
        change them, and the fit takes most of the time.
        """
        count = len(self.values)
        due = not pending and (self._fitted is None or count >= self._fitted_to + max(1, self._fitted_to // 4))
        lies = np.full(len(pending), np.min(self.values, initial=np.inf))
        surrogate = Surrogate(
            self.cube,
            np.vstack([self.units, *pending]),
            np.append(self.values, lies),
            self._fitted,
            fit=due or self._fitted is None,
        )
        if due:
            self._fitted, self._fitted_to = surrogate, count
        return surrogate

    def _maximise(self, surrogate: Surrogate, tried: NDArray) -> NDArray:
        """The best of random points and of the neighbours of good ones, at ever smaller distances; not tried before."""
        dims = tried.shape[1]
        finite = np.where(np.isfinite(self.values), self.values, np.inf)
        incumbents = self.units[np.argsort(finite, kind="stable")[:5]]
        points = np.vstack([self._rng.random((self.candidates, dims)), self._around(incumbents, 0.1, 20)])
        points, scores = self._score(surrogate, points)
        for width in (0.05, 0.02, 0.008, 0.003):
            top = points[np.argsort(-scores, kind="stable")[:5]]
            near, near_scores = self._score(surrogate, self._around(top, width, 20))
            points, scores = np.vstack([points, near]), np.append(scores, near_scores)
        order = np.argsort(-scores, kind="stable")
        new = (i for i in order if np.abs(points[i] - tried).max(axis=1).min() > 1e-9)
        return points[next(new, order[0])]  # all have been tried in a small space: then the best, again

    def _around(self, centres: NDArray, width: float, count: int) -> NDArray:
        """count neighbours of every centre (C, D), each moved in a random half of its coordinates."""
        centres = np.repeat(centres, count, axis=0)
        step = width * self._rng.standard_normal(centres.shape) * (self._rng.random(centres.shape) < 0.5)
        for d, is_choice in enumerate(self.cube.is_choice):
            if is_choice:  # distance means nothing: sometimes another option
                other = self._rng.random(len(centres))
                step[:, d] = np.where(self._rng.random(len(centres)) < 0.2, other - centres[:, d], 0.0)
        return np.clip(centres + step, 0.0, 1.0)

    def _score(self, surrogate: Surrogate, points: NDArray) -> tuple[NDArray, NDArray]:
        points = self.cube.snap(points)
        return points, ACQUISITIONS[self.acquisition](*surrogate.predict(points), surrogate.best)
