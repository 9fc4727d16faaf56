"""hyperopt as an engine: values instead of indices, seeds that hold, failures, and better than random search."""

import math

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import (
    Choice,
    Float,
    HyperoptSearcher,
    Int,
    RandomSearcher,
    Space,
    tune,
)
from tests.exercise_code.hyperparameter_tuning.by_hand import run

TREE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "layers": Int(1, 5),
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}, weights=[1, 3]),
    }
)


def error(c):
    value = (math.log10(c["lr"]) + 3) ** 2 + (c["layers"] - 2) ** 2
    return value + ((c["momentum"] - 0.9) ** 2 if c["optimizer"] == "sgd" else 0.5)


def test_configurations_are_values_of_the_space_and_weights_are_kept():
    seen = run(HyperoptSearcher(TREE, 200, 0, batch=50, algorithm="rand"), error)

    assert all(TREE.contains(r.config) for r in seen) and [r.trial for r in seen] == list(range(200))
    assert 0.65 < np.mean([r.config["optimizer"] == "adam" for r in seen]) < 0.85
    assert {r.config["layers"] for r in seen} == {1, 2, 3, 4, 5}


def test_expressions_of_hyperopt_itself_are_understood_and_come_back_with_values():
    from hyperopt import hp

    space = {"x": hp.uniform("x", -5, 5), "kind": hp.choice("kind", ["a", "b"])}
    seen = run(HyperoptSearcher(space, 40, 0), lambda c: c["x"] ** 2 + (c["kind"] == "a"))

    best = min(seen, key=lambda r: r.value)
    assert best.config["kind"] == "b" and abs(best.config["x"]) < 1


def test_equal_seeds_give_equal_searches_and_others_do_not():
    first, again, other = (
        [r.value for r in run(HyperoptSearcher(TREE, 30, seed, batch=2), error)] for seed in (1, 1, 2)
    )

    assert first == again != other


def test_a_logged_search_with_it_is_resumed_without_training_again(tmp_path):
    def objective(config, context):
        calls.append(context.trial)
        return error(config)

    calls = []
    searches = [
        tune(
            objective, TREE, HyperoptSearcher(TREE, 25, 3), engine="serial", log=tmp_path / "log.jsonl", progress=False
        )
        for _ in range(2)
    ]

    assert calls == list(range(25))
    assert searches[0].results == searches[1].results


def test_failures_are_told_as_failures():
    seen = run(HyperoptSearcher(TREE, 40, 0), lambda c: math.nan if c["lr"] > 0.01 else error(c))

    assert any(r.status == "nan" for r in seen) and min(r.value for r in seen) < 2


def test_it_beats_random_search_in_the_median_over_seeds():
    ours, random = (
        np.median([min(r.value for r in run(make(TREE, 45, seed), error)) for seed in range(6)])
        for make in (HyperoptSearcher, RandomSearcher)
    )

    assert ours < random


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(ValueError, match="got 'tpee'"):
        HyperoptSearcher(TREE, 10, algorithm="tpee")
