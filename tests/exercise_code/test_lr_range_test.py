"""The learning-rate range test: leaves no trace, records what a plain loop would, and finds the steep place of a curve."""

import copy

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.signal

from exercise_code.data import ArrayDataset, DataLoader
from exercise_code.lr_range_test import LRRangeResult, lr_range_test
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD, Adam, Nesterov

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def loader():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    images = rng.standard_normal((240, 6)).astype(np.float32)
    images[np.arange(240), labels] += 3
    return DataLoader(ArrayDataset(images, labels), 16, shuffle=True)


def _net(**settings):
    return ClassificationNet(
        activation=Relu, input_size=6, hidden_size=16, num_classes=3, **{"std": "he", "dtype": np.float64} | settings
    )


class Scripted:
    """A model without weights: with a scripted loss it gives curves whose steep place is known."""

    def __init__(self):
        self.params, self.grads = {}, {}

    def train(self):
        pass

    def forward(self, X):
        return X

    def backward(self, dy):
        return {}


class ScriptedLoss:
    def __init__(self, values):
        self.values = iter(values)

    def __call__(self, y_out, y_truth):
        return float(next(self.values))

    def backward(self, y_out, y_truth):
        return y_out


def _scripted(values, **settings):
    batch = {"image": np.zeros((1, 1)), "label": np.zeros(1, dtype=int)}
    return lr_range_test(Scripted(), [batch], SGD, ScriptedLoss(values), num_steps=len(values), **settings)


@pytest.mark.parametrize("optimizer", [SGD, Nesterov, Adam])
def test_model_and_loader_stay_exactly_as_they_were(loader, optimizer):
    net = _net()
    net.eval()
    weights, arrays = {name: w.copy() for name, w in net.params.items()}, dict(net.params)
    state = copy.deepcopy(loader.rng.bit_generator.state)

    lr_range_test(net, loader, optimizer, lr_min=1e-3, num_steps=40)

    assert not net.training and not net.grads
    assert loader.rng.bit_generator.state == state
    for name, w in net.params.items():
        assert w is arrays[name]
        np.testing.assert_array_equal(w, weights[name])


def test_losses_are_those_of_a_plain_loop_with_growing_rates_over_several_epochs(loader):
    result = lr_range_test(_net(reg=0.01), loader, SGD, lr_min=1e-4, lr_max=0.1, num_steps=40)  # 15 batches an epoch

    net, loss_func, twin = _net(reg=0.01), CrossEntropyFromLogits(), loader.fork()
    batches = [batch for _ in range(3) for batch in twin][:40]
    expected = []
    for i, batch in enumerate(batches):
        y_pred = net.forward(batch["image"])
        expected.append(loss_func(y_pred, batch["label"]) + sum(net.reg.values()))
        net.backward(loss_func.backward(y_pred, batch["label"]))
        for name, w in net.params.items():
            w -= 1e-4 * 1000 ** (i / 39) * net.grads[name]

    np.testing.assert_allclose(result.losses, expected, rtol=1e-10)
    np.testing.assert_allclose(result.lrs, 1e-4 * 1000 ** (np.arange(40) / 39), rtol=1e-12)
    assert not result.diverged


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.98])
def test_smoothing_is_the_weighted_mean_of_all_losses_so_far(smoothing):
    losses = np.random.default_rng(1).uniform(1, 2, 30)

    result = _scripted(losses, smoothing=smoothing)

    weighted = scipy.signal.lfilter([1], [1, -smoothing], losses)
    np.testing.assert_allclose(result.smoothed, weighted / np.cumsum(smoothing ** np.arange(30)), rtol=1e-12)
    np.testing.assert_array_equal(result.losses, losses)
    assert result.smoothed[0] == pytest.approx(losses[0])


def test_a_constant_loss_is_not_bent_by_the_average_starting_at_zero():
    np.testing.assert_allclose(_scripted(np.full(20, 2.3)).smoothed, 2.3, rtol=1e-12)


@pytest.mark.parametrize("steepest", [1e-5, 1e-3, 1e-1])
@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_the_suggestion_lies_at_the_steepest_place_or_behind_it_by_the_delay_of_the_average(steepest, smoothing):
    lrs = np.geomspace(1e-7, 10, 100)
    noise = 0.01 * np.random.default_rng(2).standard_normal(100)
    losses = 2 - 1 / (1 + (steepest / lrs) ** 3) + (smoothing > 0) * noise

    result = _scripted(losses, smoothing=smoothing)

    delay = (lrs[1] / lrs[0]) ** (smoothing / (1 - smoothing))
    assert steepest / 1.2 <= result.suggestion <= steepest * delay * 1.2


@pytest.mark.parametrize("seed", range(10))
def test_the_noise_of_the_first_batches_is_not_taken_for_a_descent(seed):
    lrs = np.geomspace(1e-7, 10, 100)
    noise = 0.15 * np.random.default_rng(seed).standard_normal(100)

    result = _scripted(2.5 - 1 / (1 + (1e-2 / lrs) ** 2) + noise)

    assert 1e-3 < result.suggestion < 1e-1


def test_the_end_of_a_network_that_blew_up_and_died_is_not_taken_for_a_descent():
    lrs = np.geomspace(1e-7, 10, 100)
    losses = 3 - 0.6 / (1 + (1e-3 / lrs) ** 3)
    losses[70:75] = 6.0  # blows up ...
    losses[75:] = 2.3  # ... and is constant ever after, lower than it ever was

    result = _scripted(losses)

    assert 3e-4 < result.suggestion < 1e-2


@pytest.mark.parametrize("losses", [np.full(20, 2.3), np.linspace(1, 1.9, 20)])
def test_a_loss_that_never_falls_suggests_nothing(losses):
    result = _scripted(losses)

    assert result.suggestion is None
    assert result.plot().axes[0].get_xscale() == "log"


def test_the_test_stops_once_the_loss_has_left_its_start_and_four_times_its_lowest_value():
    losses = np.concatenate([np.full(10, 2.0), np.full(10, 1.0), np.geomspace(1, 1e6, 30)])

    result = _scripted(losses, smoothing=0.0)

    assert result.diverged
    assert result.losses[-1] > 4 >= result.losses[-2]
    assert len(result.lrs) == len(result.losses) == len(result.smoothed) < 50


def test_a_loss_near_zero_may_wobble_below_where_it_started():
    result = _scripted([2.0, 1.0, 0.001, 0.001, 0.5, 0.001, 0.5, 1.5, 1.9, 1.9], smoothing=0.0)

    assert not result.diverged


def test_a_loss_that_is_not_finite_stops_the_test_and_is_left_out():
    result = _scripted([2.0, 1.9, 1.7, 1.2, 1.0, float("nan"), 1.0])

    assert result.diverged
    assert result.losses.tolist() == [2.0, 1.9, 1.7, 1.2, 1.0]


@pytest.mark.parametrize("optimizer", [SGD, Nesterov])
def test_learning_rates_far_too_large_give_a_result_and_no_warning(loader, optimizer):
    result = lr_range_test(_net(dtype=np.float32), loader, optimizer, lr_max=1e6)

    assert result.diverged
    assert np.isfinite(result.smoothed).all()
    assert result.suggestion < 10


@pytest.mark.parametrize("optimizer", [SGD, Nesterov, Adam])
def test_the_suggested_rate_trains_and_hundred_times_less_hardly_does(loader, optimizer):
    rate = lr_range_test(_net(), loader, optimizer).suggestion
    final = []
    for lr in (rate, rate / 100):
        net, loss_func = _net(), CrossEntropyFromLogits()
        opt = optimizer(net, loss_func, lr)
        losses = []
        for batch in loader.fork():
            y_pred = net.forward(batch["image"])
            losses.append(loss_func(y_pred, batch["label"]))
            opt.backward(y_pred, batch["label"])
            opt.step()
        final.append(np.mean(losses[-5:]))

    assert final[0] < 0.8 * final[1]


def test_another_loss_may_be_given_as_a_class_or_an_instance():
    batch = {"image": np.ones((4, 6)), "label": np.zeros((4, 3))}

    curves = [lr_range_test(_net(), [batch], SGD, loss, num_steps=10).losses for loss in (MSE, MSE())]

    assert curves[0][0] == MSE()(_net().forward(batch["image"]), batch["label"])
    np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr_min": 0.0}, "expected 0 < lr_min < lr_max"),
        ({"lr_min": 1.0, "lr_max": 0.1}, "expected 0 < lr_min < lr_max"),
        ({"lr_max": float("inf")}, "expected 0 < lr_min < lr_max"),
        ({"num_steps": 4}, "num_steps must be at least 5"),
        ({"smoothing": 1.0}, r"smoothing must lie in \[0, 1\)"),
        ({"diverge_factor": 1.0}, "diverge_factor must be larger than 1"),
        ({"loader": []}, "the loader gave no batch"),
    ],
)
def test_settings_that_make_no_sense_are_refused(loader, settings, message):
    with pytest.raises(ValueError, match=message):
        lr_range_test(_net(), **{"loader": loader} | settings)


def test_weights_that_are_broken_before_any_step_are_refused(loader):
    net = _net()
    net.params["W1"][:] = np.nan

    with pytest.raises(ValueError, match="the very first loss is not finite"):
        lr_range_test(net, loader)


def test_the_picture_shows_both_curves_the_suggestion_and_the_divergence(loader):
    result = lr_range_test(_net(), loader, SGD, lr_max=1e4)
    axes = result.plot().axes[0]

    assert isinstance(result, LRRangeResult) and result.diverged
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), result.losses)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), result.smoothed)
    assert axes.lines[2].get_xdata()[0] == result.suggestion
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"loss of the batch", "smoothed", "diverged"}
    assert f"{result.suggestion:.1e}" in axes.texts[0].get_text()
