"""The fully connected classifier against torch, finite differences and its own contract."""

import numpy as np
import pytest
import torch

from exercise_code.data import DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh
from exercise_code.networks.loss import CrossEntropyFromLogits


def _torch_twin(net, function):
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}

    def forward(x):
        x = torch.tensor(x)
        for i in range(1, net.num_layer + 1):
            x = x @ weights[f"W{i}"] + weights[f"b{i}"]
            x = function(x) if i < net.num_layer else x
        return x

    return weights, forward


@pytest.mark.parametrize("num_layer", [1, 2, 5])
@pytest.mark.parametrize(("activation", "function"), [(Sigmoid(), torch.sigmoid), (Relu, torch.relu)])
def test_logits_and_every_gradient_equal_torch_with_regularisation(num_layer, activation, function):
    net = ClassificationNet(activation, num_layer, 6, 5, 0.5, 4, reg=0.1, dtype=np.float64)
    weights, forward = _torch_twin(net, function)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 6)), rng.integers(4, size=7)
    penalty = sum(0.1 * (w**2).sum() for name, w in weights.items() if name.startswith("W"))
    loss = torch.nn.functional.cross_entropy(forward(x), torch.tensor(y)) + penalty
    loss.backward()

    logits = net.forward(x)
    ours = CrossEntropyFromLogits()
    total = ours(logits, y) + sum(net.reg.values())
    net.backward(ours.backward(logits, y))

    np.testing.assert_allclose(logits, forward(x).detach().numpy(), rtol=1e-10)
    assert total == pytest.approx(loss.item(), rel=1e-10)
    for name, tensor in weights.items():
        np.testing.assert_allclose(net.grads[name], tensor.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_parameters_and_results_are_float32_by_default():
    net = ClassificationNet(input_size=4)

    assert {w.dtype for w in net.params.values()} == {np.dtype(np.float32)}
    assert net.forward(np.zeros((2, 4))).dtype == np.float32


def test_equal_arguments_give_equal_networks_and_global_numpy_state_is_untouched():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()

    a, b = ClassificationNet(input_size=4), ClassificationNet(input_size=4)
    other = ClassificationNet(input_size=4, rng=np.random.default_rng(1))

    np.testing.assert_array_equal(a.params["W1"], b.params["W1"])
    assert not np.array_equal(a.params["W1"], other.params["W1"])
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_misspelt_settings_are_refused_instead_of_swallowed():
    with pytest.raises(TypeError, match="hiden_size"):
        ClassificationNet(hiden_size=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layer": 0}, "num_layer must be a whole number"),
        ({"hidden_size": 2.5}, "hidden_size must be a whole number"),
        ({"reg": -1}, "reg must not be negative"),
        ({"std": "kaiming"}, 'std must be a number >= 0, "he" or "xavier"'),
        ({"std": -0.1}, "std must be a number >= 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassificationNet(**settings)


def test_he_initialisation_keeps_the_signal_of_a_deep_net_alive_and_a_small_std_does_not():
    x = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)

    he = ClassificationNet(Relu(), 5, 64, 100, "he").forward(x).std()
    small = ClassificationNet(Relu(), 5, 64, 100, 1e-3).forward(x).std()

    assert 0.3 < he < 5
    assert small < 1e-6


def test_inputs_of_the_wrong_size_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"expected 3072 values per sample .* got 12"):
        ClassificationNet().forward(np.zeros((2, 3, 4)))


def test_backward_without_a_forward_pass_says_what_is_missing():
    with pytest.raises(RuntimeError, match="forward pass in training mode"):
        ClassificationNet(input_size=4).backward(np.zeros((1, 10)))


@pytest.mark.parametrize("activation", [Tanh(), LeakyRelu(slope=0.2)])
def test_a_saved_model_comes_back_with_equal_logits_and_holds_no_pickle(tmp_path, activation):
    net = ClassificationNet(activation, 3, 6, 5, "he", 4)
    x = np.random.default_rng(0).standard_normal((3, 6))

    path = net.save_model(tmp_path / "deep" / "net.npz")
    again = ClassificationNet.load_model(path)

    np.testing.assert_array_equal(again.forward(x), net.forward(x))
    with np.load(path, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "fU" for name in stored.files)


def test_a_file_that_save_model_did_not_write_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(1))

    with pytest.raises(ValueError, match="expected a file written by save_model"):
        ClassificationNet.load_model(tmp_path / "other.npz")


def test_prediction_covers_every_image_once_in_order_even_from_a_shuffling_dropping_loader():
    samples = [{"image": np.eye(10, dtype=np.float32)[i % 10], "label": i % 10} for i in range(25)]
    net = ClassificationNet(num_layer=1, input_size=10)
    net.params["W1"] = np.eye(10, dtype=np.float32)

    labels, predictions, accuracy = net.get_dataset_prediction(DataLoader(samples, 8, shuffle=True, drop_last=True))

    np.testing.assert_array_equal(labels, np.arange(25) % 10)
    np.testing.assert_array_equal(predictions, labels)
    assert accuracy == 1.0
    assert net.training


def test_two_networks_share_no_default_object():
    a, b = ClassificationNet(input_size=4), ClassificationNet(input_size=4)

    assert a.activation is not b.activation
    assert a.reg is not b.reg
    assert not np.shares_memory(a.params["W1"], b.params["W1"])


def _torch_with_batch_norm(net, x, y, drop_masks=()):
    """The same network in torch, float64, in training mode; returns (logits, loss, gradients by our names)."""
    weights = {name: torch.tensor(w, requires_grad=True) for name, w in net.params.items()}
    out = torch.tensor(x)
    for i in range(1, net.num_layer + 1):
        out = out @ weights[f"W{i}"]
        if i < net.num_layer:
            gamma, beta = weights[f"gamma{i}"], weights[f"beta{i}"]
            out = torch.nn.functional.batch_norm(out, None, None, gamma, beta, training=True, eps=1e-5)
            out = torch.relu(out)
        else:
            out = out + weights[f"b{i}"]
    loss = torch.nn.functional.cross_entropy(out, torch.tensor(y))
    loss.backward()
    return out.detach().numpy(), loss.item(), {name: w.grad.numpy() for name, w in weights.items()}


def test_batch_norm_between_the_layers_equals_torch_in_logits_and_every_gradient():
    net = ClassificationNet(Relu(), 3, 6, 5, "he", 4, batch_norm=True, dtype=np.float64)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 6)), rng.integers(4, size=9)
    logits, value, grads = _torch_with_batch_norm(net, x, y)

    loss = CrossEntropyFromLogits()
    ours = net.forward(x)
    net.backward(loss.backward(ours, y))

    np.testing.assert_allclose(ours, logits, rtol=1e-9, atol=1e-12)
    assert loss(ours, y) == pytest.approx(value, rel=1e-10)
    assert set(net.grads) == set(net.params) == set(grads)
    for name, grad in grads.items():
        np.testing.assert_allclose(net.grads[name], grad, rtol=1e-7, atol=1e-11, err_msg=name)


def test_evaluation_uses_running_statistics_so_one_image_is_enough_and_neighbours_do_not_matter():
    net = ClassificationNet(Relu(), 2, 6, 5, "he", 4, batch_norm=True)
    rng = np.random.default_rng(0)
    for _ in range(50):
        net.forward(rng.standard_normal((32, 6)).astype(np.float32))
    x = rng.standard_normal((8, 6)).astype(np.float32)
    net.eval()

    together, alone = net.forward(x), np.concatenate([net.forward(row[None]) for row in x])

    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_the_folded_layers_compute_what_evaluation_computes():
    net = ClassificationNet(Relu(), 3, 6, 5, "he", 4, batch_norm=True, dropout=0.3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        net.forward((3 + 2 * rng.standard_normal((32, 6))).astype(np.float32))
    net.params["gamma1"] += 0.5
    net.params["beta2"] -= 0.25
    net.eval()
    x = rng.standard_normal((4, 6)).astype(np.float32)

    out = x
    layers = net.inference_layers()
    for w, bias in layers[:-1]:
        out = np.maximum(0, out @ w + bias)
    out = out @ layers[-1][0] + layers[-1][1]

    np.testing.assert_allclose(net.forward(x), out, rtol=1e-4, atol=1e-5)


def test_dropout_changes_training_passes_only_and_leaves_the_initial_weights_as_they_were():
    plain, dropping = (ClassificationNet(Relu(), 2, 6, 50, "he", 4, dropout=drop) for drop in (0.0, 0.5))
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)

    np.testing.assert_array_equal(plain.params["W2"], dropping.params["W2"])
    assert not np.array_equal(dropping.forward(x), dropping.forward(x))
    dropping.eval()
    plain.eval()
    np.testing.assert_array_equal(dropping.forward(x), plain.forward(x))


def test_the_gradient_goes_through_the_very_mask_of_the_forward_pass():
    net = ClassificationNet(Relu(), 2, 6, 8, "he", 3, dropout=0.5, dtype=np.float64)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((4, 6)), rng.standard_normal((4, 3))
    state = net.rng.bit_generator.state
    net.forward(x)
    grad = net.backward(dy)["W1"].copy()

    def value(w):
        net.rng.bit_generator.state = state
        net.params["W1"] = w
        return float((net.forward(x) * dy).sum())

    w = net.params["W1"].copy()
    for index in [(0, 0), (3, 5), (5, 7)]:
        up, down = w.copy(), w.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        assert (value(up) - value(down)) / 2e-6 == pytest.approx(grad[index], rel=1e-5, abs=1e-7)


def test_a_saved_model_with_batch_norm_comes_back_with_its_statistics(tmp_path):
    net = ClassificationNet(Relu(), 2, 6, 5, "he", 4, batch_norm=True, dropout=0.2)
    net.forward(np.random.default_rng(0).standard_normal((16, 6)))
    net.eval()
    x = np.random.default_rng(1).standard_normal((3, 6))

    again = ClassificationNet.load_model(net.save_model(tmp_path / "net.npz"))
    again.eval()

    assert (again.batch_norm, again.dropout) == (True, 0.2)
    np.testing.assert_array_equal(again.forward(x), net.forward(x))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(ValueError, match="probability to drop a unit"):
        ClassificationNet(dropout=dropout)
