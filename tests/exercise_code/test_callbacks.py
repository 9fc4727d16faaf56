"""Callbacks: what they measure is checked against the weights and gradients themselves."""

import numpy as np
import pytest

from exercise_code.callbacks import Callback, DeadUnits, GradientNorms, LivePlot, ProgressBar, StopOnNaN, UpdateRatio
from exercise_code.data import DataLoader
from exercise_code.networks import ClassificationNet, MyOwnNetwork
from exercise_code.networks.layer import Relu
from exercise_code.networks.my_own_network import Affine
from exercise_code.networks.optimizer import SGD
from exercise_code.solver import Solver


def _loader(n, seed):
    rng = np.random.default_rng(seed)
    samples = [{"image": rng.standard_normal(6).astype(np.float32), "label": int(rng.integers(2))} for _ in range(n)]
    return DataLoader(samples, 8)


def _solver(*callbacks, **settings):
    net = ClassificationNet(Relu(), 2, 6, 5, "he", 2)
    return Solver(net, _loader(32, 0), _loader(16, 1), verbose=False, callbacks=callbacks, **settings)


def test_events_come_in_order_and_as_often_as_steps_and_epochs():
    events = []

    class Log(Callback):
        def train_start(self, solver):
            events.append("start")

        def before_step(self, solver):
            events.append("before")

        def step_end(self, solver):
            events.append("step")

        def epoch_end(self, solver):
            events.append("epoch")

        def train_end(self, solver):
            events.append("end")

    _solver(Log()).train(epochs=2)

    assert events == ["start", *(["before", "step"] * 4 + ["epoch"]) * 2, "end"]


def test_update_ratio_is_the_change_of_the_weights_over_their_size():
    ratio = UpdateRatio(every=1)
    solver = _solver(ratio, learning_rate=0.1, optimizer=SGD)
    before = solver.model.params["W1"].copy()
    batch = next(iter(solver.train_dataloader))

    solver._step(batch["image"], batch["label"])
    solver._tell("step_end")

    change = np.linalg.norm(0.1 * solver.model.grads["W1"])
    assert ratio.ratios["W1"] == [pytest.approx(change / np.linalg.norm(before), rel=1e-4)]
    assert set(ratio.ratios) == {"W1", "W2"}


def test_gradient_norms_are_those_of_the_step_they_were_taken_in():
    norms = GradientNorms(every=3)
    solver = _solver(norms)

    solver.train(epochs=2)  # 8 steps: 0, 3 and 6 are measured

    assert {name: len(values) for name, values in norms.norms.items()} == {"W1": 3, "b1": 3, "W2": 3, "b2": 3}


def test_a_unit_that_never_fires_counts_as_dead():
    dead = DeadUnits()
    solver = _solver(dead, learning_rate=1e-6)
    solver.model.params["b1"][:2] = -1000

    solver.train(epochs=2)

    assert dead.fractions["W1"] == [pytest.approx(0.4), pytest.approx(0.4)]


def test_dead_units_are_counted_under_batch_norm_and_in_a_network_of_ones_own():
    rng = np.random.default_rng(0)
    own = MyOwnNetwork([Affine(6, 4, rng=rng), Relu(), Affine(4, 3, rng=rng), Relu(), Affine(3, 2, rng=rng)])
    own.params["b1"][:], own.params["b2"][:] = [-20, 20, 20, -20], 100
    normed = ClassificationNet(Relu(), 2, 6, 5, "he", 2, batch_norm=True)
    normed.params["beta1"][:2] = -1e3
    expected = {own: {"W1": [0.5], "W2": [0.0]}, normed: {"W1": [0.4]}}

    for net, fractions in expected.items():
        dead = DeadUnits()
        Solver(net, _loader(32, 0), _loader(16, 1), verbose=False, callbacks=[dead], learning_rate=1e-6).train(epochs=1)

        assert {name: pytest.approx(values) for name, values in dead.fractions.items()} == fractions


def test_stop_on_nan_names_the_step_and_leaves_the_weights_finite():
    solver = _solver(StopOnNaN())
    for sample in solver.train_dataloader.dataset[16:]:
        sample["image"] = np.full(6, np.nan, dtype=np.float32)

    with pytest.raises(FloatingPointError, match="step 3: the gradient of .*W1.* is not finite"):
        solver.train(epochs=1)

    assert all(np.isfinite(w).all() for w in solver.model.params.values())


def test_the_progress_bar_shows_epochs_and_losses(capsys):
    _solver(ProgressBar()).train(epochs=3)

    shown = capsys.readouterr().err
    assert "3/3" in shown and "val=" in shown


def test_the_live_plot_draws_every_second_epoch_and_leaves_no_figure_open(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    drawn = []
    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: drawn.append(figure))

    _solver(LivePlot(every=2)).train(epochs=5)

    assert len(drawn) == 2
    assert plt.get_fignums() == []


@pytest.mark.parametrize("make", [UpdateRatio, GradientNorms, LivePlot])
def test_an_interval_below_one_is_refused(make):
    with pytest.raises(ValueError, match="every must be at least 1"):
        make(every=0)
