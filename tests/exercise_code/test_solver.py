"""The Solver: what it minimises, what it keeps, when it stops."""

import functools
import math

import numpy as np
import pytest

from exercise_code.data import ArrayDataset, DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD, Adam, SGDMomentum
from exercise_code.solver import Solver, clip_gradients


def _loader(n, seed, *, batch_size=8, **settings):
    """Noise with random labels: nothing generalises, so the validation loss soon rises."""
    rng = np.random.default_rng(seed)
    samples = [{"image": rng.standard_normal(12).astype(np.float32), "label": int(rng.integers(3))} for _ in range(n)]
    return DataLoader(samples, batch_size, **settings)


def _net(**settings):
    return ClassificationNet(Relu(), 2, 12, 16, "he", 3, **settings)


def _solver(net, **settings):
    return Solver(net, _loader(32, 0), _loader(24, 1), verbose=False, **settings)


@pytest.mark.parametrize("optimizer", [SGD, SGDMomentum, Adam])
def test_the_returned_model_is_the_one_with_the_best_validation_loss(optimizer):
    solver = _solver(_net(), learning_rate=0.05, optimizer=optimizer)

    solver.train(epochs=30)

    best = min(solver.val_loss_history)
    assert solver.val_loss_history[-1] > best, "the case must overfit, or it proves nothing"
    assert solver.get_validation_loss() == best
    assert solver.best_model_stats["val_loss"] == best
    assert solver.val_loss_history[solver.best_model_stats["epoch"] - 1] == best


def test_best_params_are_copies_that_later_training_does_not_touch():
    solver = _solver(_net(), learning_rate=0.05)
    solver.train(epochs=3)
    kept = {name: w.copy() for name, w in solver.best_params.items()}

    for w in solver.model.params.values():
        w += 1

    for name, w in kept.items():
        np.testing.assert_array_equal(solver.best_params[name], w)


def test_one_epoch_trains():
    net = _net()
    before = net.params["W1"].copy()

    _solver(net).train(epochs=1)

    assert not np.array_equal(net.params["W1"], before)


def test_one_plain_sgd_step_is_the_learning_rate_times_the_gradient():
    net, loader = _net(), _loader(8, 0)
    batch = next(iter(loader))
    loss = CrossEntropyFromLogits()
    net.backward(loss.backward(net.forward(batch["image"]), batch["label"]))
    expected = net.params["W1"] - 0.5 * net.grads["W1"]

    solver = Solver(net, loader, loader, learning_rate=0.5, optimizer=SGD, verbose=False, allow_overlap=True)
    solver._step(batch["image"], batch["label"])

    np.testing.assert_allclose(net.params["W1"], expected, rtol=1e-6)
    assert solver.num_operation == 1


def test_validation_loss_has_no_regularisation_term_and_training_loss_has_it():
    net = _net(reg=0.5)
    solver = _solver(net, learning_rate=1e-12, optimizer=SGD)
    penalty = 0.5 * sum(float((net.params[name] ** 2).sum()) for name in ("W1", "W2"))

    solver.train(epochs=1)

    plain = _solver(_net(), learning_rate=1e-12, optimizer=SGD)
    plain.train(epochs=1)
    assert solver.val_loss_history[0] == pytest.approx(plain.val_loss_history[0], rel=1e-6)
    assert solver.train_loss_history[0] == pytest.approx(plain.train_loss_history[0] + penalty, rel=1e-5)


def test_validation_uses_every_image_whatever_the_loader_shuffles_or_drops():
    whole = Solver(_net(), _loader(32, 0), _loader(25, 1), verbose=False)
    dropping = Solver(_net(), _loader(32, 0), _loader(25, 1, shuffle=True, drop_last=True), verbose=False)

    assert dropping.get_validation_loss() == whole.get_validation_loss()
    assert dropping.get_validation_loss() == dropping.get_validation_loss()


def test_patience_stops_after_that_many_epochs_without_a_better_one():
    solver = _solver(_net(), learning_rate=0.05)

    solver.train(epochs=200, patience=4)

    assert solver.stop_reason == "patience"
    assert len(solver.val_loss_history) == solver.best_model_stats["epoch"] + 4
    assert solver.current_patience == 4


def test_learning_rate_falls_by_the_decay_after_each_epoch():
    solver = _solver(_net(), learning_rate=0.1, lr_decay=0.5, optimizer=SGD)

    solver.train(epochs=3)

    assert solver.lr_history == [0.1, 0.05, 0.025]


def test_a_diverging_run_stops_says_so_and_keeps_finite_weights():
    solver = _solver(_net(), learning_rate=1e30, optimizer=SGD)

    solver.train(epochs=20)

    assert solver.stop_reason == "diverged"
    assert len(solver.val_loss_history) < 20
    assert solver.best_model_stats is None or math.isfinite(solver.best_model_stats["val_loss"])


def test_a_validation_loss_of_exactly_zero_counts_as_the_best():
    solver = _solver(_net())
    solver.val_loss_history = [0.0]
    solver.update_best_loss(0.0, 1.0)

    solver.update_best_loss(0.5, 1.0)

    assert solver.best_model_stats["val_loss"] == 0.0
    assert solver.current_patience == 1


def test_a_first_loss_of_nan_does_not_block_later_ones():
    solver = _solver(_net())
    solver.update_best_loss(float("nan"), 1.0)

    solver.update_best_loss(2.0, 1.0)

    assert solver.best_model_stats["val_loss"] == 2.0


def test_an_interrupted_run_leaves_the_best_weights_in_the_model(monkeypatch):
    solver = _solver(_net(), learning_rate=0.05)
    epochs = iter(range(6))
    train_epoch = solver._train_epoch

    def interrupted():
        if next(epochs) == 5:
            raise KeyboardInterrupt
        return train_epoch()

    monkeypatch.setattr(solver, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solver.train(epochs=10)

    assert solver.get_validation_loss() == min(solver.val_loss_history)


@pytest.mark.parametrize("name", ["lr", "learning_rat", "num_epochs"])
def test_misspelt_settings_are_refused_instead_of_swallowed(name):
    with pytest.raises(TypeError, match=name):
        Solver(_net(), _loader(8, 0), _loader(8, 1), **{name: 1})


def test_losses_may_be_classes_or_instances_and_optimizers_may_carry_settings():
    solver = _solver(_net(), loss_func=CrossEntropyFromLogits, optimizer=functools.partial(SGDMomentum, momentum=0.5))

    solver.train(epochs=1)

    assert solver.opt.momentum == 0.5
    assert isinstance(solver.loss_func, CrossEntropyFromLogits)


def test_regression_works_with_mse_and_float_targets():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    samples = [{"image": row, "label": row[:2].sum(keepdims=True)} for row in x]
    loader = DataLoader(samples, 16, shuffle=True)
    net = ClassificationNet(num_layer=1, input_size=4, num_classes=1)

    Solver(net, loader, loader, loss_func=MSE(), learning_rate=0.05, verbose=False, allow_overlap=True).train(epochs=60)

    np.testing.assert_allclose(net.params["W1"].ravel(), [1, 1, 0, 0], atol=0.05)


def test_a_training_loader_without_a_batch_is_an_error_with_the_reason():
    loader = _loader(4, 0, batch_size=8, drop_last=True)

    with pytest.raises(ValueError, match="batch_size is larger than the data set"):
        Solver(_net(), loader, _loader(8, 1), verbose=False).train(epochs=1)


def test_two_equal_runs_give_equal_bytes():
    runs = [_solver(_net(), learning_rate=0.01) for _ in range(2)]
    for solver in runs:
        solver.train(epochs=3)

    assert runs[0].train_batch_loss == runs[1].train_batch_loss
    np.testing.assert_array_equal(runs[0].model.params["W2"], runs[1].model.params["W2"])


def test_verbose_training_prints_a_line_per_print_every_epochs(capsys):
    solver = Solver(_net(), _loader(8, 0), _loader(8, 1), print_every=2)

    solver.train(epochs=5)

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(")")[0] for line in lines] == ["(Epoch 1", "(Epoch 3", "(Epoch 5"]


@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_clipped_gradients_equal_torchs(max_norm):
    import torch

    rng = np.random.default_rng(0)
    grads = {name: rng.standard_normal(shape) for name, shape in (("W1", (3, 4)), ("b1", (4,)))}
    tensors = [torch.zeros(grad.shape, dtype=torch.float64, requires_grad=True) for grad in grads.values()]
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.tensor(grad.copy())
    expected = torch.nn.utils.clip_grad_norm_(tensors, max_norm).item()

    assert clip_gradients(grads, max_norm) == pytest.approx(expected, rel=1e-12)
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-5)  # torch adds 1e-6 to the norm


def test_gradient_clip_bounds_the_step_of_plain_sgd():
    solver = _solver(_net(), learning_rate=1.0, optimizer=SGD, gradient_clip=1e-3)
    before = {name: w.copy() for name, w in solver.model.params.items()}
    batch = next(iter(solver.train_dataloader))

    solver._step(batch["image"], batch["label"])

    moved = math.sqrt(sum(float(((solver.model.params[name] - w) ** 2).sum()) for name, w in before.items()))
    assert moved == pytest.approx(1e-3, rel=1e-3)


class Ramp:
    """A schedule for tests: 0.1, 0.2, 0.3, ..."""

    def __init__(self, per):
        self.per = per

    def __call__(self, count):
        return 0.1 * (count + 1)


def test_a_schedule_per_epoch_sets_the_rate_of_each_epoch():
    solver = _solver(_net(), schedule=Ramp("epoch"), optimizer=SGD)

    solver.train(epochs=3)

    assert solver.lr_history == pytest.approx([0.1, 0.2, 0.3])


def test_a_schedule_per_step_sets_the_rate_of_each_step():
    solver = _solver(_net(), schedule=Ramp("step"), optimizer=SGD)

    solver.train(epochs=2)

    assert solver.opt.lr == pytest.approx(0.1 * solver.num_operation)


def test_a_schedule_and_a_decay_together_are_refused():
    with pytest.raises(ValueError, match="a schedule or an lr_decay, got both"):
        _solver(_net(), schedule=Ramp("epoch"), lr_decay=0.9)


def test_loaders_of_one_data_set_are_refused_unless_the_overlap_is_wanted():
    loader = _loader(8, 0)

    with pytest.raises(ValueError, match="share 8 images"):
        Solver(_net(), loader, loader)
    Solver(_net(), loader, loader, allow_overlap=True)


def test_parts_of_one_data_set_that_share_images_are_refused_and_disjoint_ones_are_not():
    images, labels = np.zeros((10, 2, 2, 3), dtype=np.uint8), np.zeros(10, dtype=int)

    def part(*indices):
        dataset = ArrayDataset(images, labels)
        dataset._indices = np.array(indices)
        return DataLoader(dataset, 2)

    with pytest.raises(ValueError, match="share 1 images"):
        Solver(_net(), part(0, 1, 2), part(2, 3))
    Solver(_net(), part(0, 1, 2), part(3, 4))


def test_the_history_is_a_table_with_a_row_per_epoch():
    solver = _solver(_net(), learning_rate=0.1, lr_decay=0.5)

    solver.train(epochs=2)

    table = solver.history()
    assert table["epoch"] == [1, 2]
    assert table["learning_rate"] == [0.1, 0.05]
    assert table["val_loss"] == solver.val_loss_history
    assert {len(column) for column in table.values()} == {2}


def test_the_best_model_of_a_net_with_batch_norm_gets_its_running_statistics_back_too():
    solver = _solver(_net(batch_norm=True), learning_rate=0.05)

    solver.train(epochs=25)

    assert solver.val_loss_history[-1] > min(solver.val_loss_history), "the case must overfit, or it proves nothing"
    assert solver.get_validation_loss() == min(solver.val_loss_history)
