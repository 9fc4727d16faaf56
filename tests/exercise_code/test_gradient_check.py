"""The gradient check: right gradients pass for every seed, wrong ones are found and named, and nothing is touched."""

import copy
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code import plots_diagnostics
from exercise_code.gradient_check import check_layer, check_network
from exercise_code.model_probe import Probe, cast, draw_samples
from exercise_code.networks import ClassificationNet
from exercise_code.networks.classification_net import Network
from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh, affine_backward, affine_forward
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.numeric_derivative import numeric_derivative


def _net(activation=None, **settings):
    return ClassificationNet(activation or LeakyRelu(), 3, 12, 8, "he", 4, **settings)


def _batch(n=5, dtype=np.float32):
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 12)).astype(dtype), rng.integers(4, size=n)


class _Noisy(Network):
    """x W with dropout and a running mean: everything that a forward pass may change."""

    def __init__(self):
        super().__init__()
        self.params = {"W": np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)}
        self.rng = np.random.default_rng(1)
        self.running = np.zeros(12, dtype=np.float32)

    def forward(self, X):
        self.running = 0.9 * self.running + 0.1 * X.mean(axis=0)
        self.mask = self.rng.random(X.shape) < 0.5
        self.x = X * self.mask
        return self.x @ self.params["W"]

    def backward(self, dy):
        self.grads["W"] = self.x.T @ dy
        return self.grads


class _Wrong(ClassificationNet):
    def backward(self, dy):
        grads = super().backward(dy)
        grads["W2"] = grads["W2"] - 2 * self.reg_strength * self.params["W2"]
        return grads


@pytest.mark.parametrize("activation", [Sigmoid(), Tanh(), Relu(), LeakyRelu()], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1.0, 30.0])
def test_right_activations_pass_for_every_seed_even_when_inputs_lie_on_the_kink(activation, scale):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        x = scale * rng.standard_normal((3, 7))
        x[0, 0] = 0.0

        check = check_layer(activation.forward, activation.backward, x, rng=rng)

        assert check.passed, check


def test_an_entry_on_the_kink_is_left_out_and_counted():
    check = check_layer(Relu().forward, Relu().backward, np.array([-1.0, 0.0, 2.0, 3e-7]))

    assert (len(check["x"].indices), check["x"].skipped) == (2, 2)
    assert check["x"].indices.tolist() == [0, 2]


def test_a_layer_with_several_inputs_gets_a_row_for_each():
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((3, 4)), "w": rng.standard_normal((4, 5)), "b": rng.standard_normal(5)}

    check = check_layer(affine_forward, affine_backward, inputs)

    assert check.passed
    assert check.max_error < 1e-8
    assert [(row.name, len(row.indices), row.informative) for row in check.rows] == [
        ("x", 12, 12),
        ("w", 20, 20),
        ("b", 5, 5),
    ]


def test_the_numeric_side_equals_torchs_gradient():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 6))
    check = check_layer(Tanh().forward, Tanh().backward, x, rng=np.random.default_rng(5))
    tensor = torch.tensor(x, requires_grad=True)
    torch.tanh(tensor).backward(torch.tensor(np.random.default_rng(5).standard_normal(x.shape)))

    expected = tensor.grad.numpy().ravel()[check["x"].indices]
    np.testing.assert_allclose(check["x"].numeric, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(check["x"].analytic, expected, rtol=1e-10)


def test_a_gradient_that_is_wrong_in_one_entry_is_found_there():
    def backward(dout, out):
        dx = Tanh().backward(dout, out)
        dx[1, 2] *= 1.0001
        return dx

    check = check_layer(Tanh().forward, backward, np.random.default_rng(0).standard_normal((2, 3)))

    assert not check.passed
    assert check["x"].worst == (1, 2)
    assert "WRONG at (1, 2)" in str(check)


def test_batch_norm_without_its_mean_term_is_caught_although_ones_from_above_would_hide_it():
    def forward(x):
        centred = x - x.mean(axis=0)
        std = np.sqrt((centred**2).mean(axis=0) + 1e-5)
        return centred / std, (centred / std, std)

    def right(dout, cache):
        out, std = cache
        return (dout - dout.mean(axis=0) - out * (dout * out).mean(axis=0)) / std

    def wrong(dout, cache):  # twice the right gradient of nothing is nothing
        return 2 * right(dout, cache)

    x = np.random.default_rng(0).standard_normal((6, 3))
    assert np.abs(wrong(np.ones((6, 3)), forward(x)[1])).max() < 1e-4

    assert check_layer(forward, right, x).passed
    assert not check_layer(forward, wrong, x).passed


def test_a_layer_that_writes_into_its_arguments_has_a_fault():
    def backward(dout, mask):
        dout *= mask
        return dout

    check = check_layer(Relu().forward, backward, np.array([-1.0, 2.0]))

    assert check.faults == ("the layer writes into dout",)
    assert not check.passed


def test_a_nan_in_the_gradient_fails_the_check():
    check = check_layer(Tanh().forward, lambda dout, out: dout * np.nan, np.ones(3))

    assert check.max_error == np.inf
    assert not check.passed


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "message"),
    [
        (lambda x: (x.astype(np.float32), None), None, np.ones(3), "float64"),
        (lambda x: (x * np.inf, None), None, np.ones(3), "finite"),
        (lambda x: (x[:0], None), None, np.empty((0, 3)), "empty"),
        (lambda x: (2 * x, None), lambda dout, _: dout[:1], np.ones(3), "shapes"),
        (lambda x: (2 * x, None), lambda dout, _: (dout, dout), np.ones(3), "shapes"),
    ],
)
def test_layers_that_cannot_be_checked_are_refused(forward, backward, inputs, message):
    with pytest.raises(ValueError, match=message):
        check_layer(forward, backward, inputs)


def test_a_layer_that_draws_new_random_numbers_each_time_is_refused():
    rng = np.random.default_rng(0)

    with pytest.raises(ValueError, match="fixed mask"):
        check_layer(lambda x: (x * rng.random(x.shape), None), lambda dout, _: dout, np.ones(3))


@pytest.mark.parametrize("name", ["max_coordinates", "rtol", "atol"])
def test_settings_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match="positive"):
        check_layer(Tanh().forward, Tanh().backward, np.ones(2), **{name: 0})


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), features=st.integers(1, 5), outputs=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_affine_layers_of_every_shape_pass_without_a_warning(n, features, outputs, seed):
    rng = np.random.default_rng(seed)
    shapes = ((n, features), (features, outputs), (outputs,))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = check_layer(affine_forward, affine_backward, [rng.standard_normal(shape) for shape in shapes])

    assert check.passed, check


@pytest.mark.parametrize("activation", [Sigmoid(), Tanh(), Relu(), LeakyRelu()], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize(
    "loss", [CrossEntropyFromLogits, CrossEntropyFromLogits(), None], ids=["class", "object", "default"]
)
def test_every_parameter_of_a_right_float32_network_passes(activation, loss):
    x, y = _batch()

    check = check_network(_net(activation, reg=0.1), loss, x, y)

    assert check.passed, check
    assert [row.name for row in check.rows] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert check.max_error < 1e-6


def test_right_networks_pass_for_every_seed():
    for seed in range(40):  # with seed 9 a sample is let through by no unit of layer 1, so all b2 sit on a kink
        rng = np.random.default_rng(seed)
        net = ClassificationNet(Relu(), 3, 6, 7, "he", 3, reg=0.1, rng=rng)

        check = check_network(
            net, CrossEntropyFromLogits, rng.standard_normal((7, 6)), rng.integers(3, size=7), rng=rng
        )

        assert check.passed, check


def test_a_forgotten_regularisation_term_is_found_in_its_parameter_and_nowhere_else():
    x, y = _batch()

    check = check_network(_Wrong(Relu(), 3, 12, 8, "he", 4, reg=1e-2), CrossEntropyFromLogits, x, y)

    assert [row.name for row in check.rows if not row.passed] == ["W2"]


def test_other_losses_are_checked_with_their_own_targets():
    x, _ = _batch()

    assert check_network(_net(), MSE(), x, np.zeros((5, 4))).passed


def test_missing_and_misshapen_gradients_are_faults():
    class Forgetful(ClassificationNet):
        def backward(self, dy):
            grads = super().backward(dy)
            del grads["b1"]
            grads["W1"] = grads["W1"].T
            return grads

    x, y = _batch()
    check = check_network(Forgetful(None, 2, 12, 8), CrossEntropyFromLogits, x, y)

    assert not check.passed
    assert check.faults == (
        "the gradient of W1 has shape (8, 12) instead of (12, 8)",
        "backward left no gradient for b1",
    )
    with pytest.raises(KeyError, match="known are"):
        check["b1"]


def test_dropout_and_running_statistics_are_the_same_in_every_pass_and_stay_as_they_were():
    model = _Noisy()
    before = copy.deepcopy(model)
    x, y = _batch()

    check = check_network(model, CrossEntropyFromLogits, x, y)

    assert check.passed, check
    np.testing.assert_array_equal(model.params["W"], before.params["W"])
    np.testing.assert_array_equal(model.running, before.running)
    assert model.rng.bit_generator.state == before.rng.bit_generator.state
    assert model.grads == {}
    assert model.params["W"].dtype == np.float32


def test_the_same_seed_checks_the_same_entries_with_the_same_result():
    x, y = _batch()
    one, two = (check_network(_net(), CrossEntropyFromLogits, x, y, max_coordinates=5) for _ in range(2))

    assert [row.indices.tolist() for row in one.rows] == [row.indices.tolist() for row in two.rows]
    assert str(one) == str(two)
    assert all(len(row.indices) <= 5 for row in one.rows)


def test_a_loss_that_is_not_finite_is_refused():
    x, y = _batch()

    with pytest.raises(ValueError, match="not finite"):
        check_network(_net(), CrossEntropyFromLogits, np.full_like(x, np.nan), y)


def test_the_numeric_derivative_puts_the_entry_back_and_is_exact_to_ten_digits():
    x = np.array([0.3, 2.0])

    slope = numeric_derivative(lambda: np.exp(x) * np.sin(x), np.array([1.0, 0.0]), x, 0, lambda d: 1e-8)

    np.testing.assert_allclose(slope, np.exp(0.3) * (np.sin(0.3) + np.cos(0.3)), rtol=1e-10)
    np.testing.assert_array_equal(x, [0.3, 2.0])


@pytest.mark.parametrize("place", [0.0, 1 / 10, 1 / 3, 0.5, 0.7, 0.9])
def test_a_kink_anywhere_within_the_smallest_step_is_seen(place):
    x = np.array([0.0])

    assert numeric_derivative(lambda: np.abs(x - place * 1e-6), np.ones(1), x, 0, lambda d: 1e-7) is None


def test_a_cast_keeps_shared_arrays_shared_and_leaves_integers_alone():
    class Holder:
        pass

    holder = Holder()
    holder.params = {"W": np.ones(2, dtype=np.float32)}
    holder.layers = [(holder.params["W"], np.arange(2))]
    holder.dtype, holder.kind, holder.itself = np.dtype(np.float32), np.float32, holder

    cast(holder, np.dtype(np.float64))

    assert holder.params["W"].dtype == np.float64
    assert holder.layers[0][0] is holder.params["W"]
    assert holder.layers[0][1].dtype.kind == "i"
    assert (holder.dtype, holder.kind) == (np.float64, np.float64)


def test_a_probe_computes_the_training_loss_with_and_the_evaluation_loss_without_regularisation():
    x, y = _batch()
    net = _net(reg=0.5)
    probe = Probe(net, CrossEntropyFromLogits, x, y)
    net.train()
    data = CrossEntropyFromLogits()(net.forward(x), y)

    assert probe.loss(probe.params, training=False) == pytest.approx(data, rel=1e-6)
    assert probe.loss(probe.params) == pytest.approx(data + sum(net.reg.values()), rel=1e-6)


def test_drawn_samples_are_distinct_and_leave_the_augmentations_generator_alone():
    from exercise_code.data.dataset import ArrayDataset
    from exercise_code.data.transforms import RandomHorizontalFlip

    flip = RandomHorizontalFlip(0.5, np.random.default_rng(0))
    state = copy.deepcopy(flip.rng.bit_generator.state)
    data = ArrayDataset(np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1), np.arange(6), flip)

    _, labels = draw_samples(data, 4, np.random.default_rng(1))

    assert len(set(labels.tolist())) == 4
    assert flip.rng.bit_generator.state == state


def test_the_plot_has_a_row_per_parameter_and_says_which_is_wrong():
    x, y = _batch()
    check = check_network(_Wrong(Relu(), 3, 12, 8, "he", 4, reg=1e-2), CrossEntropyFromLogits, x, y)

    axes = plots_diagnostics.plot_gradient_check(check).axes[0]

    assert [label.get_text() for label in axes.get_yticklabels()] == list(_net().params)
    assert [text.get_text() for text in axes.texts][:6] == ["ok", "ok", "wrong", "ok", "ok", "ok"]
    assert "wrong" in axes.get_title(loc="left")
    plt.close("all")
