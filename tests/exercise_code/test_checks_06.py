"""Checks of exercise 06: right for every seed, each task at home where it is pulled from, and no trace left in torch."""

import pytest
import torch
from torch.nn.modules import module as torch_modules

from exercise_code.checks import check
from exercise_code.checks.core import table
from exercise_code.labs import hyperopt_tools, mnist_tuning

CHECKS = {name: found for name, found in table().items() if found.exercise == "06_hyperopt"}


@pytest.mark.parametrize("task", ["good_probability", "paired_gain"])
def test_the_packages_own_solution_is_right_for_a_hundred_seeds(task, capsys):
    for seed in range(100):
        check(task, getattr(hyperopt_tools, task), seed=seed, plug_in=False)
    assert capsys.readouterr().out.count(f"{task}: right.") == 100


@pytest.mark.parametrize("task", ["hyperopt_draw", "best_settings", "stop_when_stuck"])
def test_checks_that_draw_at_random_do_not_refuse_by_chance(task):
    for seed in range(10):
        check(task, getattr(hyperopt_tools, task), seed=seed, plug_in=False)


def test_every_task_of_the_package_has_its_home_and_the_other_lives_in_the_notebook():
    assert {name for name, found in CHECKS.items() if found.home is None} == {"learning_rate_space"}
    for name, found in CHECKS.items():
        if found.home is not None:
            assert found.home.endswith(f":{name}")


def test_watching_a_training_leaves_no_hooks_and_the_threads_as_they_were():
    threads, hooks = torch.get_num_threads(), len(torch_modules._global_forward_pre_hooks)

    check("train_config", mnist_tuning.train_config, plug_in=False)

    assert torch.get_num_threads() == threads
    assert len(torch_modules._global_forward_pre_hooks) == hooks
