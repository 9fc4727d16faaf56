"""What the catalogues do not say about exercise 05's checks: stubs, plugging in, every seed, and what the searchers then run on."""

import numpy as np
import pytest

from exercise_code import cross_validation
from exercise_code.checks import CheckFailed, NotAttempted, check, hint
from exercise_code.checks.exercise_05 import CHECKS
from exercise_code.hyperparameter_tuning import (
    GaussianProcessSearcher,
    Hyperband,
    RandomSearcher,
    ReinforceController,
    SuccessiveHalving,
    TPESearcher,
    gaussian_process,
    hyperband,
    reinforce,
    successive_halving,
    tpe,
)
from exercise_code.hyperparameter_tuning.searcher import Result

SOLVED = {
    "kfold_indices": cross_validation.kfold_indices,
    "halving_survivors": successive_halving.successive_halving_survivors,
    "hyperband_table": hyperband.hyperband_brackets,
    "expected_improvement": gaussian_process.expected_improvement,
    "split_good_bad": tpe.split_good_bad,
    "propose_by_ratio": tpe.propose_by_ratio,
    "policy_gradient": reinforce.policy_gradient,
}
SPACE = {"x": ([0.0, 1.0], "float")}


@pytest.mark.parametrize("task", SOLVED)
def test_the_packages_own_solution_is_right_for_many_seeds(task, capsys):
    for seed in range(30):
        check(task, SOLVED[task], seed=seed, plug_in=False)

    assert capsys.readouterr().out == f"{task}: right.\n" * 30


def test_every_task_of_the_package_has_its_home_and_the_others_live_in_the_notebook():
    assert {task for task, one in CHECKS.items() if one.home} == set(SOLVED)
    assert set(CHECKS) - set(SOLVED) == {"elimination_rounds", "next_configuration", "ensemble_probabilities"}
    for task, answer in SOLVED.items():
        assert CHECKS[task].home == f"{answer.__module__}:{answer.__qualname__}"


@pytest.mark.parametrize("task", CHECKS)
def test_a_stub_counts_as_not_attempted_and_every_hint_can_be_read(task, capsys):
    def stub(*args, **kwargs):
        raise NotImplementedError(f"05_model_search, task {task}: write the body of {task} here")

    with pytest.raises(NotAttempted, match=f"{task}: not attempted yet"):
        check(task, stub)
    for level in (1, 2, 3):
        hint(task, level)
    assert capsys.readouterr().out.count("hint") >= 3


def _run(searcher, value):
    """Tell a searcher the value of everything it asks for; return all proposals."""
    proposals = []
    while asked := searcher.ask():
        searcher.tell([Result(p.trial, p.config, p.epochs, value(p), "ok") for p in asked])
        proposals += asked
    return proposals


@pytest.mark.parametrize(
    ("task", "home", "searcher"),
    [
        ("halving_survivors", successive_halving, lambda: SuccessiveHalving(SPACE, trials=9, max_epochs=9)),
        ("hyperband_table", hyperband, lambda: Hyperband(SPACE, max_epochs=9)),
        ("expected_improvement", gaussian_process, lambda: GaussianProcessSearcher(SPACE, trials=5, startup=3)),
        ("split_good_bad", tpe, lambda: TPESearcher(SPACE, trials=6, startup=3)),
        ("propose_by_ratio", tpe, lambda: TPESearcher(SPACE, trials=6, startup=3)),
        ("policy_gradient", reinforce, lambda: ReinforceController({"x": [0, 1]}, trials=10)),
    ],
)
def test_the_packages_searcher_runs_on_a_right_answer_once_it_is_checked(task, home, searcher, monkeypatch):
    name = CHECKS[task].home.split(":")[1]
    monkeypatch.setattr(home, name, SOLVED[task])  # put back afterwards
    calls = []

    def mine(*args, **kwargs):
        calls.append(args)
        return SOLVED[task](*args, **kwargs)

    check(task, mine)
    calls.clear()
    proposals = _run(searcher(), lambda p: (float(p.config["x"]) - 0.3) ** 2)

    assert getattr(home, name) is mine
    assert calls and proposals


def test_cross_validation_runs_on_the_checked_folds(monkeypatch):
    monkeypatch.setattr(cross_validation, "kfold_indices", SOLVED["kfold_indices"])

    def mine(*args, **kwargs):
        return SOLVED["kfold_indices"](*args, **kwargs)

    check("kfold_indices", mine)

    assert cross_validation.kfold_indices is mine


def test_the_slides_formula_picks_the_worst_and_the_check_says_why():
    with pytest.raises(
        CheckFailed, match=r"expected candidate 1, got candidate 0\. 1 - E\[y\] is large where accuracy"
    ):
        check("next_configuration", lambda mean, std, best: int(np.argmax(1 - mean)))


def test_random_search_needs_no_task_of_this_exercise(monkeypatch):
    for task, answer in SOLVED.items():
        module, name = CHECKS[task].home.split(":")
        monkeypatch.setattr(f"{module}.{name}", None)
        assert answer is not None

    assert len(RandomSearcher(SPACE, 3).ask()) == 3
