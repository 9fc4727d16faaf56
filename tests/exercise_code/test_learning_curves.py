"""Learning curves: nested samples, equal steps, and the shapes that bias and variance give them."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exercise_code import plots_diagnostics
from exercise_code.data.dataset import ArrayDataset
from exercise_code.learning_curves import curve_sizes, learning_curve
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.solver import Solver


def _blobs(n, seed, noise=0.6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return ArrayDataset(np.eye(10)[labels] + noise * rng.standard_normal((n, 10)), labels)


def _net():
    return ClassificationNet(Relu(), 2, 10, 32, "he", 3)


def test_more_data_raises_the_dev_accuracy_and_closes_the_gap():
    curve = learning_curve(_net, _blobs(600, 0), _blobs(300, 1), [6, 60, 600], steps=150, repeats=2)

    dev = curve.val_accuracy.mean(axis=1)
    assert dev[2] > dev[0] + 0.1
    assert curve.gap[2] < curve.gap[0]
    assert curve.train_accuracy.shape == curve.val_accuracy.shape == (3, 2)
    assert len(str(curve).splitlines()) == 4


def test_a_network_that_is_too_simple_shows_curves_that_meet_low():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900, 2))
    data = ArrayDataset(x, (x[:, 0] * x[:, 1] > 0).astype(np.int64))  # exclusive or

    def linear():
        return ClassificationNet(num_layer=1, input_size=2, num_classes=2)

    from exercise_code.data.subset import Subset

    curve = learning_curve(linear, Subset(data, range(600)), Subset(data, range(600, 900)), [600], steps=100)

    assert abs(curve.gap[0]) < 0.1
    assert curve.train_accuracy[0, 0] < 0.7


@given(size=st.integers(1, 3000), steps=st.integers(1, 2000), epochs=st.integers(1, 20), batch=st.integers(1, 128))
def test_every_size_gets_at_least_the_steps_that_were_asked_for_and_not_two_passes_more(size, steps, epochs, batch):
    from exercise_code.learning_curves import _schedule

    times, passes = _schedule(size, steps, epochs, batch)

    samples = times * size * passes
    assert samples >= steps * batch
    assert samples - times * size < steps * batch


def test_smaller_training_sets_are_parts_of_larger_ones(monkeypatch):
    parts = []
    original = Solver.__init__

    def spy(self, model, train, val, **settings):
        parts.append(set(train.dataset.indices.tolist()))
        original(self, model, train, val, **settings)

    monkeypatch.setattr(Solver, "__init__", spy)
    curve = learning_curve(_net, _blobs(50, 0), _blobs(20, 1), [20, 5, 50], steps=5)

    assert curve.sizes.tolist() == [5, 20, 50]
    assert [len(part) for part in parts] == [5, 20, 50]
    assert parts[0] < parts[1] < parts[2]


def test_the_same_call_gives_the_same_curve_and_another_order_another_one():
    data, dev = _blobs(60, 0), _blobs(100, 1)

    def run(**settings):
        return learning_curve(_net, data, dev, [5, 60], steps=20, **settings).val_accuracy

    np.testing.assert_array_equal(run(), run())
    assert not np.array_equal(run(), run(rng=np.random.default_rng(7)))


@pytest.mark.parametrize("sizes", [[0, 5], [5, 51], []])
def test_sizes_outside_the_data_set_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes from 1 to 50"):
        learning_curve(_net, _blobs(50, 0), _blobs(5, 1), sizes)


@pytest.mark.parametrize("name", ["repeats", "steps", "epochs", "batch_size"])
def test_settings_below_one_are_refused(name):
    with pytest.raises(ValueError, match="at least 1"):
        learning_curve(_net, _blobs(5, 0), _blobs(5, 1), [2], **{name: 0})


@given(st.integers(1, 10**6), st.integers(2, 10))
def test_default_sizes_rise_from_the_smallest_to_all(size, count):
    sizes = curve_sizes(size, count, smallest=min(20, size))

    assert sizes[0] == min(20, size)
    assert sizes[-1] == size
    assert sizes == sorted(set(sizes))
    assert len(sizes) <= count


def test_a_smallest_size_above_the_data_set_is_refused():
    with pytest.raises(ValueError, match="smallest"):
        curve_sizes(10)


@pytest.mark.parametrize("extras", [{}, {"human": 0.95, "val_size": 30}])
def test_the_plot_shows_both_curves_in_percent(extras):
    curve = learning_curve(_net, _blobs(40, 0), _blobs(30, 1), [10, 40], steps=5, repeats=2)

    axes = plots_diagnostics.plot_learning_curve(curve, **extras).axes[0]

    np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * curve.train_accuracy.mean(axis=1))
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 100 * curve.val_accuracy.mean(axis=1))
    plt.close("all")
