"""What the catalogues do not say about exercise 03's checks: every seed, stubs, plugging in, and the bugs as they were found."""

import numpy as np
import pytest

from exercise_code import schedule_curves, schedules
from exercise_code.checks import CheckFailed, NotAttempted, check
from exercise_code.checks.exercise_03 import CHECKS
from exercise_code.networks import second_order, updates

SOLVED = {
    **{name: getattr(updates, name) for name in CHECKS if name.endswith("_update")},
    "newton_direction": second_order.newton_direction,
    "lbfgs_direction": second_order.lbfgs_direction,
    "half_cosine": schedule_curves.half_cosine,
    "one_cycle": schedule_curves.one_cycle,
}


@pytest.mark.parametrize("task", SOLVED)
def test_the_packages_own_solution_is_right_for_a_hundred_seeds(task, capsys):
    for seed in range(100):
        check(task, SOLVED[task], seed=seed, plug_in=False)

    assert capsys.readouterr().out == f"{task}: right.\n" * 100


def test_every_task_of_the_package_has_its_home_and_the_others_live_in_the_notebook():
    assert {task for task, one in CHECKS.items() if one.home} == set(SOLVED)
    assert set(CHECKS) - set(SOLVED) == {"largest_learning_rate", "range_test"}
    for task, answer in SOLVED.items():
        assert CHECKS[task].home == f"{answer.__module__}:{answer.__qualname__}"


@pytest.mark.parametrize("task", CHECKS)
def test_the_stub_counts_as_not_attempted(task):
    def stub(*_args, **_settings):
        raise NotImplementedError(f"03_optimizers, task {task}: write the body of {task} here")

    with pytest.raises(NotAttempted, match=f"{task}: not attempted yet"):
        check(task, stub, plug_in=False)


def test_the_packages_schedules_run_on_a_half_cosine_that_was_plugged_in(monkeypatch):
    monkeypatch.setattr(schedule_curves, "half_cosine", schedule_curves.half_cosine)  # put back afterwards
    calls = []

    def mine(start, end, share):
        calls.append(share)
        return end + (start - end) * (1 + np.cos(np.pi * share)) / 2

    check("half_cosine", mine)
    calls.clear()

    assert schedules.Cosine(1.0, 10)(5) == pytest.approx(0.5)
    assert schedules.OneCycle(1.0, 10)(9) == pytest.approx(4e-6)
    assert calls == [0.5, 1.0]


def test_minimize_runs_on_a_direction_that_was_plugged_in(monkeypatch):
    monkeypatch.setattr(second_order, "newton_direction", second_order.newton_direction)

    check("newton_direction", lambda gradient, hessian: -np.linalg.inv(hessian) @ gradient)
    result = second_order.minimize(lambda x: x @ x, [3.0], "newton", grad=lambda x: 2 * x, hess=lambda x: 2 * np.eye(1))

    assert result.converged and result.iterations == 1


def test_nesterovs_step_of_the_slide_is_refused_and_diverges_where_the_right_one_converges():
    def slide(w, dw, v, lr, momentum=0.9):
        velocity = momentum * v - lr * dw
        return w + (1 - momentum) * velocity + momentum * v, velocity

    with pytest.raises(CheckFailed):
        check("nesterov_update", slide, plug_in=False)
    ends = {}
    for rule in (slide, updates.nesterov_update):
        w, v = np.array([-9.0, 1.5]), np.zeros(2)
        for _ in range(60):
            w, v = rule(w, np.array([1.0, 25.0]) * w, v, 0.04)
        ends[rule] = np.abs(w).max()

    assert ends[slide] > 1e3 and ends[updates.nesterov_update] < 0.5


def test_a_loss_given_as_a_numpy_number_or_the_rates_as_an_array_change_nothing():
    def run(train_step, lr_min, lr_max, num_steps):
        losses = []
        for lr in np.geomspace(lr_min, lr_max, num_steps):
            loss = np.float64(train_step(np.float64(lr)))
            if not np.isfinite(loss) or loss > 4 * np.min([loss, *losses]):
                break
            losses.append(loss)
        return np.geomspace(lr_min, lr_max, num_steps)[: len(losses)], losses

    check("range_test", run)
