"""Every searcher through the tuner: the same trials for one and two workers, and a log that resumes without training again."""

import math

import pytest

from exercise_code.hyperparameter_tuning import (
    CoarseToFine,
    GaussianProcessSearcher,
    Hyperband,
    HyperoptSearcher,
    ReinforceController,
    SuccessiveHalving,
    TPESearcher,
    tune,
)

SPACE = {"lr": ([1e-4, 1e-1], "log"), "layers": ([1, 5], "int"), "act": ["relu", "tanh"]}
ARCHITECTURES = {"layers": ([1, 5], "int"), "act": ["relu", "tanh"], "lr": [1e-3, 1e-2, 1e-1]}
SEARCHERS = {
    "coarse to fine": lambda: CoarseToFine(SPACE, 3, 2, 2),
    "successive halving": lambda: SuccessiveHalving(SPACE, 9, 9),
    "hyperband": lambda: Hyperband(SPACE, 9, variant="published"),
    "tpe": lambda: TPESearcher(SPACE, 9, batch=2, startup=4),
    "gaussian process": lambda: GaussianProcessSearcher(SPACE, 8, batch=2, startup=4),
    "hyperopt": lambda: HyperoptSearcher(SPACE, 8, batch=2),
    "reinforce": lambda: ReinforceController(ARCHITECTURES, 9, batch=3),
}


def objective(config, context):
    error = (math.log10(config["lr"]) + 2) ** 2 + config["layers"] + 0.3 * (config["act"] == "tanh")
    return error + 0.01 * context.rng.random()


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHERS)
def test_one_and_two_workers_give_the_same_trials(name):
    one, two = (tune(objective, None, SEARCHERS[name](), workers=workers, progress=False) for workers in (1, 2))

    assert len(one.results) == len(two.results) >= 8
    assert [(r.trial, r.config, r.value) for r in one.results] == [(r.trial, r.config, r.value) for r in two.results]


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_search_cut_short_is_resumed_from_its_log_to_the_same_end(name, tmp_path):
    def counted(config, context):
        calls.append(context.trial)
        if len(calls) == 5 and stop:
            raise KeyboardInterrupt
        return objective(config, context)

    calls, stop = [], False
    whole = tune(counted, None, SEARCHERS[name](), engine="serial", progress=False)
    calls, stop = [], True
    with pytest.raises(KeyboardInterrupt):
        tune(counted, None, SEARCHERS[name](), engine="serial", progress=False, log=tmp_path / "log.jsonl")
    stop = False
    resumed = tune(counted, None, SEARCHERS[name](), engine="serial", progress=False, log=tmp_path / "log.jsonl")

    again = calls[5:]
    assert again[0] >= 3 and again == list(range(again[0], len(whole.results)))  # what was in the log did not run again
    assert resumed.results == whole.results
