"""What one needs around hyperopt (exercise 06): its four usual ranges by hand, reading its records, stopping it, judging the gain.

hyperopt: Bergstra, Yamins and Cox (2013), *Making a science of model search*; TPE: Bergstra et al. (2011), *Algorithms for
hyper-parameter optimization*.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959964  # 97.5 % quantile of the normal distribution


def hyperopt_draw(kind: str, arguments: Sequence[Any], rng: np.random.Generator) -> float:
    """Draw one value the way hyperopt does; the arguments are those of its functions without the label.

    - `"uniform"`, (low, high): any number between the two, all equally likely.
    - `"loguniform"`, (low, high): `exp` of a uniform number, so low and high are **natural logarithms** of the bounds.
    - `"quniform"`, (low, high, q): a uniform number rounded to the nearest multiple of q; still a float.
    - `"choice"`, (options,): all options equally likely; hyperopt records the **index** of the option, so return that.

    Args:
        rng: the only source of chance.

    Raises:
        ValueError: another kind.

    >>> rng = np.random.default_rng(0)
    >>> hyperopt_draw("quniform", (78, 82, 16), rng), hyperopt_draw("choice", (["adam"],), rng)
    (80.0, 0)
    >>> 1e-4 <= hyperopt_draw("loguniform", (math.log(1e-4), math.log(1e-2)), rng) <= 1e-2
    True
    """
    ### BEGIN SOLUTION 06_hyperopt
    if kind == "choice":
        return int(rng.integers(len(arguments[0])))
    u = rng.uniform(arguments[0], arguments[1])
    if kind == "uniform":
        return u
    if kind == "loguniform":
        return math.exp(u)
    if kind == "quniform":
        return float(round(u / arguments[2]) * arguments[2])
    raise ValueError(f"expected uniform, loguniform, quniform or choice, got {kind!r}")
    ### END SOLUTION


def best_settings(space: Any, trials: Any) -> Any:
    """Return the settings of the best finished trial, exactly as the objective was given them.

    Args:
        space: the search space that `fmin` got, choices within choices included.
        trials: the `hyperopt.Trials` that it filled.  `trials.trials` is a list of dicts, one per trial: its
            `["result"]` is what the objective returned, with "status" and, unless it failed, "loss"; its
            `["misc"]["vals"]` has a list for each label, empty where the trial had no such parameter.

    Returns:
        Settings with values in place of indices.  Trials whose status is not `hyperopt.STATUS_OK`, and those
        whose loss is nan or infinite, are left out; of equals the first counts.

    Raises:
        ValueError: no trial is left.

    >>> from hyperopt import Trials, fmin, hp, rand
    >>> space, trials, rng = {"width": hp.choice("width", [32, 64])}, Trials(), np.random.default_rng(0)
    >>> _ = fmin(lambda config: 1 / config["width"], space, rand.suggest, 8, trials=trials, rstate=rng, verbose=False)
    >>> best_settings(space, trials)
    {'width': 64}
    """
    ### BEGIN SOLUTION 06_hyperopt
    from hyperopt import STATUS_OK, space_eval

    done = [trial for trial in trials.trials if trial["result"]["status"] == STATUS_OK]
    finite = [trial for trial in done if math.isfinite(trial["result"]["loss"])]
    if not finite:
        raise ValueError(f"expected a finished trial with a finite loss, got {len(trials.trials)} trials without one")
    winner = min(finite, key=lambda trial: trial["result"]["loss"])
    drawn = {label: values[0] for label, values in winner["misc"]["vals"].items() if values}
    return space_eval(space, drawn)
    ### END SOLUTION


def stop_when_stuck(patience: int) -> Callable[..., tuple[bool, Sequence[Any]]]:
    """Return a function for `fmin(..., early_stop_fn=...)` that ends a search without progress.

    hyperopt calls it after every trial with the `Trials` so far, followed by what it returned as its second result the last
    time (nothing at first).  It returns `(stop, state)`: whether to stop, and a list that it gets back, one argument each.

    Args:
        patience: stop as soon as so many trials in a row have brought no progress.  Progress is a finite loss below all
            earlier ones, from a trial whose status is `hyperopt.STATUS_OK`; the first such loss is progress, too.

    Returns:
        The function; it may be used for one search after the other.

    >>> from hyperopt import Trials, fmin, hp, rand
    >>> space, trials, options = hp.uniform("x", 0, 1), Trials(), {"rstate": np.random.default_rng(0), "verbose": False}
    >>> _ = fmin(lambda x: 1.0, space, rand.suggest, 50, trials=trials, early_stop_fn=stop_when_stuck(3), **options)
    >>> len(trials.losses())  # the first one, and three without progress
    4
    """
    ### BEGIN SOLUTION 06_hyperopt
    from hyperopt import STATUS_OK

    def early_stop(trials: Any, *state: Any) -> tuple[bool, Sequence[Any]]:
        lowest, stuck = math.inf, 0
        for result in trials.results:
            loss = result["loss"] if result["status"] == STATUS_OK else math.inf
            lowest, stuck = (loss, 0) if -math.inf < loss < lowest else (lowest, stuck + 1)
        return stuck >= patience, []

    return early_stop
    ### END SOLUTION


def good_probability(log_good: ArrayLike, log_bad: ArrayLike, gamma: float) -> NDArray[np.float64]:
    """Return how likely a trial at x is to be a good one, by Bayes' rule.

        P(good | x) = gamma * l(x) / (gamma * l(x) + (1 - gamma) * g(x))

    A share gamma of all trials counts as good; these lie at x with density l(x), the others with density g(x).

    Args:
        log_good, log_bad: logarithms of l and g at the same points, any shape.  Densities over many
            hyper-parameters are too small or too large for a float, so never leave the logarithms without
            need; -inf (a density of 0) may occur, but not in both at the same point.
        gamma: in (0, 1).

    Returns:
        Probabilities in [0, 1], in the shape of the arguments; no warning on the way.

    >>> good_probability(np.log([0.6, 0.2]), np.log([0.2, 0.2]), gamma=0.25).round(6).tolist()
    [0.5, 0.25]
    """
    ### BEGIN SOLUTION 06_hyperopt
    from scipy.special import expit

    log_odds = math.log(gamma) - math.log1p(-gamma) + np.asarray(log_good, float) - np.asarray(log_bad, float)
    return expit(log_odds)
    ### END SOLUTION


def paired_gain(labels: ArrayLike, before: ArrayLike, after: ArrayLike) -> tuple[float, float, float]:
    """Compare two networks on the same images: gain in accuracy and its 95 % interval.

    Images that both get right, or both wrong, say nothing about the difference.  With b images that only
    `after` gets right and c that only `before` gets right, out of n:

        gain           = (b - c) / n
        standard error = sqrt(b + c - (b - c)**2 / n) / n
        interval       = gain -/+ Z_95 * standard error

    (McNemar 1947 for the idea; the interval is Wald's for paired proportions.  The board adds one image to b
    and one to c first, which keeps the interval honest where they are few: Bonett and Price 2012.)

    Args:
        labels, before, after: (n,) true classes, and the classes that each network predicts.

    Returns:
        (gain, low, high) as floats; 0.01 is one percentage point.

    Raises:
        ValueError: the three are not of the same length, or empty.

    >>> [round(value, 2) for value in paired_gain([1, 1, 1, 1], before=[1, 0, 0, 0], after=[1, 1, 1, 0])]
    [0.5, 0.01, 0.99]
    """
    ### BEGIN SOLUTION 06_hyperopt
    labels, before, after = np.asarray(labels), np.asarray(before), np.asarray(after)
    n = len(labels)
    if not n or len(before) != n or len(after) != n:
        raise ValueError(f"expected three arrays of the same length, got {n}, {len(before)} and {len(after)}")
    won = int(np.sum((after == labels) & (before != labels)))
    lost = int(np.sum((after != labels) & (before == labels)))
    gain = (won - lost) / n
    margin = Z_95 * math.sqrt(won + lost - (won - lost) ** 2 / n) / n
    return gain, gain - margin, gain + margin
    ### END SOLUTION
