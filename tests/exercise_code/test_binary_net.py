"""Sign networks: torch's autograd as the oracle of the straight-through gradient, training, files and refusals."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import numpy_helper
from scipy.optimize import minimize_scalar

from exercise_code.data import DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.binary_net import BinaryNet, binarize
from exercise_code.networks.layer import Relu, Tanh
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.onnx_export import export_onnx
from exercise_code.solver import Solver


def _make(**changes):
    defaults = {"activation": Tanh, "num_layer": 3, "input_size": 6, "hidden_size": 5, "num_classes": 4, "std": 0.6}
    return BinaryNet(**defaults | {"dtype": np.float64} | changes)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((7, 6)), rng.integers(4, size=7)


@pytest.mark.parametrize("scale", [False, True])
def test_logits_and_straight_through_gradients_equal_torchs_autograd(batch, scale):
    net = _make(scale=scale)
    x, y = batch
    real = {name: torch.tensor(np.clip(w, -1, 1), requires_grad=True) for name, w in net.params.items()}

    def signs(w):
        passed_through = w + (torch.sign(w) - w).detach()  # value: the sign; derivative: 1
        return passed_through * w.abs().mean(dim=0) if scale else passed_through

    h = torch.tensor(x)
    for i in (1, 2, 3):
        h = h @ signs(real[f"W{i}"]) + real[f"b{i}"]
        h = torch.tanh(h) if i < 3 else h
    torch.nn.functional.cross_entropy(h, torch.tensor(y)).backward()

    logits = net.forward(x)
    net.backward(CrossEntropyFromLogits().backward(logits, y))

    np.testing.assert_allclose(logits, h.detach().numpy(), rtol=1e-10)
    assert list(net.grads) == [name for i in (3, 2, 1) for name in (f"W{i}", f"b{i}")]
    for name, tensor in real.items():
        np.testing.assert_allclose(net.grads[name], tensor.grad.numpy(), rtol=1e-10, atol=1e-13, err_msg=name)


def test_real_weights_have_no_gradient_by_finite_differences_and_biases_have_the_one_reported(batch):
    net = _make(scale=False)
    x, _ = batch
    upstream = np.random.default_rng(1).standard_normal((7, 4))
    net.forward(x)
    grads = {name: g.copy() for name, g in net.backward(upstream).items()}

    def slope(name, index, h=1e-6):
        values = []
        for step in (h, -h):
            net.params[name][index] += step
            values.append(float(np.vdot(net.forward(x), upstream)))
            net.params[name][index] -= step
        return (values[0] - values[1]) / (2 * h)

    assert slope("W1", (2, 3)) == 0 != grads["W1"][2, 3]
    for i in range(5):
        assert slope("b1", (i,)) == pytest.approx(grads["b1"][i], rel=1e-6, abs=1e-8)


def test_without_scale_the_weight_gradient_is_that_of_a_real_net_with_those_signs(batch):
    net = _make(scale=False)
    twin = ClassificationNet(Tanh, 3, 6, 5, 0.0, 4, dtype=np.float64)
    twin.params = net.effective_params()
    x, _ = batch
    upstream = np.random.default_rng(1).standard_normal((7, 4))

    np.testing.assert_array_equal(net.forward(x), twin.forward(x))
    ours, theirs = net.backward(upstream), twin.backward(upstream)
    for name, grad in theirs.items():
        np.testing.assert_array_equal(ours[name], grad)


def test_the_size_of_a_column_is_the_best_one_in_least_squares():
    w = np.random.default_rng(0).uniform(-1, 1, (9, 3))
    sizes = np.abs(binarize(w))[0]

    for column, size in zip(w.T, sizes, strict=True):
        best = minimize_scalar(lambda a, column=column: np.sum((column - a * np.sign(column)) ** 2)).x
        assert size == pytest.approx(best, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    w=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-100, 100, width=32, allow_subnormal=False),
    ),
    scale=st.booleans(),
)
def test_binarising_twice_changes_nothing_and_the_argument_stays(w, scale):
    before = w.copy()
    once = binarize(w, scale)

    np.testing.assert_array_equal(binarize(once, scale), once)
    np.testing.assert_array_equal(w, before)
    assert once.dtype == np.float32
    assert np.isfinite(once).all()
    assert (np.abs(once) <= 1).all()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 5),
    sizes=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    layers=st.integers(1, 4),
    magnitude=st.sampled_from([0.0, 1e-30, 1.0, 1e6]),
    scale=st.booleans(),
)
def test_any_shape_and_size_of_input_gives_finite_numbers_of_the_nets_dtype(n, sizes, layers, magnitude, scale):
    net = BinaryNet(Relu, layers, sizes[0], sizes[1], "he", sizes[2], scale=scale)
    x = (magnitude * np.random.default_rng(n).standard_normal((n, sizes[0]))).astype(np.float32)
    before = x.copy()

    logits = net.forward(x)
    grads = net.backward(np.ones_like(logits))

    np.testing.assert_array_equal(x, before)
    for array in [logits, *grads.values()]:
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


def test_training_clips_the_real_weights_and_evaluation_leaves_them(batch):
    net = _make(std=5.0)
    before = net.params["W1"].copy()
    net.eval()
    net.forward(batch[0])
    np.testing.assert_array_equal(net.params["W1"], before)

    net.train()
    net.forward(batch[0])

    np.testing.assert_array_equal(net.params["W1"], np.clip(before, -1, 1))


def test_evaluation_and_training_compute_the_same(batch):
    net = _make(std=5.0)
    trained = net.forward(batch[0])
    net.eval()

    np.testing.assert_array_equal(net.forward(batch[0]), trained)


def _corners(n, seed):
    """Points whose class is whether both coordinates have one sign: no linear classifier can tell."""
    x = np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)
    return DataLoader([{"image": row, "label": int(row[0] * row[1] > 0)} for row in x], 32, shuffle=True)


@pytest.mark.parametrize(("scale", "batch_norm"), [(True, False), (False, True), (True, True)])
def test_the_solver_trains_signs_to_a_task_no_linear_net_can_do(scale, batch_norm):
    net = BinaryNet(Relu, 3, 2, 32, "xavier", 2, scale=scale, batch_norm=batch_norm)
    start = {name: w.copy() for name, w in net.effective_params().items()}
    solver = Solver(net, _corners(320, 0), _corners(160, 1), learning_rate=0.01, verbose=False)
    solver.train(epochs=30)

    assert net.get_dataset_prediction(_corners(400, 2))[2] > 0.9
    assert np.mean(np.sign(net.params["W2"]) != np.sign(start["W2"])) > 0.05  # signs did flip


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_exported_file_holds_signs_and_predicts_what_the_net_predicts(tmp_path, mode, batch_norm):
    import onnxruntime

    net = BinaryNet(Relu, 3, 12, 8, "he", 4, scale=False, batch_norm=batch_norm)
    net.forward(np.random.default_rng(1).random((9, 12), dtype=np.float32))  # moves the running statistics
    getattr(net, mode)()
    path = export_onnx(net, tmp_path / "binary.onnx", input_shape=(3, 2, 2))

    images = np.random.default_rng(0).random((5, 3, 2, 2), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images})
    net.eval()
    expected = net.forward(images.transpose(0, 2, 3, 1).reshape(5, -1) * 255)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert set(np.unique(stored["W3"])) == {-1.0, 1.0}


@pytest.mark.parametrize("scale", [False, True])
def test_a_saved_net_comes_back_with_its_real_weights_and_settings(tmp_path, batch, scale):
    net = _make(scale=scale, dropout=0.1)
    again = BinaryNet.load_model(net.save_model(tmp_path / "binary.npz"))

    assert type(again) is BinaryNet
    assert (again.scale, again.dropout) == (scale, 0.1)
    for name, w in net.params.items():
        np.testing.assert_array_equal(again.params[name], w)
    net.eval()
    again.eval()
    np.testing.assert_array_equal(again.forward(batch[0]), net.forward(batch[0]))


def test_backward_without_forward_and_settings_without_sense_are_refused():
    with pytest.raises(RuntimeError, match="forward pass in training mode"):
        _make().backward(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="reg must be 0 for a BinaryNet"):
        _make(reg=0.1)
    with pytest.raises(TypeError, match="scaling"):
        _make(scaling=True)
