"""Activations and the affine layer against torch and finite differences."""

import warnings

import numpy as np
import pytest
import torch

from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh, affine_backward, affine_forward

ACTIVATIONS = {
    "sigmoid": (Sigmoid(), torch.sigmoid),
    "tanh": (Tanh(), torch.tanh),
    "relu": (Relu(), torch.relu),
    "leaky_relu": (LeakyRelu(), lambda x: torch.nn.functional.leaky_relu(x, 0.01)),
    "leaky_relu_slope_of_the_slide": (LeakyRelu(slope=0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1)),
}


@pytest.fixture(params=ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def activation(request):
    return request.param


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
