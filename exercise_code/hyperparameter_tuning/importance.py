"""Which hyper-parameters mattered: a random forest learns the results, its variance is shared out among the parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exercise_code.hyperparameter_tuning.searcher import Result
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube


@dataclass(frozen=True)
class Importance:
    """shares: name -> share of the variance that the parameter explains alone; together_only: what only combinations explain.

    r2 is the forest's coefficient of determination on trials that a tree did not see: below about 0.5 it has not understood
    the results, and the shares mean little.
    """

    shares: dict[str, float]
    together_only: float
    r2: float


def importance(
    space: Space, results: Sequence[Result], *, seed: int = 0, trees: int = 200, points: int = 200, levels: int = 20
) -> Importance:
    """Main effects as in functional ANOVA (Hutter et al. 2014), estimated by sampling.

    With a forest f on unit coordinates, the share of parameter d is `Var_x[E_others f(x, others)] / Var f`: how much the
    prediction moves with x when it is averaged over everything else.  Values are ranked first, so a few runs that diverged do
    not decide alone; a failed trial has the worst rank.  Trials of a random search serve it best: others have hardly looked at
    bad values, so the forest does not know how bad they are.

    Args:
        results: at least 10.
        points: random configurations that stand for "everything else".
        levels: values of x.

    Raises:
        ValueError: fewer than 10 results, or all of them equal.

    >>> space = Space({"lr": ([1e-4, 1e-1], "log"), "idle": ([0, 1], "float")})
    >>> lrs, idles = np.geomspace(1e-4, 1e-1, 40), np.random.default_rng(0).random(40)
    >>> trials = [Result(i, {"lr": lr, "idle": idle}, 1, lr, "ok") for i, (lr, idle) in enumerate(zip(lrs, idles))]
    >>> shares = importance(space, trials, trees=50).shares
    >>> shares["lr"] > 0.9 > 0.1 > shares["idle"]
    True
    """
    from sklearn.ensemble import RandomForestRegressor

    values = np.array([result.value for result in results])
    if len(values) < 10 or len(np.unique(values)) < 2:
        raise ValueError(f"expected at least 10 results with different values, got {len(values)}")
    cube, rng = UnitCube(space), np.random.default_rng(seed)
    units = np.array([space.to_unit(result.config) for result in results])
    ranks = np.searchsorted(np.sort(values), values) / len(values)  # equal values have equal ranks
    forest = RandomForestRegressor(trees, oob_score=True, min_samples_leaf=2, random_state=seed).fit(units, ranks)
    background = rng.random((points, units.shape[1]))
    total = float(np.var(forest.predict(cube.snap(background))))
    shares = {
        label: float(np.var(_marginal(forest, cube, background, d, levels))) / (total or 1.0)
        for d, label in enumerate(unique_names(space))
    }
    return Importance(shares, max(0.0, 1.0 - sum(shares.values())), float(forest.oob_score_))


def _marginal(forest: object, cube: UnitCube, background: NDArray, d: int, levels: int) -> NDArray[np.float64]:
    """Mean prediction (levels,) with dimension d set to each level."""
    grid = (np.arange(levels) + 0.5) / levels
    moved = np.repeat(background[None], levels, axis=0)
    moved[:, :, d] = grid[:, None]
    flat = cube.snap(moved.reshape(-1, background.shape[1]))
    return forest.predict(flat).reshape(levels, -1).mean(axis=1)  # type: ignore[attr-defined]


def unique_names(space: Space) -> list[str]:
    """Names of the dimensions; those of options that share a name get the option's number.

    >>> from exercise_code.hyperparameter_tuning.parameters import Choice, Float
    >>> unique_names(Space({"optimizer": Choice({"sgd": {"lr": Float(0, 1)}, "adam": {"lr": Float(0, 0.1)}})}))
    ['optimizer', 'lr (0)', 'lr (1)']
    """
    names = space.names
    return [
        f"{d.name} ({d.parent[1]})" if names.count(d.name) > 1 and d.parent is not None else d.name
        for d in space.dimensions
    ]
