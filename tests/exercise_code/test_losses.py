"""Losses against torch, finite differences and values worked by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from exercise_code.networks.loss import BCE, MSE, CrossEntropyFromLogits


def _numeric(loss, y_out, y_truth, h=1e-6):
    grad = np.zeros_like(y_out)
    for index in np.ndindex(*y_out.shape):
        up, down = y_out.copy(), y_out.copy()
        up[index] += h
        down[index] -= h
        grad[index] = (loss(up, y_truth) - loss(down, y_truth)) / (2 * h)
    return grad


CASES = {
    "mse": (MSE(), F.mse_loss, lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))),
    "bce": (
        BCE(),
        F.binary_cross_entropy,
        lambda rng: (rng.uniform(0.1, 0.9, 6), rng.integers(2, size=6).astype(float)),
    ),
    "cross_entropy": (
        CrossEntropyFromLogits(),
        F.cross_entropy,
        lambda rng: (rng.standard_normal((5, 4)), rng.integers(4, size=5)),
    ),
}


@pytest.mark.parametrize(("loss", "reference", "draw"), CASES.values(), ids=CASES.keys())
def test_loss_and_gradient_equal_torch_and_each_other(loss, reference, draw):
    y_out, y_truth = draw(np.random.default_rng(0))
    tensor = torch.tensor(y_out, requires_grad=True)
    expected = reference(tensor, torch.tensor(y_truth))
    expected.backward()

    assert loss(y_out, y_truth) == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(loss.backward(y_out, y_truth), tensor.grad.numpy(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(loss.backward(y_out, y_truth), _numeric(loss, y_out, y_truth), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("loss", "reference", "draw"), CASES.values(), ids=CASES.keys())
def test_backward_called_twice_gives_the_same_and_leaves_its_arguments_alone(loss, reference, draw):
    y_out, y_truth = draw(np.random.default_rng(1))
    kept_out, kept_truth = y_out.copy(), y_truth.copy()

    first = loss.backward(y_out, y_truth)
    second = loss.backward(y_out, y_truth)

    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(y_out, kept_out)
    np.testing.assert_array_equal(y_truth, kept_truth)


def test_cross_entropy_of_huge_logits_is_zero_for_the_winner_and_large_for_the_loser():
    loss, logits = CrossEntropyFromLogits(), np.array([[1000.0, 0.0, 0.0]])

    assert loss(logits, np.array([0])) == 0.0
    assert loss(logits, np.array([1])) == 1000.0
    np.testing.assert_allclose(loss.backward(logits, np.array([1])), [[1.0, -1.0, 0.0]])


def test_bce_of_exact_zero_and_one_is_finite():
    loss, sure = BCE(), np.array([0.0, 1.0])

    assert loss(sure, np.array([0, 1])) == pytest.approx(0, abs=1e-12)
    assert np.isfinite(loss(sure, np.array([1, 0])))
    assert np.isfinite(loss.backward(sure, np.array([1, 0]))).all()


def test_losses_of_float32_stay_float32():
    logits = np.zeros((2, 3), dtype=np.float32)

    assert CrossEntropyFromLogits().backward(logits, np.array([0, 1])).dtype == np.float32
    assert MSE().backward(logits, np.ones((2, 3))).dtype == np.float32


@pytest.mark.parametrize("labels", [np.array([0, 3]), np.array([-1, 0])])
def test_labels_out_of_range_are_refused_with_the_range(labels):
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2"):
        CrossEntropyFromLogits()(np.zeros((2, 3)), labels)


def test_mse_with_class_labels_is_refused_and_told_where_they_belong():
    with pytest.raises(ValueError, match="class labels belong to CrossEntropyFromLogits"):
        MSE()(np.zeros((2, 3)), np.array([0, 1]))
