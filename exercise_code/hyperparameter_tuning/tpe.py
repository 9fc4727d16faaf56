"""The tree-structured Parzen estimator (Bergstra et al. 2011; lectures 000 and 002), short enough to read.

Step one splits the finished trials into a good and a bad group.  A density is put over each: l(x) where the good trials
lie, g(x) where the bad ones lie.  Step two draws candidates from l and tries the one with the highest ratio l(x) / g(x);
for the split used here that is the candidate with the highest expected improvement.

All of it happens in unit coordinates (see `Space.to_unit`), so a learning rate on a log scale needs no extra care.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.model_searcher import ModelSearcher
from exercise_code.hyperparameter_tuning.searcher import positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube

MOST_GOOD = 25  # trials; more would blur the good density in long searches (hyperopt and Optuna stop there too)


def split_good_bad(values: ArrayLike, gamma: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split finished trials into the good ones and the rest: step one of TPE.

    Args:
        values: (n,) results, lower is better; nan and inf (a run that failed) are never good.
        gamma: share of good trials, in (0, 1).

    Returns:
        Positions of the good trials, best first, of equal values the earlier one first: the ceil(gamma * n) lowest, fewer
        if there are not so many finite ones.  And the positions of all others, in increasing order.

    >>> good, bad = split_good_bad([0.5, 0.1, float("nan"), 0.3], gamma=0.5)
    >>> good.tolist(), bad.tolist()
    ([1, 3], [0, 2])
    """
    ### BEGIN SOLUTION 05_model_search
    values = np.asarray(values, dtype=float)
    count = math.ceil(gamma * len(values) - 1e-9)  # 0.1 * 30 is a little more than 3
    order = np.argsort(values, kind="stable")  # nan comes last
    good = order[:count][np.isfinite(values[order[:count]])]
    return good, np.setdiff1d(np.arange(len(values)), good)
    ### END SOLUTION


def parzen_density(x: ArrayLike, centres: ArrayLike, widths: ArrayLike) -> NDArray[np.float64]:
    """Mean of K Gaussians, each cut off at 0 and 1 and scaled to have area 1 between them.

    `p(x) = 1/K sum_k phi((x - c_k) / w_k) / w_k / (Phi((1 - c_k) / w_k) - Phi(-c_k / w_k))`; 0 outside of [0, 1].

    Args:
        x: points, any shape.
        centres, widths: (K,) numbers c_k in [0, 1] and w_k > 0.

    Returns:
        Densities in the shape of x.

    >>> parzen_density([0.5, 2.0], centres=[0.5], widths=[100.0]).round(3).tolist()   # very wide: uniform
    [1.0, 0.0]
    """
    x = np.asarray(x, dtype=float)
    density = np.exp(log_kernels(x.ravel(), np.asarray(centres, float), np.asarray(widths, float))).mean(axis=1)
    return np.where((x < 0) | (x > 1), 0.0, density.reshape(x.shape))


def parzen_widths(centres: NDArray) -> NDArray[np.float64]:
    """Width of the Gaussian around each of K centres: narrow where they crowd, and the narrower the more there are.

    The distance to the farther of the two neighbours (the ends of [0, 1] count), at least 1 / (K + 2) (Bergstra et al. 2011),
    but at most `0.15 K**(-1/5)` (Scott's rule; the factor did best on the standard functions), and never below 0.01.

    >>> parzen_widths(np.array([0.5])).tolist()
    [0.15]
    """
    count = max(len(centres), 1)
    order = np.argsort(centres, kind="stable")
    gaps = np.diff(np.concatenate([[0.0], centres[order], [1.0]]))
    widths = np.empty(len(centres))
    widths[order] = np.maximum(gaps[:-1], gaps[1:])
    return np.maximum(np.minimum(np.maximum(widths, 1 / (count + 2)), 0.15 * count**-0.2), 0.01)


def log_kernels(x: NDArray, centres: NDArray, widths: NDArray) -> NDArray[np.float64]:
    """Logarithm of every cut-off Gaussian (K,) at every point (C,): (C, K).

    >>> log_kernels(np.array([0.5, 0.9]), centres=np.array([0.5]), widths=np.array([0.1])).round(2).tolist()
    [[1.38], [-6.62]]
    """
    from scipy.special import ndtr

    area = ndtr((1 - centres) / widths) - ndtr(-centres / widths)
    scaled = (x[:, None] - centres) / widths
    return -0.5 * scaled**2 - np.log(math.sqrt(2 * math.pi) * widths * area)


class Mixture:
    """A density over unit coordinates: one component per trial, and one that is uniform (the prior).

    A component is a product over the parameters: a cut-off Gaussian around the trial's value for numbers, most of the
    probability on the trial's option for choices, and the prior where the trial did not have the parameter.  The density of
    one parameter alone is the mean over the components again, see `marginal`.

    Args:
        cube: gives the dimensions.
        units: (K, D) unit coordinates of the trials.
        joint: score points by the mean of the products; False takes the product of the means, as if good values of one
            parameter had nothing to do with those of another (the original TPE).

    >>> density = Mixture(UnitCube(Space({"x": ([0.0, 1.0], "float")})), np.array([[0.2], [0.3]]))
    >>> near, far = density.log_density(np.array([[0.25], [0.9]]))
    >>> len(density), bool(near > far), density.sample(np.random.default_rng(0), 5).shape
    (3, True, (5, 1))
    """

    def __init__(self, cube: UnitCube, units: NDArray, joint: bool = True):
        self.cube, self.joint = cube, joint
        self.units = np.asarray(units, dtype=float).reshape(-1, len(cube.edges))
        self.active = cube.active(self.units)
        cells = [math.inf if edges is None else len(edges) - 1 for edges in cube.edges]
        self.widths = np.ones_like(self.units)  # (K, D), of the Gaussians
        for d, size in enumerate(cells):
            here = self.active[:, d]
            self.widths[here, d] = np.maximum(parzen_widths(self.units[here, d]), 0.5 / size)

    def __len__(self) -> int:
        return len(self.units) + 1

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Draw (count, D) unit coordinates; those of inactive dimensions are 0.5."""
        from scipy.special import ndtr, ndtri

        component = rng.integers(len(self), size=count)
        uniform = rng.random((count, self.units.shape[1]))
        points = uniform.copy()
        for d, is_choice in enumerate(self.cube.is_choice):
            mine = component < len(self.units)  # the last component is the prior
            mine[mine] = self.active[component[mine], d]
            centre, u = self.units[component[mine], d], uniform[mine, d]
            if is_choice:
                points[mine, d] = np.where(rng.random(len(u)) < self._share(d), u, centre)
            else:
                width = self.widths[component[mine], d]
                low, high = ndtr(-centre / width), ndtr((1 - centre) / width)
                points[mine, d] = np.clip(centre + width * ndtri(low + u * (high - low)), 0, 1)
        return self.cube.snap(points)

    def log_density(self, points: NDArray) -> NDArray[np.float64]:
        """Logarithm of the density (C,) at unit coordinates (C, D)."""
        active = self.cube.active(points)
        total = np.zeros((len(points), len(self) if self.joint else 1))
        for d in range(points.shape[1]):
            kernels = self._log_kernels(points[:, d], d)
            kernels = kernels if self.joint else _log_mean(kernels)[:, None]
            total += np.where(active[:, d, None], kernels, 0.0)
        return _log_mean(total)

    def marginal(self, name: str, x: ArrayLike) -> NDArray[np.float64]:
        """Density (C,) of one parameter alone at unit coordinates x (C,); an option of a choice has it all over its cell."""
        return np.exp(_log_mean(self._log_kernels(np.asarray(x, dtype=float), self.cube.space.names.index(name))))

    def _log_kernels(self, x: NDArray, d: int) -> NDArray[np.float64]:
        """Logarithm of every component's density of dimension d, (C, K + 1); 0 is the uniform density of the prior."""
        kernels = np.zeros((len(x), len(self)))
        here = np.flatnonzero(self.active[:, d])
        centres = self.units[here, d]
        if self.cube.is_choice[d]:
            edges, share = np.asarray(self.cube.edges[d]), self._share(d)
            cell = self.cube.cells(x, d)
            same = cell[:, None] == self.cube.cells(centres, d)
            kernels[:, here] = np.log(share + (1 - share) * same / np.diff(edges)[cell][:, None])
        else:
            kernels[:, here] = log_kernels(x, centres, self.widths[here, d])
        return kernels

    def _share(self, d: int) -> float:
        """Probability with which a component forgets its option of dimension d and draws any."""
        options = len(self.cube.edges[d]) - 1  # type: ignore[arg-type]
        return options / (options + max(len(self.units), 1))


def propose_by_ratio(good: Any, bad: Any, candidates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw candidates where the good trials lie and return the one with the highest l(x) / g(x): step two of TPE.

    Args:
        good, bad: densities l and g with `sample(rng, count) -> (count, D)` and `log_density(points) -> (count,)`; logarithms,
            since the densities themselves may be too small for a float.
        candidates: how many to draw.
        rng: handed on to `sample`, and used for nothing else.

    Returns:
        (D,) the candidate; of equals the first.

    >>> cube = UnitCube(Space({"x": ([0.0, 1.0], "float")}))
    >>> good, bad = Mixture(cube, np.array([[0.2]])), Mixture(cube, np.array([[0.8]]))
    >>> bool(propose_by_ratio(good, bad, candidates=50, rng=np.random.default_rng(0))[0] < 0.5)   # on the good side
    True
    """
    ### BEGIN SOLUTION 05_model_search
    points = good.sample(rng, candidates)
    return points[np.argmax(good.log_density(points) - bad.log_density(points))]
    ### END SOLUTION


class TPESearcher(ModelSearcher):
    """Propose configurations by the tree-structured Parzen estimator.

    Args:
        space: a `Space` or what `Space.read` understands.
        trials: how many in all.
        seed: of everything random.
        batch: proposals per round; those of one round keep away from each other (each counts as bad for the next).
        epochs: per trial.
        startup: random trials before the model is asked.
        gamma: share of good trials, see `split_good_bad`.
        candidates: draws per proposal, see `propose_by_ratio`.
        joint: see `Mixture`.

    Raises:
        ValueError: a number out of range.

    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> search = TPESearcher({"x": ([0.0, 1.0], "float")}, trials=30)
    >>> found = tune(lambda config, context: (config["x"] - 0.3) ** 2, None, search, engine="serial", progress=False)
    >>> len(found.results), round(found.best.config["x"], 1)
    (30, 0.3)
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 50,
        seed: int = 0,
        batch: int = 1,
        epochs: int = 1,
        *,
        startup: int = 10,
        gamma: float = 0.15,
        candidates: int = 48,
        joint: bool = True,
    ):
        super().__init__(space, trials, seed, batch, epochs, startup)
        self.candidates = positive_int("candidates", candidates)
        if not 0 < gamma < 1:
            raise ValueError(f"gamma is the share of good trials and must lie in (0, 1), got {gamma!r}")
        self.gamma, self.joint = gamma, joint

    def _by_model(self, pending: Sequence[NDArray]) -> NDArray:
        good, bad = self.densities(pending)
        return propose_by_ratio(good, bad, self.candidates, self._rng)

    def split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the good and of the bad trials so far."""
        return split_good_bad(self.values, min(self.gamma, MOST_GOOD / max(len(self.values), 1)))

    def densities(self, pending: Sequence[NDArray] = ()) -> tuple[Mixture, Mixture]:
        """The two densities l and g after the trials so far; pending are unit coordinates (D,) that count as bad."""
        good, bad = self.split()
        return (
            Mixture(self.cube, self.units[good], self.joint),
            Mixture(self.cube, np.vstack([self.units[bad], *pending]), self.joint),
        )


def _log_mean(kernels: NDArray) -> NDArray[np.float64]:
    """`log(mean(exp(kernels), axis=1))` without overflow: (C, K) -> (C,)."""
    highest = kernels.max(axis=1, keepdims=True)
    return highest[:, 0] + np.log(np.exp(kernels - highest).mean(axis=1))
