"""What the catalogues do not say about exercise 01's checks: stubs, plugging in, every seed, and the two careless checks."""

import numpy as np
import pytest

import exercise_code.numeric_gradient as gradients
from exercise_code import diagnostics
from exercise_code.checks import CheckFailed, NotAttempted, check
from exercise_code.checks.exercise_01 import CHECKS
from exercise_code.networks import layer

SOLVED = {
    "sigmoid": layer.Sigmoid,
    "numeric_gradient": gradients.numeric_gradient,
    "relative_error": gradients.relative_error,
    "relu": layer.Relu,
    "elu": layer.Elu,
    "affine_forward": layer.affine_forward,
    "affine_backward": layer.affine_backward,
    "dead_units": diagnostics.dead_units,
}


@pytest.mark.parametrize("task", SOLVED)
def test_the_packages_own_solution_is_right_for_a_hundred_seeds(task, capsys):
    for seed in range(100):
        check(task, SOLVED[task], seed=seed, plug_in=False)

    assert capsys.readouterr().out == f"{task}: right.\n" * 100


def test_every_task_of_the_package_has_its_home_and_the_others_live_in_the_notebook():
    assert {task for task, one in CHECKS.items() if one.home} == set(SOLVED)
    assert set(CHECKS) - set(SOLVED) == {"impostor", "inputs_away_from_zero", "shortcut"}
    for task, answer in SOLVED.items():
        assert CHECKS[task].home == f"{answer.__module__}:{answer.__qualname__}"


def test_a_layer_with_one_stub_left_counts_as_not_attempted():
    class Half(layer.Relu):
        def backward(self, dout, cache):
            raise NotImplementedError("01_sigmoid, task relu: write the body of Relu.backward here")

    with pytest.raises(NotAttempted, match="relu: not attempted yet"):
        check("relu", Half)


def test_a_right_sigmoid_takes_its_place_in_the_package(monkeypatch):
    monkeypatch.setattr(layer, "Sigmoid", layer.Sigmoid)  # put back afterwards

    class Mine(layer.Sigmoid):
        pass

    check("sigmoid", Mine)

    assert layer.Sigmoid is Mine


def test_switching_the_warning_off_does_not_turn_a_wrong_value_right():
    class Silenced(layer.Sigmoid):
        def forward(self, x):
            with np.errstate(all="ignore"):
                out = np.exp(x) / (1 + np.exp(x))
            return out, out

    with pytest.raises(CheckFailed, match="got nan"):
        check("sigmoid", Silenced)


@pytest.mark.parametrize("seed", range(20))
def test_an_impostor_is_accepted_exactly_when_the_notebooks_careless_check_is_fooled(seed):
    """The check has its own form of the careless check; this is the one that the notebook shows."""

    def careless_check(candidate, x):
        out, cache = candidate.forward(x)
        dx = candidate.backward(np.ones_like(out), cache)
        numeric = gradients.numeric_gradient(lambda moved: np.sum(candidate.forward(moved)[0]), x)
        return abs(np.sum(dx - numeric)) < 1e-6

    rng = np.random.default_rng(seed)
    factor = rng.choice([0.0, 0.5, 1.0])

    scale = rng.choice([1.0, 1.5])

    class Candidate:
        def forward(self, x):
            return np.sin(x), x

        def backward(self, dout, x):
            return scale * np.cos(x) * (1 - factor + factor * np.abs(dout))

    fooled = careless_check(Candidate(), np.linspace(-1, 1, 7))

    try:
        check("impostor", Candidate, seed=seed, plug_in=False)
        accepted = True
    except CheckFailed as error:
        accepted = "careless check" not in str(error)

    assert accepted == fooled == (scale == 1.0)
