"""What the catalogues do not say about exercise 02's checks: stubs, plugging in, every seed, and the recorded curves."""

import inspect

import numpy as np
import pytest

from exercise_code import diagnostics, loss_curves, training_loop
from exercise_code.callbacks import UpdateRatio
from exercise_code.checks import NotAttempted, check
from exercise_code.checks.exercise_02 import CHECKS
from exercise_code.checks.loss_tasks import _what_is_seen
from exercise_code.checks.training_tasks import ratio
from exercise_code.data import DataLoader, ImageFolderDataset, NormalizeTransform, RescaleTransform
from exercise_code.data.dataset import ArrayDataset
from exercise_code.networks import ClassificationNet, loss
from exercise_code.networks.optimizer import SGD
from exercise_code.solver import Solver

SOLVED = {
    "dataset": ArrayDataset,
    "select_split": ImageFolderDataset,
    "rescale": RescaleTransform,
    "normalize": NormalizeTransform,
    "dataloader": DataLoader,
    "log_softmax": loss.log_softmax,
    "cross_entropy": loss.cross_entropy,
    "cross_entropy_gradient": loss.cross_entropy_gradient,
    "train_step": training_loop.train_step,
    "dataset_loss": training_loop.dataset_loss,
    "best_weights": training_loop.BestWeights,
    "run_epochs": training_loop.run_epochs,
    "update_ratio": diagnostics.update_ratio,
}


@pytest.mark.parametrize("task", SOLVED)
def test_the_packages_own_solution_is_right_for_a_hundred_seeds(task, capsys):
    for seed in range(100):
        check(task, SOLVED[task], seed=seed, plug_in=False)

    assert capsys.readouterr().out == f"{task}: right.\n" * 100


def test_every_task_of_the_package_has_its_home_and_the_others_live_in_the_notebook():
    assert {task for task, one in CHECKS.items() if one.home} == set(SOLVED)
    assert set(CHECKS) - set(SOLVED) == {"mse_gradient", "loss_curves"}
    for task, answer in SOLVED.items():
        assert CHECKS[task].home == f"{answer.__module__}:{answer.__qualname__}"


def test_a_class_with_one_stub_left_counts_as_not_attempted():
    class Half(DataLoader):
        def __iter__(self):
            raise NotImplementedError("02_solver, task dataloader: write the body of DataLoader.__iter__ here")

    with pytest.raises(NotAttempted, match="dataloader: not attempted yet"):
        check("dataloader", Half)


def _samples(count):
    rng = np.random.default_rng(count)
    return [{"image": rng.standard_normal(4), "label": int(rng.integers(3))} for _ in range(count)]


def _solver(**settings):
    net = ClassificationNet(input_size=4, num_classes=3, hidden_size=5, std="he")
    train, val = DataLoader(_samples(20), 5), DataLoader(_samples(9), 4)
    return Solver(net, train, val, optimizer=SGD, verbose=False, **settings)


def test_the_solver_and_its_loss_run_on_right_answers_once_they_are_plugged_in(monkeypatch):
    calls = []
    for module, name in (
        (training_loop, "train_step"),
        (training_loop, "dataset_loss"),
        (training_loop, "run_epochs"),
        (training_loop, "BestWeights"),
        (loss, "log_softmax"),
        (loss, "cross_entropy"),
        (loss, "cross_entropy_gradient"),
        (diagnostics, "update_ratio"),
    ):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, original)  # put back afterwards

        def counted(*args, name=name, original=original, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        task = "best_weights" if name == "BestWeights" else name
        check(task, counted)
    calls.clear()

    _solver(callbacks=[UpdateRatio(every=1)]).train(epochs=2)

    assert calls.count("train_step") == 8 and calls.count("dataset_loss") == 2
    assert calls.count("run_epochs") == calls.count("BestWeights") == 1
    assert calls.count("cross_entropy_gradient") == 8
    assert calls.count("log_softmax") == calls.count("cross_entropy") == 8 + 2
    assert calls.count("update_ratio") == 8 * 2


def test_the_notebooks_loop_written_by_hand_finds_the_numbers_of_the_solver():
    solver = _solver(learning_rate=0.1)
    solver.train(epochs=6)
    net = ClassificationNet(input_size=4, num_classes=3, hidden_size=5, std="he")
    loss_func = loss.CrossEntropyFromLogits()
    optimizer, best, found = SGD(net, loss_func, 0.1), training_loop.BestWeights(), []

    def one_epoch():
        for batch in DataLoader(_samples(20), 5):
            training_loop.train_step(net, loss_func, optimizer, batch["image"], batch["label"])
        found.append(training_loop.dataset_loss(net, loss_func, DataLoader(_samples(9), 1024)))
        best.update(found[-1], net.params)
        return found[-1]

    assert training_loop.run_epochs(one_epoch, best, 6) == "epochs"
    assert found == solver.val_loss_history


def test_a_step_through_clipping_and_callbacks_still_comes_between_backward_and_step():
    seen = []

    class Watch(UpdateRatio):
        def before_step(self, solver):
            norm = np.sqrt(sum(np.vdot(grad, grad) for grad in solver.model.grads.values()))
            seen.append((float(norm), solver.num_operation))
            super().before_step(solver)

    _solver(gradient_clip=0.01, callbacks=[Watch(every=1)]).train(epochs=1)

    assert [number for _, number in seen] == [0, 1, 2, 3]
    assert max(norm for norm, _ in seen) <= 0.01 * (1 + 1e-6)


def test_forgetting_the_best_epoch_lets_the_next_one_be_the_best():
    solver = _solver()
    solver.update_best_loss(1.0, 1.0)
    solver.best_model_stats = solver.best_params = None
    solver.update_best_loss(2.0, 2.0)

    assert solver.best.loss == 2.0 and solver.best_params is not None and solver.current_patience == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_value_and_gradient_of_the_smoothed_cross_entropy_are_those_of_the_mixed_targets(smoothing):
    rng = np.random.default_rng(3)
    logits, labels = rng.standard_normal((6, 4)), rng.integers(4, size=6)
    targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    mixed = loss.CrossEntropyFromLogits(label_smoothing=smoothing)

    assert mixed(logits, labels) == pytest.approx(-np.mean(np.sum(targets * np.log(p), axis=1)), abs=1e-12)
    np.testing.assert_allclose(mixed.backward(logits, labels), (p - targets) / 6, atol=1e-14)


def test_a_certain_and_right_answer_costs_plus_zero():
    value = loss.CrossEntropyFromLogits()(np.array([[1000.0, 0.0, 0.0]]), np.array([0]))

    assert str(value) == "0.0"


def test_the_oracle_of_the_update_ratio_knows_the_hand_computed_case():
    assert ratio(np.array([3.0, 4.0]), np.array([3.0, 9.0])) == 1.0
    assert np.isnan(ratio(np.zeros(2), np.ones(2)))


def test_every_recorded_curve_is_thirty_epochs_of_finite_losses_and_fits_a_name_of_its_own():
    curves = loss_curves.prepared_curves()
    fitting = []
    for curve in curves.values():
        assert len(curve.train) == len(curve.val) == 30 and np.isfinite(curve.train + curve.val).all()
        (name,) = _what_is_seen(curve)
        fitting.append(name)

    assert sorted(fitting) == sorted(loss_curves.NAMES)


def test_the_module_of_the_curves_does_not_tell_which_is_which():
    table = inspect.getsource(loss_curves).partition("_RECORDED = {")[2]

    assert not any(name in table for name in loss_curves.NAMES)
