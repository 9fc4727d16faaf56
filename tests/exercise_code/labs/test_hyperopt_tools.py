"""hyperopt's ranges, records and early stop, and the worth of a gain, against hyperopt itself and by hand."""

import math
import warnings

import numpy as np
import pytest

from exercise_code.labs.hyperopt_tools import (
    best_settings,
    good_probability,
    hyperopt_draw,
    paired_gain,
    stop_when_stuck,
)


@pytest.fixture(scope="module")
def hyperopt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside of hyperopt
        module = pytest.importorskip("hyperopt")
    return module


def _search(hyperopt, objective, space, count, **settings):
    trials = hyperopt.Trials()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hyperopt.fmin(
            objective, space, hyperopt.rand.suggest, count, trials=trials, rstate=np.random.default_rng(0),
            show_progressbar=False, verbose=False, **settings,
        )  # fmt: skip
    return trials


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("uniform", (-2.0, 3.0)),
        ("loguniform", (math.log(1e-4), math.log(1e-1))),
        ("quniform", (16.0, 64.0, 16.0)),
        ("choice", (["a", "b", "c"],)),
    ],
)
def test_our_four_ranges_are_distributed_as_hyperopts(hyperopt, kind, arguments):
    trials = _search(hyperopt, lambda value: 0.0, getattr(hyperopt.hp, kind)("v", *arguments), 800)
    rng = np.random.default_rng(1)
    ours, theirs = np.sort([hyperopt_draw(kind, arguments, rng) for _ in range(4000)]), np.sort(trials.vals["v"])
    places = np.unique(np.concatenate([ours, theirs]))

    gap = np.searchsorted(ours, places, "right") / len(ours) - np.searchsorted(theirs, places, "right") / len(theirs)

    assert np.abs(gap).max() < 0.08  # Kolmogorov and Smirnov: by chance less than once in a thousand runs


def test_the_winner_is_what_the_objective_was_given(hyperopt):
    hp, given = hyperopt.hp, []
    space = {"net": hp.choice("net", [{"width": hp.choice("w", [8, 16])}, {"depth": hp.quniform("d", 1, 5, 1)}])}
    losses = iter([math.nan, 3.0, 1.0, None, 2.0, 1.0])

    def objective(config):
        given.append(config)
        loss = next(losses)
        return {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}

    trials = _search(hyperopt, objective, space, 6)

    assert best_settings(space, trials) == given[2]


def test_without_a_finite_loss_there_is_no_winner(hyperopt):
    space = hyperopt.hp.uniform("x", 0, 1)
    trials = _search(hyperopt, lambda x: math.inf, space, 2)

    with pytest.raises(ValueError, match="2 trials without one"):
        best_settings(space, trials)


def test_a_search_without_progress_ends_after_patience_trials(hyperopt):
    losses = iter([3.0, 2.0, 2.0, 5.0, math.nan, 1.0, 0.0])
    trials = _search(
        hyperopt, lambda x: next(losses), hyperopt.hp.uniform("x", 0, 1), 7, early_stop_fn=stop_when_stuck(3)
    )

    assert trials.losses()[:4] == [3.0, 2.0, 2.0, 5.0] and len(trials) == 5


def test_probabilities_of_good_follow_bayes_far_beyond_what_floats_can_hold():
    log_good = np.array([math.log(3), -3000 + math.log(3), -math.inf, 5000.0])
    log_bad = np.array([0.0, -3000.0, 0.0, 0.0])

    assert np.allclose(good_probability(log_good, log_bad, 0.25), [0.5, 0.5, 0.0, 1.0])


def test_the_interval_of_a_gain_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    labels = np.zeros(400, dtype=int)
    covered = 0
    for _ in range(400):
        u = rng.random(400)
        before, after = (u < 0.10).astype(int), ((u > 0.06) & (u < 0.13)).astype(int)  # wrong: 10 %, and 7 %
        _, low, high = paired_gain(labels, before, after)
        covered += low <= 0.03 <= high

    assert 0.91 <= covered / 400 <= 0.985


def test_gains_of_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="2, 1 and 2"):
        paired_gain([1, 2], [1], [1, 2])
