"""A search driven by hand, for tests of searchers: ask, call the function, tell; no tuner, no processes."""

import math

from exercise_code.hyperparameter_tuning import Result


def run(searcher, function):
    """Results in the order of the trials; a value that is not finite is a failed trial."""
    seen = []
    while proposals := searcher.ask():
        results = []
        for p in proposals:
            value = function(p.config)
            ok = math.isfinite(value)
            results.append(Result(p.trial, p.config, p.epochs, value if ok else math.inf, "ok" if ok else "nan"))
        seen += results
        searcher.tell(results)
    return seen


def run_values(searcher, function):
    """Values of the results, in the order of the trials."""
    return [result.value for result in run(searcher, function)]
