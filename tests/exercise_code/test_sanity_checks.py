"""Initial loss and overfit check: what passes, what fails with which advice, and that nothing is touched."""

import copy
import math

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from exercise_code import plots_diagnostics
from exercise_code.data import DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.dropout import Dropout
from exercise_code.networks.layer import Relu, Sigmoid
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD
from exercise_code.sanity_checks import check_initial_loss, check_overfit, plain_copy


def _data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [{"image": rng.standard_normal(12).astype(np.float32), "label": int(rng.integers(4))} for _ in range(n)]


def _net(std="he", layers=2, activation=None, **settings):
    return ClassificationNet(activation or Relu(), layers, 12, 32, std, 4, **settings)


class _DropoutNet(ClassificationNet):
    def __init__(self):
        super().__init__(Relu(), 2, 12, 32, "he", 4)
        self.drop = Dropout(0.5, rng=np.random.default_rng(0))

    def forward(self, X):
        return super().forward(self.drop.forward(X)[0])


def _same(one, other):
    return all(np.array_equal(one.params[name], other.params[name]) for name in one.params)


def test_a_network_without_knowledge_starts_at_log_c():
    check = check_initial_loss(_net(std=0.0), _data())

    assert check.passed
    assert check.loss == pytest.approx(math.log(4))
    assert check.samples == 40


def test_the_regularisation_term_is_reported_apart():
    check = check_initial_loss(_net(std=0.05, reg=2.0), _data())

    assert check.passed
    assert check.reg > 1
    assert "regularisation adds" in str(check)


@pytest.mark.parametrize(
    ("std", "layers", "advice"), [(3.0, 2, "Too high"), (1e-3, 5, "scores hardly depend"), (0.1, 2, "knows nothing")]
)
def test_the_verdict_says_what_to_do(std, layers, advice):
    check = check_initial_loss(_net(std, layers), _data())

    assert advice in check.verdict
    assert check.passed == (advice != "Too high")


def test_a_trained_network_starts_too_low():
    data = [{"image": np.eye(4)[i % 4], "label": i % 4} for i in range(8)]
    net = ClassificationNet(num_layer=1, input_size=4, num_classes=4)
    net.params["W1"][...] = 10 * np.eye(4)

    check = check_initial_loss(net, data)

    assert not check.passed
    assert "Too low" in check.verdict


def test_a_loss_that_is_not_finite_fails():
    check = check_initial_loss(_net(), [{"image": np.full(12, np.nan), "label": 0}])

    assert not check.passed
    assert "not finite" in check.verdict


def test_another_loss_needs_its_own_expected_value():
    data = [{"image": np.ones(12), "label": np.zeros(4)} for _ in range(3)]

    with pytest.raises(ValueError, match="expected="):
        check_initial_loss(_net(), data, loss_func=MSE)
    assert check_initial_loss(_net(std=0.0), data, loss_func=MSE, expected=0.0).loss == 0


def test_a_tolerance_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tolerance"):
        check_initial_loss(_net(), _data(), tolerance=0)


@pytest.mark.parametrize("samples", [1, 2, 20])
def test_a_sound_network_learns_a_few_samples_by_heart(samples):
    check = check_overfit(_net(), _data(), samples=samples)

    assert check.passed
    assert check.samples == samples
    assert check.losses[-1] <= check.target_loss < check.losses[0]
    assert len(check.accuracies) == check.steps + 1 < 501


def test_strong_regularisation_does_not_stand_in_the_way_and_stays_in_the_model():
    net = _net(reg=10.0)
    before = copy.deepcopy(net)

    assert check_overfit(net, _data()).passed
    assert net.reg_strength == 10.0
    assert _same(net, before)
    assert net.grads == {}


def test_dropout_is_switched_off_in_the_copy_only():
    net = _DropoutNet()

    assert plain_copy(net).drop.drop == 0
    assert check_overfit(net, _data()).passed
    assert net.drop.drop == 0.5


def test_randomness_that_cannot_be_switched_off_is_refused():
    class Shaky(ClassificationNet):
        noise = np.random.default_rng(0)

        def forward(self, X):
            return super().forward(X + self.noise.standard_normal(X.shape))

    with pytest.raises(ValueError, match="at random"):
        check_overfit(Shaky(Relu(), 2, 12, 8, "he", 4), _data())


def test_regularisation_that_cannot_be_switched_off_is_refused():
    class Stubborn(ClassificationNet):
        def forward(self, X):
            out = super().forward(X)
            self.reg = {"extra": 1.0}
            return out

    with pytest.raises(ValueError, match="regularisation"):
        check_overfit(Stubborn(Relu(), 2, 12, 8, "he", 4), _data())


@pytest.mark.parametrize(
    ("net", "settings", "advice"),
    [
        (_net(1e-3, 5, Sigmoid()), {"steps": 60}, "hardly moved"),
        (_net(), {"learning_rate": 1e-7, "optimizer": SGD}, "hardly moved"),
        (_net(), {"learning_rate": 1e3, "optimizer": SGD}, "lower the learning rate"),
        (_net(), {"steps": 20}, "more steps"),
    ],
)
def test_a_network_that_cannot_learn_fails_with_advice(net, settings, advice):
    check = check_overfit(net, _data(), **settings)

    assert not check.passed
    assert advice in check.verdict
    assert "training accuracy" in str(check)


def test_equal_images_with_different_labels_are_blamed():
    data = [{"image": np.ones(12), "label": label} for label in (0, 1)]

    check = check_overfit(_net(), data, steps=50)

    assert check.clashes == 2
    assert not check.passed
    assert "same image" in check.verdict


def test_augmentation_is_frozen_and_a_loader_stays_where_it_is():
    from exercise_code.data.dataset import ArrayDataset
    from exercise_code.data.transforms import ComposeTransform, FlattenTransform, RandomHorizontalFlip

    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((10, 2, 2, 3)), rng.integers(4, size=10)
    transform = ComposeTransform([RandomHorizontalFlip(0.5, np.random.default_rng(1)), FlattenTransform()])
    loader = DataLoader(ArrayDataset(images, labels, transform), 4, shuffle=True)
    twin = copy.deepcopy(loader)

    assert check_overfit(_net(), loader, samples=10).passed

    for ours, untouched in zip(loader, twin, strict=True):
        np.testing.assert_array_equal(ours["image"], untouched["image"])


@pytest.mark.parametrize("name", ["samples", "steps", "target_loss"])
def test_settings_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match="positive"):
        check_overfit(_net(), _data(), **{name: 0})


def test_the_loss_may_be_an_instance():
    assert check_overfit(_net(), _data(), loss_func=CrossEntropyFromLogits(), samples=3).passed


def test_the_initial_loss_plot_has_a_bar_per_network_in_the_colour_of_its_verdict():
    checks = {name: check_initial_loss(_net(std), _data()) for name, std in (("right", 0.0), ("wrong", 3.0))}

    axes = plots_diagnostics.plot_initial_loss(checks).axes[0]

    bars = [patch for patch in axes.patches if patch.get_width() > 0]
    assert [bar.get_width() for bar in bars] == pytest.approx([check.loss for check in checks.values()])
    assert bars[0].get_facecolor() != bars[1].get_facecolor()
    plt.close("all")


def test_the_overfit_plot_shows_every_step():
    check = check_overfit(_net(), _data())

    left, right = plots_diagnostics.plot_overfit_check(check).axes

    np.testing.assert_array_equal(left.lines[0].get_ydata(), check.losses)
    assert right.lines[0].get_ydata()[-1] == 100
    plt.close("all")
