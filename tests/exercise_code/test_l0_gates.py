"""Hard-concrete gates against Monte Carlo, finite differences and what training does with them."""

import numpy as np
import pytest

from exercise_code.callbacks import Checkpoint
from exercise_code.checkpoint import resume
from exercise_code.data import DataLoader
from exercise_code.l0_gates import L0Gated, fixed_gates, open_probability, sample_gates
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Tanh
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.onnx_export import export_onnx
from exercise_code.regularization import count_nonzeros
from exercise_code.solver import Solver


def _rng(seed=0):
    return np.random.default_rng(seed)


def _net(**settings):
    return ClassificationNet(
        **{"activation": Tanh(), "input_size": 6, "hidden_size": 5, "num_classes": 3, "std": "he", "dtype": np.float64}
        | settings
    )


@pytest.mark.parametrize("log_alpha", [-4.0, -1.0, 0.0, 2.0, 5.0])
def test_the_share_of_open_gates_is_the_stated_probability(log_alpha):
    z, _ = sample_gates(np.full(200_000, log_alpha), _rng(1))

    share = np.mean(z > 0)
    p = open_probability(np.array([log_alpha]))[0]
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / z.size)
    assert z.min() >= 0 and z.max() <= 1


def test_gates_are_exactly_zero_and_exactly_one_with_positive_probability():
    z, _ = sample_gates(np.zeros(10_000), _rng(2))

    assert np.mean(z == 0) > 0.1 and np.mean(z == 1) > 0.1 and np.mean((z > 0) & (z < 1)) > 0.1


def test_the_derivative_of_a_gate_is_its_finite_difference_at_the_same_noise():
    log_alpha, h = _rng(3).normal(scale=2, size=500), 1e-6

    z, dz = sample_gates(log_alpha, _rng(4))

    (up, _), (down, _) = (sample_gates(log_alpha + step, _rng(4)) for step in (h, -h))
    smooth = (np.minimum(up, down) > 0) & (np.maximum(up, down) < 1) | (up == down)
    np.testing.assert_allclose(dz[smooth], ((up - down) / (2 * h))[smooth], atol=1e-7)
    assert smooth.mean() > 0.99 and (dz[(z == 0) | (z == 1)] == 0).all()


@pytest.mark.parametrize("value", [-1e30, -800.0, 800.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_gates_are_finite_and_keep_the_dtype(value, dtype):
    log_alpha = np.array([value], dtype)

    z, dz = sample_gates(log_alpha, _rng())

    for array in (z, dz, fixed_gates(log_alpha), open_probability(log_alpha)):
        assert array.dtype == dtype and np.isfinite(array).all()


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("reg", [0.0, 0.01])
def test_all_gradients_are_finite_differences_of_the_loss_at_the_same_noise(units, reg):
    net = L0Gated(_net(reg=reg), strength=1e-2, units=units, start=0.6)
    x, y, loss, h = _rng(5).normal(size=(7, 6)), np.arange(7) % 3, CrossEntropyFromLogits(), 1e-6

    def value():
        net.rng = _rng(6)
        return loss(net.forward(x), y) + sum(net.reg.values())

    value()
    grads = {name: g.copy() for name, g in net.backward(loss.backward(net.forward(x), y)).items()}
    net.rng = _rng(6)
    out = net.forward(x)
    grads = {name: g.copy() for name, g in net.backward(loss.backward(out, y)).items()}
    assert set(grads) == set(net.params)
    for name, w in net.params.items():
        numeric = np.empty(w.shape)
        for i in np.ndindex(w.shape):
            old = w[i]
            w[i] = old + h
            up = value()
            w[i] = old - h
            numeric[i] = (up - value()) / (2 * h)
            w[i] = old
        np.testing.assert_allclose(grads[name], numeric, rtol=1e-5, atol=2e-8, err_msg=name)


def test_the_penalty_is_the_mean_number_of_open_gates_over_many_draws():
    net = L0Gated(_net(), strength=1.0, start=0.5, units=True)
    for name in ("gate W1", "gate W2"):
        net.params[name][...] = _rng(7).normal(scale=2, size=net.params[name].shape)
    net.forward(np.zeros((1, 6)))

    counts = []
    for _ in range(4000):
        net.forward(np.zeros((1, 6)))
        counts.append(np.count_nonzero(net.model.params["W1"]) + np.count_nonzero(net.model.params["W2"]))

    assert abs(np.mean(counts) - net.expected_l0()) < 5 * np.std(counts) / np.sqrt(len(counts))
    assert net.reg["L0"] == pytest.approx(net.expected_l0())


def _task(n=240):
    """Ten inputs of which two decide."""
    x = _rng(8).normal(size=(n, 10)).astype(np.float32)
    y = (x[:, 0] > 0) * 2 + (x[:, 1] > 0)
    return [{"image": a, "label": int(b)} for a, b in zip(x, y, strict=True)]


def _solver(model, *callbacks):
    samples = _task()
    loaders = DataLoader(samples[:160], 32, shuffle=True), DataLoader(samples[160:], 80)
    return Solver(model, *loaders, learning_rate=0.03, verbose=False, callbacks=callbacks)


def _small(seed=0):
    return ClassificationNet(Relu(), 2, 10, 16, "he", 4, rng=_rng(seed))


def test_training_closes_gates_and_keeps_the_accuracy_with_the_inputs_that_matter():
    plain = _solver(_small())
    plain.train(60)
    net = L0Gated(_small(), strength=2e-3, units=True)
    solver = _solver(net)
    solver.train(60)
    solver.best_params = None  # the last epoch has the fewest open gates

    pruned = net.pruned()

    kept = np.flatnonzero(np.abs(pruned.params["W1"]).sum(axis=1))
    assert {0, 1} <= set(kept) and len(kept) < 10
    before, after = (s.get_dataset_accuracy(s.val_dataloader) for s in (plain, solver))
    assert after > before - 0.05


def test_without_a_penalty_and_with_open_gates_it_is_the_inner_network():
    inner = _small()
    net, x = L0Gated(_small(), strength=0.0, start=1 - 1e-9), _rng(9).normal(size=(3, 10)).astype(np.float32)
    net.eval()

    np.testing.assert_array_equal(net.forward(x), inner.forward(x))
    assert net.forward(x).dtype == np.float32


def test_the_pruned_copy_predicts_the_same_holds_zeros_and_can_be_saved_loaded_and_exported(tmp_path):
    net = L0Gated(ClassificationNet(Relu(), 2, 12, 8, "he", 4), strength=0.0)
    net.params["gate W1"][:6] = -5.0
    net.eval()
    x = _rng(10).random((3, 12), dtype=np.float32)
    expected = net.forward(x)

    pruned = net.pruned()

    np.testing.assert_array_equal(pruned.forward(x), expected)
    assert count_nonzeros(pruned.params)["W1"] == (48, 96)
    again = ClassificationNet.load_model(net.save_model(tmp_path / "net.npz"))
    again.eval()
    np.testing.assert_array_equal(again.forward(x), expected)
    assert export_onnx(net, tmp_path / "net.onnx", input_shape=(3, 2, 2)).exists()  # compares the logits itself


def test_an_interrupted_run_goes_on_with_the_same_noise(tmp_path):
    whole = _solver(L0Gated(_small(), strength=1e-3))
    whole.train(4)
    _solver(L0Gated(_small(), strength=1e-3), Checkpoint(tmp_path / "run.npz")).train(2)
    again = _solver(L0Gated(_small(), strength=1e-3))
    resume(again, tmp_path / "run.npz")
    again.train(2)

    assert again.train_batch_loss == whole.train_batch_loss


@pytest.mark.parametrize(
    "settings", [{"strength": -1}, {"strength": np.nan}, {"start": 0.0}, {"start": 1.0}, {"names": ["W9"]}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="strength|start|names"):
        L0Gated(_net(), **settings)
