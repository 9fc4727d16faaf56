"""Optimizers against torch's, step by step in float64."""

import numpy as np
import pytest
import torch

from exercise_code.networks.loss import MSE
from exercise_code.networks.optimizer import SGD, Adam, SGDMomentum, sgd_momentum


class OneLayer:
    """The least a model needs: params and grads."""

    def __init__(self, w):
        self.params = {"W1": w.copy()}
        self.grads = {}


PAIRS = {
    "sgd": (SGD, {}, lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (SGDMomentum, {}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "momentum_0.5": (SGDMomentum, {"momentum": 0.5}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
    "adam": (Adam, {}, lambda p: torch.optim.Adam(p, lr=0.1)),
    "adam_with_own_betas": (
        Adam,
        {"beta1": 0.7, "beta2": 0.9, "eps": 1e-3},
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.7, 0.9), eps=1e-3),
    ),
}


@pytest.mark.parametrize(("ours", "settings", "theirs"), PAIRS.values(), ids=PAIRS.keys())
def test_twenty_steps_equal_torch(ours, settings, theirs):
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((20, 3, 4))
    model, tensor = OneLayer(start), torch.tensor(start, requires_grad=True)
    optimizer, reference = ours(model, MSE(), 0.1, **settings), theirs([tensor])

    for grad in grads:
        model.grads["W1"] = grad.copy()
        optimizer.step()
        tensor.grad = torch.tensor(grad)
        reference.step()

        np.testing.assert_allclose(model.params["W1"], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(model.grads["W1"], grad)


def test_first_step_of_adam_has_the_size_of_the_learning_rate_even_for_tiny_gradients():
    model = OneLayer(np.zeros((1, 1)))
    model.grads["W1"] = np.full((1, 1), 1e-5)

    Adam(model, MSE(), 0.1).step()

    assert model.params["W1"][0, 0] == pytest.approx(-0.1, rel=2e-3)


@pytest.mark.parametrize("learning_rate", [0, -1e-3, float("nan"), float("inf")])
def test_learning_rates_that_cannot_work_are_refused(learning_rate):
    with pytest.raises(ValueError, match="learning_rate must be a positive number"):
        SGD(OneLayer(np.zeros((1, 1))), MSE(), learning_rate)


def test_misspelt_settings_are_refused_instead_of_ignored():
    with pytest.raises(TypeError, match="momentun"):
        SGDMomentum(OneLayer(np.zeros((1, 1))), MSE(), 0.1, momentun=0.5)


def test_the_lectures_name_of_momentum_is_the_same_class():
    assert sgd_momentum is SGDMomentum
