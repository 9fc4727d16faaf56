"""Loss slices and smoothness on problems whose answer is known, against torch, and without a trace in the model."""

import copy
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from exercise_code import plots_landscape
from exercise_code.data import DataLoader
from exercise_code.landscape import loss_plane, loss_slice, probe_gradient, probe_training, random_direction
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Tanh
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD, Adam


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _regression(features=4, n=12):
    """A linear network under the mean squared error: its loss is a quadratic form of its weights."""
    rng = np.random.default_rng(0)
    net = ClassificationNet(num_layer=1, input_size=features, num_classes=1, std=1.0, dtype=np.float64)
    x, y = rng.standard_normal((n, features)), rng.standard_normal((n, 1))
    design = np.column_stack([x, np.ones(n)])
    return net, x, y, 2 * design.T @ design / n  # Hessian in (W, b)


def _classifier(**settings):
    rng = np.random.default_rng(1)
    net = ClassificationNet(Tanh(), 3, 6, 5, "xavier", 3, dtype=np.float64, **settings)
    return net, rng.standard_normal((9, 6)), rng.integers(3, size=9)


def test_filter_normalised_directions_have_the_norm_of_each_neurons_weights():
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((5, 3)), "conv": rng.standard_normal((4, 2, 3, 3)), "gamma": np.ones(3)}

    direction = random_direction(params, rng=rng)

    np.testing.assert_allclose(np.linalg.norm(direction["W"], axis=0), np.linalg.norm(params["W"], axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(direction["conv"].reshape(4, -1), axis=1),
        np.linalg.norm(params["conv"].reshape(4, -1), axis=1),
        rtol=1e-12,
    )
    assert not direction["gamma"].any()


def test_layer_normalised_directions_have_the_norm_of_each_array():
    params = {"W": np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)}

    direction = random_direction(params, normalise="layer")

    assert np.linalg.norm(direction["W"]) == pytest.approx(np.linalg.norm(params["W"]), rel=1e-6)
    assert direction["W"].dtype == np.float32


def test_unknown_normalisations_are_refused():
    with pytest.raises(ValueError, match='"filter" or "layer"'):
        random_direction({}, normalise="none")


def test_filter_normalisation_sees_no_difference_between_relu_networks_that_compute_the_same():
    """W1 times 10 and W2 divided by 10 is the same function; without normalisation its slice would look flat."""
    rng = np.random.default_rng(0)
    net = ClassificationNet(Relu(), 2, 6, 5, "he", 3, dtype=np.float64)
    scaled = copy.deepcopy(net)
    scaled.params["W1"] *= 10
    scaled.params["W2"] /= 10
    x, y = rng.standard_normal((9, 6)), rng.integers(3, size=9)

    slices = [
        loss_slice(each, CrossEntropyFromLogits, x, y, random_direction(each.params)).losses for each in (net, scaled)
    ]

    np.testing.assert_allclose(slices[0], slices[1], rtol=1e-10)


def test_a_slice_through_a_quadratic_loss_is_its_parabola():
    net, x, y, hessian = _regression()
    direction = random_direction(net.params)
    d = np.append(direction["W1"].ravel(), direction["b1"])
    net.train()
    net.backward(MSE().backward(net.forward(x), y))
    g = np.append(net.grads["W1"].ravel(), net.grads["b1"])

    line = loss_slice(net, MSE, x, y, direction)

    expected = MSE()(net.forward(x), y) + line.alphas * (g @ d) + line.alphas**2 * (d @ hessian @ d) / 2
    np.testing.assert_allclose(line.losses, expected, rtol=1e-10)


def test_the_line_to_another_network_ends_at_its_loss():
    net, x, y = _classifier()
    other, _, _ = _classifier(rng=np.random.default_rng(9))
    direction = {name: other.params[name] - w for name, w in net.params.items()}

    line = loss_slice(net, CrossEntropyFromLogits(), x, y, direction, [0, 1])

    expected = [CrossEntropyFromLogits()(each.forward(x), y) for each in (net, other)]
    np.testing.assert_allclose(line.losses, expected, rtol=1e-10)


def test_a_plane_contains_the_slices_along_its_axes():
    net, x, y = _classifier()
    rng = np.random.default_rng(0)
    one, two = random_direction(net.params, rng=rng), random_direction(net.params, rng=rng)

    plane = loss_plane(net, CrossEntropyFromLogits, x, y, (one, two), [-1, 0, 0.5], [0, 2])

    assert plane.losses.shape == (3, 2)
    np.testing.assert_allclose(
        plane.losses[:, 0], loss_slice(net, CrossEntropyFromLogits, x, y, one, [-1, 0, 0.5]).losses, rtol=1e-12
    )
    np.testing.assert_allclose(
        plane.losses[1], loss_slice(net, CrossEntropyFromLogits, x, y, two, [0, 2]).losses, rtol=1e-12
    )


def test_far_out_a_slice_is_not_finite_without_a_warning_and_can_be_drawn():
    net = ClassificationNet(Relu(), 3, 6, 5, "he", 3)
    x, y = np.ones((2, 6), dtype=np.float32), np.array([0, 1])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = loss_slice(net, CrossEntropyFromLogits, x, y, random_direction(net.params), [0, 1, 1e20])

    assert np.isfinite(line.losses[:2]).all()
    assert not np.isfinite(line.losses[2])
    plots_landscape.plot_loss_slice({"net": line}, log=True)


def test_a_direction_of_another_shape_is_refused():
    net, x, y = _classifier()

    with pytest.raises(ValueError, match="names and shapes"):
        loss_slice(net, CrossEntropyFromLogits, x, y, {"W1": np.ones((6, 5))})


def test_effective_smoothness_of_a_quadratic_is_that_of_its_hessian():
    net, x, y, hessian = _regression()

    probe = probe_gradient(net, MSE, x, y, [0.01, 0.1, 1.0])

    net.backward(MSE().backward(net.forward(x), y))
    g = np.append(net.grads["W1"].ravel(), net.grads["b1"])
    curvature = np.linalg.norm(hessian @ g) / np.linalg.norm(g)
    np.testing.assert_allclose(probe.smoothness, curvature, rtol=1e-8)
    assert probe.beta <= np.linalg.eigvalsh(hessian).max() * (1 + 1e-12)
    assert probe.grad_norm == pytest.approx(np.linalg.norm(g), rel=1e-12)
    expected = probe.loss - probe.step_sizes * (g @ g) + probe.step_sizes**2 * (g @ hessian @ g) / 2
    np.testing.assert_allclose(probe.losses, expected, rtol=1e-10)


def test_losses_and_gradient_changes_equal_torchs():
    net, x, y = _classifier(reg=0.05)
    steps = [0.1, 1.0]
    tensors = [torch.tensor(w) for w in net.params.values()]

    def loss_and_grads(values):
        values = [value.clone().requires_grad_() for value in values]
        out = torch.tensor(x)
        for i in range(0, 6, 2):
            out = out @ values[i] + values[i + 1]
            out = torch.tanh(out) if i < 4 else out
        loss = torch.nn.functional.cross_entropy(out, torch.tensor(y)) + 0.05 * sum((w**2).sum() for w in values[::2])
        loss.backward()
        return loss.item(), [value.grad for value in values]

    start, grads = loss_and_grads(tensors)
    expected = [loss_and_grads([w - step * g for w, g in zip(tensors, grads, strict=True)]) for step in steps]
    changes = [
        torch.sqrt(sum(((g - h) ** 2).sum() for g, h in zip(grads, there, strict=True))).item() for _, there in expected
    ]

    probe = probe_gradient(net, CrossEntropyFromLogits, x, y, steps)

    assert probe.loss == pytest.approx(start, rel=1e-10)
    np.testing.assert_allclose(probe.losses, [loss for loss, _ in expected], rtol=1e-10)
    np.testing.assert_allclose(probe.changes, changes, rtol=1e-10)


def test_a_gradient_of_zero_has_no_curvature_to_show():
    net = ClassificationNet(num_layer=1, input_size=2, num_classes=1, std=0.0, dtype=np.float64)

    assert probe_gradient(net, MSE, np.ones((3, 2)), np.zeros((3, 1)), [1.0]).beta == 0


@pytest.mark.parametrize("steps", [[], [0.0], [-1.0], [np.nan]])
def test_step_sizes_that_are_not_positive_are_refused(steps):
    net, x, y = _classifier()

    with pytest.raises(ValueError, match="positive step sizes"):
        probe_gradient(net, CrossEntropyFromLogits, x, y, steps)


def _loader(n=20, **settings):
    rng = np.random.default_rng(2)
    return DataLoader([{"image": rng.standard_normal(6), "label": i % 3} for i in range(n)], 8, **settings)


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_probes_along_training_leave_model_and_loader_as_they_were(optimizer):
    net, _, _ = _classifier()
    before, loader, twin = copy.deepcopy(net.params), _loader(shuffle=True), _loader(shuffle=True)

    history = probe_training(net, CrossEntropyFromLogits, loader, optimizer=optimizer, steps=7, every=2)

    assert history.steps.tolist() == [0, 2, 4, 6]
    assert history.losses.shape == history.changes.shape == (4, 4)
    assert (history.beta > 0).all()
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, before[name])
    for ours, untouched in zip(loader, twin, strict=True):
        np.testing.assert_array_equal(ours["label"], untouched["label"])


def test_a_step_of_the_training_rate_lands_where_sgd_lands():
    net, _, _ = _classifier()
    loader = _loader(n=8)

    history = probe_training(net, CrossEntropyFromLogits, loader, learning_rate=0.3, steps=2, every=1, factors=[0.5, 1])

    assert history.losses[0, 1] == pytest.approx(history.probes[1].loss, rel=1e-12)


def test_probing_without_batches_or_steps_is_refused():
    net, _, _ = _classifier()

    with pytest.raises(ValueError, match="no batch"):
        probe_training(net, CrossEntropyFromLogits, _loader(n=4, drop_last=True))
    with pytest.raises(ValueError, match="at least 1"):
        probe_training(net, CrossEntropyFromLogits, _loader(), steps=0)


def test_the_slice_plot_marks_the_network_itself():
    net, x, y = _classifier()
    line = loss_slice(net, CrossEntropyFromLogits, x, y, random_direction(net.params))

    axes = plots_landscape.plot_loss_slice({"net": line}).axes[0]

    assert axes.lines[1].get_xdata().tolist() == [0.0]


@pytest.mark.parametrize("constant", [False, True])
def test_the_plane_plot_has_a_panel_per_network(constant):
    net, x, y = _classifier()
    rng = np.random.default_rng(0)
    pair = (random_direction(net.params, rng=rng), random_direction(net.params, rng=rng))
    if constant:
        pair = tuple({name: 0 * d for name, d in direction.items()} for direction in pair)
    plane = loss_plane(net, CrossEntropyFromLogits, x, y, pair, [-1, 0, 1], [-1, 0, 1])

    figure = plots_landscape.plot_loss_plane({"one": plane, "two": plane})
    figure.canvas.draw()

    assert [axes.get_title() for axes in figure.axes[:2]] == ["one", "two"]


def test_the_smoothness_plot_shows_three_pictures():
    net, _, _ = _classifier()
    history = probe_training(net, CrossEntropyFromLogits, _loader(), steps=4, every=1)

    figure = plots_landscape.plot_smoothness({"net": history})

    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), history.beta)
