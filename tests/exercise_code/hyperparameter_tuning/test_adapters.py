"""Adapters: objectives of hyperopt and Optuna run under `tune`, and ours under theirs."""

import math

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import (
    Float,
    Int,
    ListSearcher,
    MedianStopping,
    Normal,
    for_hyperopt,
    for_optuna,
    from_hyperopt,
    from_optuna,
    tune,
)

CONFIGS = [{"x": 3.0, "layers": 2, "act": "relu"}, {"x": -1.0, "layers": 1, "act": "tanh"}]


def search(objective, configs=CONFIGS, **more):
    return tune(objective, None, ListSearcher(configs), progress=False, **more)


def test_an_objective_written_for_hyperopt_runs_as_it_is():
    def objective(config):
        if config["act"] == "tanh":
            return {"status": "fail"}
        return {"loss": config["x"] ** 2, "status": "ok", "accuracy": 0.5}

    results = search(from_hyperopt(objective)).results

    assert (results[0].value, results[0].metrics) == (9.0, {"accuracy": 0.5})
    assert results[1].status == "failed" and "status 'fail'" in results[1].detail


def test_hyperopts_single_expression_hands_over_the_value_alone():
    hp = pytest.importorskip("hyperopt").hp

    result = tune(
        from_hyperopt(lambda x: x**2 - x + 1, "x"), hp.uniform("x", -5, 5), budget=200, engine="serial", progress=False
    )

    assert result.best.config["x"] == pytest.approx(0.5, abs=0.2)  # the minimum of the lecture's function


def test_a_hyperopt_dict_without_a_loss_is_a_failure_that_says_so():
    result = search(from_hyperopt(lambda config: {"status": "ok", "value": 1.0})).results[0]

    assert result.status == "failed" and "expected a dict with 'loss'" in result.detail


def optunas(trial):
    x = trial.suggest_float("x", -5, 5)
    layers = trial.suggest_int("layers", 1, 3)
    act = trial.suggest_categorical("act", ["relu", "tanh"])
    trial.set_user_attr("act", act)
    for step in range(3):
        trial.report(x**2 + layers, step)
        if trial.should_prune():
            raise RuntimeError("we do it ourselves")
    return x**2 + layers


def test_an_objective_written_for_optuna_runs_as_it_is_and_can_be_pruned():
    scheduler = MedianStopping(warmup=1, min_trials=1, wave=1)

    results = search(from_optuna(optunas), [CONFIGS[1], CONFIGS[0]], scheduler=scheduler).results

    assert (results[0].value, results[0].metrics) == (2.0, {"act": "tanh"})
    assert results[0].curve == ((1, 2.0), (2, 2.0), (3, 2.0))
    assert results[1].pruned and results[1].epochs == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda trial: trial.suggest_float("layer", 0, 1), "the configuration has no 'layer': did you mean 'layers'"),
        (lambda trial: trial.suggest_float("x", 10, 20), "'x' is 3.0, and the objective expects 10 to 20"),
        (lambda trial: trial.suggest_categorical("act", ["elu"]), "'act' is 'relu'"),
    ],
)
def test_an_optuna_objective_that_asks_for_something_else_fails_with_the_reason(body, message):
    result = search(from_optuna(body)).results[0]

    assert result.status == "failed" and message in result.detail


def ours(config, context):
    context.report(1, 1.0)
    return {"value": (config["x"] - 1) ** 2 if config["x"] < 4 else math.nan, "seed": context.seed}


def test_our_objective_runs_under_hyperopt():
    hyperopt = pytest.importorskip("hyperopt")
    trials = hyperopt.Trials()

    best = hyperopt.fmin(
        for_hyperopt(ours),
        {"x": hyperopt.hp.uniform("x", -5, 5)},
        algo=hyperopt.rand.suggest,
        max_evals=60,
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )

    assert best["x"] == pytest.approx(1, abs=0.5)
    assert {result["status"] for result in trials.results} == {"ok", "fail"}


class FakeOptunaTrial:
    """The three methods and the number that an Optuna trial offers, drawing the middle."""

    number = 0

    def suggest_float(self, name, low, high, *, step=None, log=False):
        return math.sqrt(low * high) if log else (low + high) / 2

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return (low + high) // 2

    def suggest_categorical(self, name, choices):
        return choices[-1]


def test_our_objective_and_space_run_under_optuna():
    seen = []

    def objective(config, context):
        seen.append(config)
        return 2.0

    space = {"lr": ([1e-4, 1e-2], "log"), "width": ([1, 9], "int"), "act": ["relu", "tanh"], "drop": ([0, 1], "float")}

    assert for_optuna(objective, space)(FakeOptunaTrial()) == 2.0
    assert seen == [{"lr": pytest.approx(1e-3), "width": 5, "act": "tanh", "drop": 0.5}]


def test_our_objective_runs_under_the_real_optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    study.optimize(for_optuna(ours, {"x": ([-5, 5], "float")}), n_trials=60)

    assert study.best_params["x"] == pytest.approx(1, abs=0.5)


def test_steps_are_ours_under_the_real_optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []

    def objective(config, context):
        seen.append((config["width"], config["drop"]))
        return 1.0

    study.optimize(
        for_optuna(objective, {"width": Int(16, 70, step=16), "drop": Float(0.1, 0.8, step=0.25)}), n_trials=60
    )

    assert {width for width, _ in seen} == {16, 32, 48, 64}
    assert {drop for _, drop in seen} == {0.0, 0.25, 0.5, 0.75}
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}


@pytest.mark.parametrize("parameter", [Normal(0, 1), Int(1, 64, log=True, step=3), Float(0.1, 10, log=True, step=0.1)])
def test_a_space_that_optuna_cannot_draw_is_refused(parameter):
    with pytest.raises(ValueError, match="Optuna cannot draw 'x'"):
        for_optuna(ours, {"x": parameter})(FakeOptunaTrial())
