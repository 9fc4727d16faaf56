"""Schedules against torch's, value by value in float64, and the few places where they differ on purpose."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code.networks import ClassificationNet
from exercise_code.networks.optimizer import SGD
from exercise_code.schedule_plots import plot_schedules
from exercise_code.schedules import Cosine, Cyclic, Exponential, OneCycle, StepDecay, WarmRestarts
from exercise_code.solver import Solver

matplotlib.use("Agg")

lr_scheduler = torch.optim.lr_scheduler


def _torch_rates(make, learning_rate, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


CASES = {
    "step": (StepDecay(0.3, 7, 0.4), lambda o: lr_scheduler.StepLR(o, 7, 0.4), 0.3, 50),
    "exponential": (Exponential(0.3, 0.97), lambda o: lr_scheduler.ExponentialLR(o, 0.97), 0.3, 50),
    "cosine": (Cosine(0.3, 40), lambda o: lr_scheduler.CosineAnnealingLR(o, 40), 0.3, 41),
    "cosine_with_floor": (Cosine(0.3, 40, 0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 40, 0.01), 0.3, 41),
    "restarts": (WarmRestarts(0.3, 7), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7), 0.3, 60),
    "restarts_doubling": (
        WarmRestarts(0.3, 5, 2, 0.02),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2, 0.02),
        0.3,
        120,
    ),
}
for mode in ("triangular", "triangular2", "exp_range"):
    CASES[mode] = (
        Cyclic(0.01, 0.3, 6, mode=mode, gamma=0.98),
        lambda o, mode=mode: lr_scheduler.CyclicLR(o, 0.01, 0.3, 6, mode=mode, gamma=0.98, cycle_momentum=False),
        0.01,
        60,
    )
for anneal, length, pct_start in [("cos", 100, 0.3), ("linear", 100, 0.3), ("cos", 37, 0.45), ("cos", 2, 0.3)]:
    CASES[f"one_cycle_{anneal}_{length}_{pct_start}"] = (
        OneCycle(0.3, length, pct_start, anneal=anneal),
        lambda o, anneal=anneal, length=length, pct_start=pct_start: lr_scheduler.OneCycleLR(
            o, 0.3, length, pct_start=pct_start, anneal_strategy=anneal, cycle_momentum=False
        ),
        0.3,
        length,
    )
CASES["one_cycle_with_own_divisors"] = (
    OneCycle(0.3, 50, div_factor=10, final_div_factor=100),
    lambda o: lr_scheduler.OneCycleLR(o, 0.3, 50, div_factor=10, final_div_factor=100, cycle_momentum=False),
    0.3,
    50,
)


@pytest.mark.parametrize(("schedule", "make", "learning_rate", "steps"), CASES.values(), ids=CASES.keys())
def test_every_value_equals_torch(schedule, make, learning_rate, steps):
    ours = [schedule(step) for step in range(steps)]

    # torch multiplies from step to step, so its values carry the rounding of all steps before
    np.testing.assert_allclose(ours, _torch_rates(make, learning_rate, steps), rtol=1e-10, atol=1e-15)
    assert all(type(value) is float for value in ours)


def test_the_first_epoch_is_not_decayed_though_zero_is_divisible_by_everything():
    schedule = StepDecay(0.5, step_size=3, gamma=0.1)
    slide, rate = [], 0.5
    for epoch in range(4):
        rate *= 0.1 if epoch % 3 == 0 else 1
        slide.append(rate)

    assert [schedule(epoch) for epoch in range(4)] == [0.5, 0.5, 0.5, 0.05]
    assert slide[0] == 0.05


def test_cosine_stays_down_where_torch_climbs_back():
    torch_rates = _torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 10, 0.01), 0.3, 21)
    schedule = Cosine(0.3, 10, 0.01)

    assert torch_rates[20] == pytest.approx(0.3)
    assert schedule(20) == schedule(10) == pytest.approx(0.01)


def test_one_cycle_ends_at_its_last_step_and_stays_there():
    schedule = OneCycle(0.5, 80)

    assert schedule(0) == pytest.approx(0.5 / 25)
    assert max(map(schedule, range(80))) == pytest.approx(0.5, rel=0.01)
    assert schedule(79) == pytest.approx(0.5 / 25 / 1e4)
    assert schedule(1000) == schedule(79)


@pytest.mark.parametrize("num_steps", range(2, 25))
@pytest.mark.parametrize("pct_start", [0.01, 0.1, 0.25, 0.5, 0.99])
def test_one_cycle_of_any_length_stays_between_its_lowest_and_highest_rate(num_steps, pct_start):
    rates = [OneCycle(1.0, num_steps, pct_start)(step) for step in range(num_steps)]

    assert all(1 / 25 / 1e4 * (1 - 1e-9) <= rate <= 1 + 1e-12 for rate in rates)
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)


SCHEDULES = [case[0] for case in CASES.values()]


@settings(max_examples=60, deadline=None)
@given(step=st.integers(0, 10**6), schedule=st.sampled_from(SCHEDULES))
def test_the_rate_depends_on_nothing_but_the_step(step, schedule):
    first = schedule(step)
    schedule(0)

    assert schedule(step) == first
    assert 0 <= first <= 0.3 * (1 + 1e-12)


@pytest.mark.parametrize("step", [-1, float("nan"), float("inf")])
def test_steps_before_the_start_are_refused(step):
    with pytest.raises(ValueError, match="a number >= 0"):
        Exponential(0.1, 0.9)(step)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0, 3), "learning_rate must be > 0, got 0"),
        (lambda: StepDecay(float("inf"), 3), "learning_rate must be > 0, got inf"),
        (lambda: StepDecay(0.1, 0), "step_size must be at least 1"),
        (lambda: Exponential(0.1, 1.5), r"gamma must be in \(0, 1\], got 1.5"),
        (lambda: Exponential(0.1, 0.9, per="batch"), 'per must be "step" or "epoch", got \'batch\''),
        (lambda: Cosine(0.1, 10, 0.2), r"lr_min must be in \[0, learning_rate\]"),
        (lambda: Cyclic(0.2, 0.1), "lr_max must be > lr_min"),
        (lambda: Cyclic(0.1, 0.2, mode="sine"), "mode must be triangular, triangular2 or exp_range"),
        (lambda: OneCycle(0.1, 1), "num_steps must be at least 2"),
        (lambda: OneCycle(0.1, 10, pct_start=1.0), "pct_start must be"),
        (lambda: OneCycle(0.1, 10, anneal="exp"), "anneal must be cos or linear"),
        (lambda: WarmRestarts(0.1, 5, 1.5), "factor must be a whole number"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_misspelt_settings_are_refused():
    with pytest.raises(TypeError, match="gama"):
        Exponential(0.1, gama=0.9)


def _batches(count):
    return [{"image": np.full((4, 2), i, dtype=np.float32), "label": np.zeros(4, dtype=int)} for i in range(count)]


def test_the_solver_takes_the_rate_of_each_step_and_of_each_epoch():
    seen = []

    class Recording(SGD):
        def step(self):
            seen.append(self.lr)
            super().step()

    def train(schedule):
        seen.clear()
        net = ClassificationNet(input_size=2, num_classes=2, hidden_size=3)
        Solver(net, _batches(3), _batches(1), optimizer=Recording, schedule=schedule, verbose=False).train(epochs=2)
        return list(seen)

    one_cycle, cosine = OneCycle(0.1, 6), Cosine(0.1, 2)

    assert train(one_cycle) == [one_cycle(step) for step in range(6)]
    assert train(cosine) == [cosine(0)] * 3 + [cosine(1)] * 3


def test_the_picture_has_one_line_per_schedule_and_names_what_is_counted():
    figure = plot_schedules({"one cycle": OneCycle(0.1, 50), "cyclic": Cyclic(0.01, 0.1, 10)}, 50, log=True)

    axes = figure.axes[0]
    assert len(axes.lines) == 2
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "learning rate", "log")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [OneCycle(0.1, 50)(step) for step in range(50)])
    plt.close(figure)
