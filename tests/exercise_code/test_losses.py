"""Losses against torch, finite differences and values worked by hand."""

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional as F

from exercise_code.networks.loss import (
    BCE,
    L1,
    MSE,
    BCEFromLogits,
    CrossEntropyFromLogits,
    KLFromLogits,
    Loss,
    log_softmax,
)

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)
EXTREME = st.floats(-1e4, 1e4, width=32)


def _numeric(loss, y_out, y_truth, h=1e-6):
    grad = np.zeros_like(y_out)
    for index in np.ndindex(*y_out.shape):
        up, down = y_out.copy(), y_out.copy()
        up[index] += h
        down[index] -= h
        grad[index] = (loss(up, y_truth) - loss(down, y_truth)) / (2 * h)
    return grad


def _torch_kl(temperature):
    def loss(student, teacher):
        log_q, log_p = F.log_softmax(student / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2

    return loss


def _two_logits(rng):
    return rng.standard_normal((5, 4)), 3 * rng.standard_normal((5, 4))


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
    "l1": (L1(), F.l1_loss, lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))),
    "bce_from_logits": (
        BCEFromLogits(),
        F.binary_cross_entropy_with_logits,
        lambda rng: (3 * rng.standard_normal((7, 2)), rng.random((7, 2))),
    ),
    "cross_entropy_smoothed": (
        CrossEntropyFromLogits(label_smoothing=0.1),
        lambda out, labels: F.cross_entropy(out, labels, label_smoothing=0.1),
        lambda rng: (rng.standard_normal((5, 4)), rng.integers(4, size=5)),
    ),
    "cross_entropy_smoothed_to_the_end": (
        CrossEntropyFromLogits(label_smoothing=1.0),
        lambda out, labels: F.cross_entropy(out, labels, label_smoothing=1.0),
        lambda rng: (rng.standard_normal((1, 3)), rng.integers(3, size=1)),
    ),
    "kl": (KLFromLogits(), _torch_kl(1.0), _two_logits),
    "kl_hot": (KLFromLogits(temperature=5.0), _torch_kl(5.0), _two_logits),
    "kl_cold": (KLFromLogits(temperature=0.5), _torch_kl(0.5), _two_logits),
}


@pytest.mark.parametrize(("loss", "reference", "draw"), CASES.values(), ids=CASES.keys())
def test_loss_and_gradient_equal_torch_and_each_other(loss, reference, draw):
    y_out, y_truth = draw(np.random.default_rng(0))
    tensor = torch.tensor(y_out, requires_grad=True)
    expected = reference(tensor, torch.tensor(y_truth))
    expected.backward()

    assert loss(y_out, y_truth) == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(loss.backward(y_out, y_truth), tensor.grad.numpy(), rtol=1e-10, atol=1e-14)
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


def _pair_of_arrays(truths=EXTREME, max_dims=3):
    shape = hnp.array_shapes(min_dims=2, max_dims=max_dims, max_side=5)
    return shape.flatmap(
        lambda chosen: st.tuples(
            hnp.arrays(np.float32, chosen, elements=EXTREME), hnp.arrays(np.float32, chosen, elements=truths)
        )
    )


def _assert_finite_float32(loss, y_out, y_truth):
    value, grad = loss(y_out, y_truth), loss.backward(y_out, y_truth)
    assert isinstance(value, float)
    assert np.isfinite(value)
    assert value >= 0
    assert grad.shape == y_out.shape
    assert grad.dtype == np.float32
    assert np.isfinite(grad).all()


@PROPERTY
@given(_pair_of_arrays())
def test_mse_and_l1_of_any_numbers_are_finite_without_a_warning(pair):
    for loss in (MSE(), L1()):
        _assert_finite_float32(loss, *pair)


@PROPERTY
@given(_pair_of_arrays(truths=st.floats(0, 1, width=32)))
def test_bce_of_any_scores_or_probabilities_is_finite_without_a_warning(pair):
    scores, targets = pair
    _assert_finite_float32(BCEFromLogits(), scores, targets)
    _assert_finite_float32(BCE(), (scores > 0).astype(np.float32), targets)


@PROPERTY
@given(_pair_of_arrays(max_dims=2), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.1, 1.0, 20.0]))
def test_cross_entropy_and_kl_of_any_logits_are_finite_without_a_warning(pair, label_smoothing, temperature):
    logits, teacher = pair
    _assert_finite_float32(CrossEntropyFromLogits(label_smoothing), logits, teacher.argmax(axis=1))
    _assert_finite_float32(KLFromLogits(temperature), logits, teacher)
    np.testing.assert_allclose(KLFromLogits(temperature)(logits, logits), 0, atol=1e-6)


@pytest.mark.parametrize("loss", [MSE(), L1(), BCE(), BCEFromLogits(), KLFromLogits()])
def test_an_empty_batch_is_refused_because_it_has_no_mean(loss):
    for method in (loss.forward, loss.backward):
        with pytest.raises(ValueError, match="expected at least one sample"):
            method(np.zeros((0, 3)), np.zeros((0, 3)))


def test_cross_entropy_of_an_empty_batch_is_refused():
    for method in (CrossEntropyFromLogits().forward, CrossEntropyFromLogits().backward):
        with pytest.raises(ValueError, match="expected at least one sample"):
            method(np.zeros((0, 3)), np.zeros(0, dtype=int))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
@pytest.mark.parametrize("loss", [MSE(), L1(), BCE(), BCEFromLogits()])
def test_targets_stored_as_bytes_integers_or_truth_values_count_as_numbers(loss, dtype):
    y_out, labels = np.array([0.25, 0.75], dtype=np.float32), np.array([1, 0])

    assert loss(y_out, labels.astype(dtype)) == loss(y_out, labels.astype(np.float32))
    np.testing.assert_array_equal(
        loss.backward(y_out, labels.astype(dtype)), loss.backward(y_out, labels.astype(np.float32))
    )


def test_l1_gradient_is_zero_where_output_and_target_are_equal_as_in_torch():
    tensor = torch.tensor([2.0, 5.0], requires_grad=True)
    F.l1_loss(tensor, torch.tensor([2.0, 1.0])).backward()

    grad = L1().backward(np.array([2.0, 5.0]), np.array([2.0, 1.0]))

    np.testing.assert_array_equal(grad, [0.0, 0.5])
    np.testing.assert_array_equal(grad, tensor.grad.numpy())


def test_bce_from_logits_equals_bce_of_the_sigmoid_where_both_can_be_computed():
    scores, targets = np.linspace(-6, 6, 9), np.arange(9) % 2

    assert BCEFromLogits()(scores, targets) == pytest.approx(BCE()(1 / (1 + np.exp(-scores)), targets), rel=1e-10)


def test_a_sure_and_wrong_score_has_gradient_one_from_logits_and_none_through_a_clipped_sigmoid():
    score, target = np.array([40.0], dtype=np.float32), np.array([0])
    probability = (1 / (1 + np.exp(-score))).astype(np.float32)

    through_the_sigmoid = BCE().backward(probability, target) * probability * (1 - probability)

    assert BCEFromLogits().backward(score, target) == 1.0
    assert through_the_sigmoid == 0.0


@pytest.mark.parametrize("target", [-0.5, 1.5])
def test_bce_from_logits_refuses_targets_outside_zero_to_one(target):
    with pytest.raises(ValueError, match=r"expected targets in \[0, 1\]"):
        BCEFromLogits()(np.zeros(2), np.array([0.5, target]))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_label_smoothing_outside_zero_to_one_is_refused(value):
    with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\]"):
        CrossEntropyFromLogits(label_smoothing=value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_a_finite_number_above_zero_is_refused(value):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        KLFromLogits(temperature=value)


def test_kl_refuses_labels_and_single_rows_in_place_of_teacher_logits():
    with pytest.raises(ValueError, match="expected targets of the output's shape"):
        KLFromLogits()(np.zeros((2, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"expected logits \(N, C\)"):
        KLFromLogits()(np.zeros(3), np.zeros(3))


def test_kl_at_temperature_one_differs_from_soft_cross_entropy_by_the_teachers_entropy():
    student, teacher = _two_logits(np.random.default_rng(0))
    p = torch.softmax(torch.tensor(teacher), dim=1)
    entropy = -(p * p.log()).sum(dim=1).mean().item()

    soft_cross_entropy = F.cross_entropy(torch.tensor(student), p).item()

    assert KLFromLogits()(student, teacher) == pytest.approx(soft_cross_entropy - entropy, rel=1e-10)


class _MseOfSoftmaxes(Loss):
    """The soft-target loss as lecture 000 writes it; gradient by torch."""

    def __init__(self, temperature):
        self.temperature = temperature

    def backward(self, y_out, y_truth):
        student = torch.tensor(y_out, requires_grad=True)
        teacher = torch.tensor(y_truth)
        F.mse_loss(
            torch.softmax(student / self.temperature, 1), torch.softmax(teacher / self.temperature, 1)
        ).backward()
        return student.grad.numpy()


def _mean_gradient(loss):
    rng = np.random.default_rng(0)
    student, teacher = 0.1 * rng.standard_normal((128, 10)), 4 * rng.standard_normal((128, 10))
    return np.abs(loss.backward(student, teacher)).mean()


def test_mse_of_softmaxes_has_a_gradient_a_thousand_times_smaller_than_kl_at_the_lectures_temperature():
    ratio = _mean_gradient(KLFromLogits(5.0)) / _mean_gradient(_MseOfSoftmaxes(5.0))

    assert 1000 < ratio < 1500


def test_with_temperature_the_gradient_of_kl_keeps_its_size_and_that_of_mse_vanishes():
    kl = _mean_gradient(KLFromLogits(40.0)) / _mean_gradient(KLFromLogits(10.0))
    mse = _mean_gradient(_MseOfSoftmaxes(40.0)) / _mean_gradient(_MseOfSoftmaxes(10.0))

    assert kl == pytest.approx(1, rel=0.1)
    assert mse == pytest.approx(1 / 16, rel=0.1)


def test_at_high_temperature_the_ratio_of_the_two_gradients_is_the_one_that_the_docstring_gives():
    ratio = _mean_gradient(KLFromLogits(100.0)) / _mean_gradient(_MseOfSoftmaxes(100.0))

    assert ratio == pytest.approx(100**2 * 10**2 / 2, rel=0.01)


def test_log_softmax_equals_scipys_and_leaves_the_argument():
    logits = np.random.default_rng(0).standard_normal((4, 5)) * 50
    before = logits.copy()

    np.testing.assert_allclose(log_softmax(logits), scipy.special.log_softmax(logits, axis=1), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(logits, before)
