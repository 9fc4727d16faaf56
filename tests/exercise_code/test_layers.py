"""Activations and the affine layer against torch and finite differences."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exercise_code.networks.layer import (
    Elu,
    LeakyRelu,
    Maxout,
    Relu,
    Sigmoid,
    Tanh,
    affine_backward,
    affine_forward,
    maxout_backward,
    maxout_forward,
)

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)

ACTIVATIONS = {
    "sigmoid": (Sigmoid(), torch.sigmoid),
    "tanh": (Tanh(), torch.tanh),
    "relu": (Relu(), torch.relu),
    "leaky_relu": (LeakyRelu(), lambda x: torch.nn.functional.leaky_relu(x, 0.01)),
    "leaky_relu_slope_of_the_slide": (LeakyRelu(slope=0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1)),
    "elu": (Elu(), torch.nn.functional.elu),
    "elu_with_another_alpha": (Elu(alpha=2.5), lambda x: torch.nn.functional.elu(x, 2.5)),
}


@pytest.fixture(params=ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def activation(request):
    return request.param


def _numeric(function, x, dout, h=1e-6):
    """Gradient of sum(dout * function(x)) by central differences."""
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = np.sum(dout * (function(up) - function(down))) / (2 * h)
    return grad


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4)])
def test_activation_and_its_gradient_equal_torch(activation, shape):
    layer, reference = activation
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal(shape), rng.standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = reference(tensor)
    expected.backward(torch.tensor(dout))

    out, cache = layer.forward(x)

    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(layer.backward(dout, cache), tensor.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_inputs_give_finite_values_and_no_warning(activation, dtype):
    layer, reference = activation
    x = np.array([-1000, -100, 0, 100, 1000], dtype=dtype)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out, cache = layer.forward(x)
        dx = layer.backward(np.ones_like(x), cache)

    assert out.dtype == dtype
    assert dx.dtype == dtype
    np.testing.assert_allclose(out, reference(torch.tensor(x)).numpy(), rtol=1e-6, atol=1e-30)
    assert np.isfinite(dx).all()


def test_backward_changes_neither_the_upstream_gradient_nor_the_cache(activation):
    layer, _ = activation
    x, dout = np.array([[-1.0, 2.0]]), np.array([[3.0, 4.0]])
    _, cache = layer.forward(x)
    first = layer.backward(dout, cache)

    second = layer.backward(dout, cache)

    np.testing.assert_array_equal(dout, [[3.0, 4.0]])
    np.testing.assert_array_equal(x, [[-1.0, 2.0]])
    np.testing.assert_array_equal(first, second)


def test_activation_gradient_agrees_with_finite_differences(activation):
    layer, _ = activation
    rng = np.random.default_rng(3)
    x, dout = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    x[np.abs(x) < 0.01] = 0.5  # a difference quotient across the kink at 0 is neither slope

    _, cache = layer.forward(x)

    numeric = _numeric(lambda at: layer.forward(at)[0], x, dout)
    np.testing.assert_allclose(layer.backward(dout, cache), numeric, rtol=1e-6, atol=1e-9)


@PROPERTY
@given(x=hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=5), elements=st.floats(-1e4, 1e4, width=32)))
def test_activations_of_any_shape_and_size_of_number_stay_finite_float32_without_a_warning(x):
    for layer, _ in ACTIVATIONS.values():
        out, cache = layer.forward(x)
        dx = layer.backward(np.full_like(x, 1e4), cache)

        assert out.shape == dx.shape == x.shape
        assert out.dtype == dx.dtype == np.float32
        assert np.isfinite(out).all()
        assert np.isfinite(dx).all()


def test_an_empty_batch_passes_through_every_activation(activation):
    layer, _ = activation
    out, cache = layer.forward(np.zeros((0, 3)))

    assert out.shape == layer.backward(np.zeros((0, 3)), cache).shape == (0, 3)


def test_elu_keeps_the_digits_that_the_formula_as_written_loses_near_zero():
    out, _ = Elu().forward(np.array([-1e-12]))

    np.testing.assert_allclose(out, [-1e-12], rtol=1e-11)
    assert abs((np.exp(-1e-12) - 1) / -1e-12 - 1) > 1e-5


def test_elu_gradient_at_exactly_zero_is_alpha_as_in_torch():
    tensor = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.elu(tensor, 2.5).sum().backward()

    _, cache = Elu(alpha=2.5).forward(np.zeros(1))

    assert Elu(alpha=2.5).backward(np.ones(1), cache) == tensor.grad.item() == 2.5


@pytest.mark.parametrize("alpha", [-0.1, float("inf"), float("nan")])
def test_elu_refuses_an_alpha_that_is_negative_or_not_finite(alpha):
    with pytest.raises(ValueError, match="alpha must be a finite number >= 0"):
        Elu(alpha=alpha)


def _maxout_case(pieces=3, shape=(5, 4), units=2, seed=0):
    rng = np.random.default_rng(seed)
    features = int(np.prod(shape[1:]))
    draw = rng.standard_normal
    return draw(shape), draw((pieces, features, units)), draw((pieces, units)), draw((shape[0], units))


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (5, 4), (3, 2, 2, 3)])
def test_maxout_and_its_three_gradients_equal_torch(pieces, shape):
    x, w, b, dout = _maxout_case(pieces, shape)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, w, b)]
    expected = (torch.flatten(tensors[0], 1) @ tensors[1] + tensors[2][:, None]).max(dim=0).values
    expected.backward(torch.tensor(dout))

    out, cache = maxout_forward(x, w, b)
    gradients = maxout_backward(dout, cache)

    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-10)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        assert gradient.shape == tuple(tensor.shape)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_maxout_gradients_agree_with_finite_differences():
    x, w, b, dout = _maxout_case()
    dx, dw, db = maxout_backward(dout, maxout_forward(x, w, b)[1])

    tolerance = {"rtol": 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(dx, _numeric(lambda at: maxout_forward(at, w, b)[0], x, dout), **tolerance)
    np.testing.assert_allclose(dw, _numeric(lambda at: maxout_forward(x, at, b)[0], w, dout), **tolerance)
    np.testing.assert_allclose(db, _numeric(lambda at: maxout_forward(x, w, at)[0], b, dout), **tolerance)


@pytest.mark.parametrize(
    ("layer", "slope"), [(Relu(), 0.0), (LeakyRelu(slope=0.1), 0.1)], ids=["relu", "the_slides_leaky_relu"]
)
def test_maxout_of_two_pieces_through_the_origin_is_a_rectifier(layer, slope):
    x, dout = np.random.default_rng(0).standard_normal((2, 6, 4))
    w, b = np.stack([np.eye(4), slope * np.eye(4)]), np.zeros((2, 4))

    out, cache = maxout_forward(x, w, b)
    expected, expected_cache = layer.forward(x)

    np.testing.assert_allclose(out, expected)
    np.testing.assert_allclose(maxout_backward(dout, cache)[0], layer.backward(dout, expected_cache))


def test_of_equal_maxout_pieces_the_first_gets_the_whole_gradient():
    x, w, b = np.ones((1, 2)), np.ones((3, 2, 1)), np.zeros((3, 1))

    _, dw, db = maxout_backward(np.array([[5.0]]), maxout_forward(x, w, b)[1])

    np.testing.assert_array_equal(dw[:, :, 0], [[5, 5], [0, 0], [0, 0]])
    np.testing.assert_array_equal(db, [[5], [0], [0]])


def test_maxout_skips_the_input_gradient_on_request():
    x, w, b, dout = _maxout_case()
    _, cache = maxout_forward(x, w, b)

    dx, dw, _ = maxout_backward(dout, cache, need_dx=False)

    assert dx is None
    np.testing.assert_array_equal(dw, maxout_backward(dout, cache)[1])


def test_the_maxout_layer_computes_what_its_functions_compute_and_changes_no_argument():
    arrays = _maxout_case()
    kept = [array.copy() for array in arrays]
    x, w, b, dout = arrays
    layer = Maxout(w, b)

    out, cache = layer.forward(x)
    gradients = layer.backward(dout, cache)

    np.testing.assert_array_equal(out, maxout_forward(x, w, b)[0])
    for gradient, expected in zip(gradients, maxout_backward(dout, cache), strict=True):
        np.testing.assert_array_equal(gradient, expected)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@PROPERTY
@given(st.integers(0, 7), st.integers(1, 4), st.integers(1, 7), st.integers(1, 5), st.sampled_from([1.0, 1e4, -1e4]))
def test_maxout_of_any_shape_stays_finite_float32_without_a_warning(N, pieces, D, M, size):
    rng = np.random.default_rng(N)
    x, w = np.full((N, D), size, np.float32), rng.standard_normal((pieces, D, M), dtype=np.float32)

    out, cache = maxout_forward(x, w, np.zeros((pieces, M), np.float32))
    gradients = maxout_backward(np.ones_like(out), cache)

    assert out.shape == (N, M)
    for gradient, shape in zip(gradients, [(N, D), (pieces, D, M), (pieces, M)], strict=True):
        assert gradient.shape == shape
        assert gradient.dtype == out.dtype == np.float32
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("w_shape", "b_shape"), [((2, 5, 3), (2, 3)), ((2, 4, 3), (3,)), ((4, 3), (3,)), ((0, 4, 3), (0, 3))]
)
def test_maxout_shapes_that_do_not_fit_are_refused_with_the_shapes(w_shape, b_shape):
    with pytest.raises(ValueError, match=r"maxout expected x \(N, D\), w \(k, D, M\)"):
        maxout_forward(np.ones((6, 4)), np.ones(w_shape), np.ones(b_shape))


def test_affine_layer_matches_a_product_worked_by_hand():
    x, w, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0])

    out, cache = affine_forward(x, w, b)
    dx, dw, db = affine_backward(np.array([[1.0, 10.0]]), cache)

    np.testing.assert_array_equal(out, [[23.0, 36.0]])
    np.testing.assert_array_equal(dx, [[43.0, 65.0]])
    np.testing.assert_array_equal(dw, [[1.0, 10.0], [2.0, 20.0]])
    np.testing.assert_array_equal(db, [1.0, 10.0])


def test_affine_backward_skips_the_input_gradient_on_request():
    _, cache = affine_forward(np.ones((2, 3)), np.ones((3, 4)), np.zeros(4))

    dx, dw, _ = affine_backward(np.ones((2, 4)), cache, need_dx=False)

    assert dx is None
    np.testing.assert_array_equal(dw, np.full((3, 4), 2.0))


def test_affine_layer_flattens_images_and_gives_the_gradient_in_their_shape():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 4, 3)), rng.standard_normal((48, 5))

    out, cache = affine_forward(x, w, np.zeros(5))
    dx, _, _ = affine_backward(np.ones((2, 5)), cache)

    np.testing.assert_allclose(out, x.reshape(2, 48) @ w)
    assert dx.shape == x.shape
