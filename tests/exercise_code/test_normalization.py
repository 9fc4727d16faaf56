"""Batch norm against torch, finite differences and values worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code.networks.batchnorm import (
    batchnorm_backward,
    batchnorm_backward_compact,
    batchnorm_forward,
    batchnorm_test_backward,
    batchnorm_test_forward,
)
from exercise_code.networks.layer import affine_forward
from exercise_code.networks.normalization import BatchNorm, BatchNorm2d

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)
BACKWARDS = {"by_hand": batchnorm_backward, "compact": batchnorm_backward_compact}


@pytest.fixture(params=BACKWARDS.values(), ids=BACKWARDS.keys())
def backward(request):
    return request.param


def _case(shape, seed=0):
    """x (shifted and stretched), gamma, beta and a random upstream gradient, all float64."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal
    return 3 * draw(shape) + 5, draw(shape[1]), draw(shape[1]), draw(shape)


def _pair(shape, *, momentum=0.9, eps=1e-3, seed=0):
    """Our layer and torch's, with equal parameters; torch's momentum is the weight of the new value."""
    x, gamma, beta, dout = _case(shape, seed)
    two_dimensional = len(shape) == 4
    ours = (BatchNorm2d if two_dimensional else BatchNorm)(shape[1], momentum=momentum, eps=eps, dtype=np.float64)
    theirs = (torch.nn.BatchNorm2d if two_dimensional else torch.nn.BatchNorm1d)(
        shape[1], momentum=1 - momentum, eps=eps, dtype=torch.float64
    )
    ours.gamma, ours.beta = gamma, beta
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(gamma))
        theirs.bias.copy_(torch.tensor(beta))
    return ours, theirs, x, dout


SHAPES = [(2, 1), (7, 3), (16, 5), (1, 2, 2, 1), (3, 2, 5, 4)]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_all_gradients_equal_torch(shape, training):
    ours, theirs, x, dout = _pair(shape)
    ours.forward(x), theirs(torch.tensor(x))  # so that the running statistics are not the initial ones
    if not training:
        ours.eval(), theirs.eval()
    tensor = torch.tensor(x + 1, requires_grad=True)
    expected = theirs(tensor)
    expected.backward(torch.tensor(dout))

    out, cache = ours.forward(x + 1)
    dx, dgamma, dbeta = ours.backward(dout, cache)

    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dgamma, theirs.weight.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dbeta, theirs.bias.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_running_statistics_equal_torch_with_the_momentum_turned_round(shape, momentum):
    ours, theirs, x, _ = _pair(shape, momentum=momentum)
    for step in range(4):
        ours.forward(x * step), theirs(torch.tensor(x * step))

    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), rtol=1e-10)


def test_running_statistics_start_at_zero_and_one_and_store_the_unbiased_variance():
    layer = BatchNorm(1, dtype=np.float64)
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([0.0], [1.0])

    layer.forward(np.array([[8.0], [12.0]]))

    np.testing.assert_allclose(layer.running_mean, [0.1 * 10])
    np.testing.assert_allclose(layer.running_var, [0.9 * 1 + 0.1 * 8])  # 8 = (4 + 4) / (2 - 1)


def test_the_running_mean_is_a_tenth_of_the_way_after_one_batch_and_nearly_there_after_fifty():
    layer, x = BatchNorm(1, dtype=np.float64), np.array([[9.0], [11.0]])

    layer.forward(x)
    after_one = layer.running_mean.copy()
    for _ in range(49):
        layer.forward(x)

    np.testing.assert_allclose(after_one, 1.0)
    np.testing.assert_allclose(layer.running_mean, 10 * (1 - 0.9**50))


def _numeric(function, x, dout, h=1e-5):
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = np.sum(dout * (function(up) - function(down))) / (2 * h)
    return grad


def test_gradients_agree_with_finite_differences(backward):
    x, gamma, beta, dout = _case((6, 3))
    dx, dgamma, dbeta = backward(dout, batchnorm_forward(x, gamma, beta)[1])

    tolerance = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(dx, _numeric(lambda at: batchnorm_forward(at, gamma, beta)[0], x, dout), **tolerance)
    np.testing.assert_allclose(dgamma, _numeric(lambda at: batchnorm_forward(x, at, beta)[0], gamma, dout), **tolerance)
    np.testing.assert_allclose(dbeta, _numeric(lambda at: batchnorm_forward(x, gamma, at)[0], beta, dout), **tolerance)


def test_gradients_of_the_test_time_formula_agree_with_finite_differences():
    x, gamma, beta, dout = _case((4, 3))
    fixed = {"mean": np.array([1.0, 5.0, 9.0]), "var": np.array([4.0, 0.0, 2.0]), "eps": 0.1}
    dx, dgamma, dbeta = batchnorm_test_backward(dout, batchnorm_test_forward(x, gamma, beta, **fixed)[1])

    def numeric(change, at):
        return _numeric(lambda part: batchnorm_test_forward(*change(part), **fixed)[0], at, dout)

    np.testing.assert_allclose(dx, numeric(lambda part: (part, gamma, beta), x), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dgamma, numeric(lambda part: (x, part, beta), gamma), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dbeta, numeric(lambda part: (x, gamma, part), beta), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(2, 1), (5, 3), (64, 7)])
def test_the_compact_backward_equals_the_one_by_hand(shape):
    x, gamma, beta, dout = _case(shape)
    _, cache = batchnorm_forward(x, gamma, beta)

    for compact, by_hand in zip(batchnorm_backward_compact(dout, cache), batchnorm_backward(dout, cache), strict=True):
        np.testing.assert_allclose(compact, by_hand, rtol=1e-10, atol=1e-12)


def test_the_compact_backward_keeps_eps_which_matters_when_the_variance_is_small():
    x, gamma, beta, dout = _case((6, 2))
    x *= 1e-3  # variance 1e-5, as large as eps
    _, cache = batchnorm_forward(x, gamma, beta)

    np.testing.assert_allclose(
        batchnorm_backward_compact(dout, cache)[0], batchnorm_backward(dout, cache)[0], rtol=1e-10
    )


def test_an_upstream_gradient_of_all_ones_checks_nothing(backward):
    x, gamma, beta, _ = _case((6, 3))
    _, cache = batchnorm_forward(x, gamma, beta)

    np.testing.assert_allclose(backward(np.ones((6, 3)), cache)[0], 0, atol=1e-12)


def test_a_bias_before_batch_norm_has_no_effect():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 4)), rng.standard_normal((4, 3))

    with_bias, without = (
        batchnorm_forward(affine_forward(x, w, b)[0], np.ones(3), np.zeros(3))[0]
        for b in (np.array([5.0, -7.0, 100.0]), np.zeros(3))
    )

    np.testing.assert_allclose(with_bias, without, atol=1e-12)


@pytest.mark.parametrize("size", [0.1, 1e4, -1e4, 12345.678])
@pytest.mark.parametrize("count", [2, 257])
def test_a_constant_feature_gives_exactly_beta_and_no_gradient_in_float32(size, count, backward):
    x = np.full((count, 2), size, dtype=np.float32)
    beta = np.array([0.5, -3.0], dtype=np.float32)
    out, cache = batchnorm_forward(x, np.ones(2, np.float32), beta)

    dx, dgamma, _ = backward(np.random.default_rng(0).standard_normal((count, 2), dtype=np.float32), cache)

    np.testing.assert_array_equal(out, np.broadcast_to(beta, (count, 2)))
    np.testing.assert_array_equal(dgamma, [0, 0])
    assert np.isfinite(dx).all()


def test_a_feature_whose_running_variance_is_zero_is_finite_at_test_time():
    layer = BatchNorm(1, momentum=0.0)
    layer.forward(np.full((4, 1), 3, np.float32))
    layer.eval()

    out, _ = layer.forward(np.array([[3.0], [3.1]], dtype=np.float32))

    assert layer.running_var.tolist() == [0.0]
    np.testing.assert_allclose(out, [[0], [0.1 / np.sqrt(1e-5)]], rtol=1e-5)


def test_one_sample_is_refused_in_training_and_told_what_to_do():
    layer = BatchNorm(3)
    with pytest.raises(ValueError, match=r"at least 2 values per feature, got 1.*drop_last=True"):
        layer.forward(np.ones((1, 3), np.float32))

    np.testing.assert_array_equal(layer.running_mean, np.zeros(3))


def test_one_sample_is_fine_in_evaluation_and_changes_no_statistics():
    layer = BatchNorm(3)
    layer.eval()

    out, _ = layer.forward(np.full((1, 3), 2, np.float32))

    np.testing.assert_allclose(out, np.full((1, 3), 2 / np.sqrt(1 + 1e-5)), rtol=1e-6)
    np.testing.assert_array_equal(layer.running_mean, np.zeros(3))


def test_one_image_is_enough_in_training_when_it_has_two_pixels_and_one_pixel_is_refused():
    layer = BatchNorm2d(3)
    assert layer.forward(np.random.default_rng(0).random((1, 3, 1, 2)))[0].shape == (1, 3, 1, 2)

    with pytest.raises(ValueError, match="at least 2 values per feature, got 1"):
        layer.forward(np.ones((1, 3, 1, 1), np.float32))


def test_two_dimensional_batch_norm_of_single_pixels_is_the_one_dimensional_one():
    x, gamma, beta, dout = _case((6, 3))
    flat, image = BatchNorm(3), BatchNorm2d(3)

    out, cache = flat.forward(x)
    image_out, image_cache = image.forward(x.reshape(6, 3, 1, 1))

    np.testing.assert_array_equal(image_out.reshape(6, 3), out)
    np.testing.assert_array_equal(image.running_var, flat.running_var)
    np.testing.assert_array_equal(
        image.backward(dout.reshape(6, 3, 1, 1), image_cache)[0].reshape(6, 3), flat.backward(dout, cache)[0]
    )


def test_training_in_between_does_not_change_what_the_cache_of_an_earlier_pass_gives():
    layer = BatchNorm(3, dtype=np.float64)
    x, _, _, dout = _case((6, 3))
    _, cache = layer.forward(x)
    before = layer.backward(dout, cache)

    layer.forward(2 * x)

    for now, earlier in zip(layer.backward(dout, cache), before, strict=True):
        np.testing.assert_array_equal(now, earlier)


def test_no_argument_is_changed(backward):
    arrays = _case((6, 3))
    kept = [array.copy() for array in arrays]
    x, gamma, beta, dout = arrays
    _, cache = batchnorm_forward(x, gamma, beta)
    cached = [part.copy() for part in cache]

    backward(dout, cache)

    for array, before in zip([*arrays, *cache], [*kept, *cached], strict=True):
        np.testing.assert_array_equal(array, before)


def test_running_statistics_of_an_earlier_moment_are_not_overwritten():
    layer = BatchNorm(2)
    snapshot = layer.running_mean

    layer.forward(np.ones((4, 2), np.float32))

    np.testing.assert_array_equal(snapshot, np.zeros(2))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"features": 0}, "features must be at least 1"),
        ({"momentum": 1.0}, "weight of the old running value"),
        ({"momentum": -0.1}, "weight of the old running value"),
        ({"eps": 0.0}, "eps must be a finite number above 0"),
        ({"eps": float("nan")}, "eps must be a finite number above 0"),
    ],
)
def test_settings_outside_their_range_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**{"features": 3, **settings_})


def test_shapes_and_dtypes_that_do_not_fit_are_refused_by_name():
    x, one = np.ones((4, 3)), np.ones(3)
    with pytest.raises(ValueError, match="beta must have one number per feature"):
        batchnorm_forward(x, one, np.ones(1))
    with pytest.raises(ValueError, match="var must have one number per feature"):
        batchnorm_test_forward(x, one, one, mean=one, var=np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"expected x \(N, D\), got shape \(2, 3, 4, 5\)"):
        BatchNorm(3).forward(np.ones((2, 3, 4, 5)))
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\), got shape \(4, 3\)"):
        BatchNorm2d(3).forward(x)
    with pytest.raises(TypeError, match="expected floats, got dtype uint8"):
        BatchNorm(3).forward(np.ones((4, 3), np.uint8))


def _assert_finite_float32(layer, x):
    out, cache = layer.forward(x)
    gradients = layer.backward(np.ones_like(x), cache)
    for array in (out, *gradients, layer.running_mean, layer.running_var):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert out.shape == gradients[0].shape == x.shape


@PROPERTY
@given(st.integers(0, 9), st.integers(1, 7), st.sampled_from([0.0, 1e-4, 1.0, 1e4]), st.booleans())
def test_any_batch_stays_finite_float32_without_a_warning(N, D, size, training):
    layer = BatchNorm(D)
    layer.training = training
    x = (size * np.random.default_rng(N).uniform(-1, 1, (N, D))).astype(np.float32)
    if training and N < 2:
        with pytest.raises(ValueError, match="at least 2 values"):
            layer.forward(x)
    else:
        _assert_finite_float32(layer, x)


@PROPERTY
@given(st.integers(1, 4), st.integers(1, 3), st.integers(2, 5), st.integers(1, 5), st.sampled_from([0.0, 1.0, 1e4]))
def test_images_of_any_size_stay_finite_float32_without_a_warning(N, C, H, W, size):
    x = (size * np.random.default_rng(N).uniform(-1, 1, (N, C, H, W))).astype(np.float32)

    _assert_finite_float32(BatchNorm2d(C), x)


def test_float32_statistics_of_many_pixels_are_those_of_float64():
    x = np.random.default_rng(0).uniform(0, 255, (64, 2, 32, 32)).astype(np.float32)
    single, double = BatchNorm2d(2), BatchNorm2d(2, dtype=np.float64)

    out, _ = single.forward(x)
    expected, _ = double.forward(x.astype(np.float64))

    np.testing.assert_allclose(out, expected, atol=2e-6)
    np.testing.assert_allclose(single.running_var, double.running_var, rtol=1e-6)
