"""Successive halving and Hyperband: hand-made tables, the published one, checkpoints, and what happens to failed runs."""

import math

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import Result, tune
from exercise_code.hyperparameter_tuning.hyperband import Hyperband, hyperband_brackets
from exercise_code.hyperparameter_tuning.successive_halving import (
    SuccessiveHalving,
    rung_epochs,
    rung_sizes,
    successive_halving_survivors,
)

SPACE = {"x": ([0, 1], "float")}
LECTURE = [  # lecture 002, R = 81, eta = 3, as printed
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(27, 3), (9, 9), (3, 27), (1, 81)],
    [(9, 9), (3, 27), (1, 81)],
    [(6, 27), (2, 81)],
    [(5, 81)],
]
PUBLISHED = [  # Li et al. 2018, table 1
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def drive(searcher, value):
    """Run a searcher on `value(config, epochs)`; all rounds as lists of (proposal, value)."""
    rounds = []
    while proposals := searcher.ask():
        values = [value(p.config, p.epochs) for p in proposals]
        rounds.append(list(zip(proposals, values, strict=True)))
        status = ["ok" if math.isfinite(v) else "nan" for v in values]
        searcher.tell([Result(p.trial, p.config, p.epochs, v, s) for (p, v), s in zip(rounds[-1], status, strict=True)])
    return rounds


def test_survivors_are_what_sorting_by_hand_gives_with_ties_to_the_earlier_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = rng.integers(0, 5, size=rng.integers(1, 30)).astype(float)
        eta = int(rng.integers(2, 5))
        by_hand = sorted(range(len(values)), key=lambda i: (values[i], i))[: max(1, len(values) // eta)]

        assert successive_halving_survivors(values, eta) == by_hand


def test_runs_that_diverged_do_not_survive_even_when_too_few_others_are_left():
    assert successive_halving_survivors([math.inf, 0.4, math.nan, math.inf, 0.3, -math.inf], 2) == [4, 1]
    assert successive_halving_survivors([math.inf, math.nan, math.inf], 3) == []


@pytest.mark.parametrize(("variant", "table"), [("lecture", LECTURE), ("published", PUBLISHED)])
def test_the_tables_of_lecture_and_paper_are_reproduced(variant, table):
    assert hyperband_brackets(81, 3, variant) == table


def test_bracket_totals_are_those_of_the_tables_and_resuming_the_first_costs_297_epochs():
    assert [rung_epochs(rungs, resume=False) for rungs in LECTURE] == [405, 324, 243, 324, 405]
    assert [rung_epochs(rungs, resume=False) for rungs in PUBLISHED] == [405, 363, 351, 378, 405]
    assert rung_epochs(LECTURE[0]) == 297


@pytest.mark.parametrize(
    ("epochs", "eta", "brackets"), [(1, 3, 1), (2, 3, 1), (3, 3, 2), (243, 3, 6), (1000, 10, 4), (100, 2, 7)]
)
def test_the_number_of_brackets_is_exact_also_at_powers_where_logarithms_of_floats_are_not(epochs, eta, brackets):
    for variant in ("lecture", "published"):
        table = hyperband_brackets(epochs, eta, variant)

        assert [len(rungs) for rungs in table] == list(range(brackets, 0, -1))
        assert all(rungs[-1][1] == epochs for rungs in table)
        assert all(r >= 1 and n >= 1 for rungs in table for n, r in rungs)


def test_the_first_run_of_the_lectures_elimination_has_27_configurations_and_its_last_one_is_run_too():
    assert rung_sizes(27, 27) == [(27, 1), (9, 3), (3, 9), (1, 27)]
    assert rung_sizes(4, 27, min_epochs=9) == [(4, 9), (1, 27)]
    assert rung_sizes(1, 27) == [(1, 27)]


def test_each_rung_continues_the_best_third_from_their_checkpoints():
    rounds = drive(SuccessiveHalving(SPACE, 27, 27, seed=5), lambda config, epochs: abs(config["x"] - 0.4) + 1 / epochs)

    assert [(len(r), r[0][0].epochs) for r in rounds] == [(27, 1), (9, 3), (3, 9), (1, 27)]
    for before, after in zip(rounds, rounds[1:], strict=False):
        best = sorted(before, key=lambda pair: pair[1])[: len(after)]
        assert [p.resume_from for p, _ in after] == [p.trial for p, _ in best]
        assert [p.config for p, _ in after] == [p.config for p, _ in best]
    trials = [p.trial for r in rounds for p, _ in r]
    assert trials == list(range(40))


def test_when_the_order_of_runs_never_changes_halving_finds_the_best_of_all_81_with_a_22nd_of_the_epochs():
    rounds = drive(SuccessiveHalving(SPACE, seed=1), lambda config, epochs: config["x"] + 1 / epochs)

    assert rounds[-1][0][0].config["x"] == min(p.config["x"] for p, _ in rounds[0])
    assert 81 * 81 / 297 > 22


def test_a_slow_starter_is_lost_by_halving_and_kept_by_the_later_brackets_of_hyperband():
    def late(config, epochs):
        return (0.0 if epochs >= 9 else 9.0) if config["x"] > 0.5 else 1.0

    halving = drive(SuccessiveHalving(SPACE, 27, 27, seed=2), late)
    hyperband = drive(Hyperband(SPACE, 27, seed=2), late)

    assert halving[-1][0][1] == 1.0
    assert min(value for r in hyperband for _, value in r) == 0.0


def test_a_bracket_ends_early_when_nothing_is_left_alive_and_the_next_one_starts():
    rounds = drive(Hyperband(SPACE, 9, seed=0), lambda config, epochs: math.inf)

    assert [len(r) for r in rounds] == [9, 3, 3]
    assert all(p.resume_from is None for r in rounds for p, _ in r)


def count_epochs(config, context):
    """Trains by counting; the count lies in the checkpoint."""
    file = context.checkpoint_dir / "epochs.txt"
    done = int(file.read_text()) if file.exists() else 0
    assert done == context.start_epoch
    for epoch in range(context.start_epoch, context.epochs):
        done += 1
        context.report(epoch + 1, config["x"])
    file.write_text(str(done))
    return {"value": config["x"], "done": done}


def test_through_the_tuner_every_configuration_has_all_its_epochs_though_each_was_trained_once(tmp_path):
    result = tune(
        count_epochs, SPACE, Hyperband(SPACE, 27, seed=3), engine="serial", log=tmp_path / "log.jsonl", progress=False
    )

    assert all(trial.status == "ok" and trial.metrics["done"] == trial.epochs for trial in result.results)
    assert result.epochs == sum(rung_epochs(rungs) for rungs in hyperband_brackets(27))
    assert result.best.value == min(trial.value for trial in result.results)


def test_expected_trials_is_the_number_of_proposals():
    for searcher in (SuccessiveHalving(SPACE, 20, 27), Hyperband(SPACE, 27), Hyperband(SPACE, 27, variant="published")):
        assert searcher.expected_trials == sum(len(r) for r in drive(searcher, lambda config, epochs: config["x"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hyperband(SPACE, 0), "max_epochs must be a whole number of at least 1, got 0"),
        (lambda: Hyperband(SPACE, 81, eta=1), "eta must be at least 2"),
        (lambda: Hyperband(SPACE, 81, variant="paper"), '"lecture" or "published", got \'paper\''),
        (lambda: SuccessiveHalving(SPACE, 0), "trials must be a whole number"),
        (lambda: SuccessiveHalving(SPACE, 9, 3, min_epochs=9), "min_epochs must not exceed max_epochs, got 9 and 3"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
