"""The full Jacobian against torch's, finite differences, and the backward pass it explains."""

import numpy as np
import pytest
import torch

from exercise_code.networks.batchnorm import batchnorm_forward
from exercise_code.networks.dropout import Dropout
from exercise_code.networks.jacobian import MAX_ELEMENTS, jacobian
from exercise_code.networks.layer import Elu, LeakyRelu, Maxout, Relu, Sigmoid, Tanh
from exercise_code.networks.normalization import BatchNorm

ELEMENT_WISE = {
    "sigmoid": (Sigmoid(), torch.sigmoid),
    "tanh": (Tanh(), torch.tanh),
    "relu": (Relu(), torch.relu),
    "leaky_relu": (LeakyRelu(0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1)),
    "elu": (Elu(1.5), lambda x: torch.nn.functional.elu(x, 1.5)),
}


def _layer(name, rng):
    if name == "maxout":
        return Maxout(rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 5)))
    return BatchNorm(4, dtype=np.float64)


@pytest.mark.parametrize(("layer", "reference"), ELEMENT_WISE.values(), ids=ELEMENT_WISE.keys())
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3)])
def test_the_jacobian_of_an_element_wise_function_is_diagonal_and_equals_torchs(layer, reference, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    expected = torch.autograd.functional.jacobian(reference, torch.tensor(x)).numpy().reshape(x.size, x.size)

    full = jacobian(layer, x)

    assert np.count_nonzero(full - np.diag(np.diag(full))) == 0
    np.testing.assert_allclose(full, expected, rtol=1e-10)


@pytest.mark.parametrize(("layer", "reference"), ELEMENT_WISE.values(), ids=ELEMENT_WISE.keys())
def test_its_transpose_times_the_upstream_gradient_is_backward(layer, reference):
    x, dout = np.random.default_rng(1).standard_normal((2, 9))
    _, cache = layer.forward(x)

    np.testing.assert_allclose(jacobian(layer, x).T @ dout, layer.backward(dout, cache), rtol=1e-12)


@pytest.mark.parametrize("name", ["maxout", "batch_norm"])
def test_the_jacobian_of_a_layer_that_mixes_inputs_is_full_and_agrees_with_finite_differences(name):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 4))
    layer = _layer(name, rng)
    out, cache = layer.forward(x)
    dout = rng.standard_normal(out.shape)

    full = jacobian(layer, x)

    columns = []
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        columns.append((layer.forward(up)[0] - layer.forward(down)[0]).ravel() / 2e-6)
    np.testing.assert_allclose(full, np.stack(columns, axis=1), atol=1e-8)
    np.testing.assert_allclose(full.T @ dout.ravel(), layer.backward(dout, cache)[0].ravel(), atol=1e-12)


def test_batch_norm_in_training_couples_the_samples_and_at_test_time_does_not():
    layer, x = BatchNorm(1, dtype=np.float64), np.array([[1.0], [2.0], [6.0]])

    in_training = jacobian(layer, x)
    layer.eval()
    at_test_time = jacobian(layer, x)

    assert np.count_nonzero(in_training) == 9
    np.testing.assert_allclose(in_training.sum(axis=1), 0, atol=1e-12)  # shifting all samples changes nothing
    np.testing.assert_allclose(at_test_time, np.eye(3) / np.sqrt(layer.running_var[0] + layer.eps))


def test_a_dropout_layer_draws_one_mask_for_the_whole_matrix():
    x = np.ones(16)
    mask, _ = Dropout(0.5, rng=np.random.default_rng(4)).forward(x)

    np.testing.assert_array_equal(jacobian(Dropout(0.5, rng=np.random.default_rng(4)), x), np.diag(mask))


def test_a_wrong_backward_shows_because_the_matrix_is_made_of_it():
    class Wrong(Sigmoid):
        def backward(self, dout, cache):
            return dout * cache

    x = np.array([0.3, -0.8])

    assert not np.allclose(jacobian(Wrong(), x), jacobian(Sigmoid(), x))


def test_a_large_input_or_output_is_refused_before_the_memory_is_taken():
    with pytest.raises(ValueError, match=f"input of at most {MAX_ELEMENTS} numbers, got 1000000"):
        jacobian(Relu(), np.zeros((1000, 1000)))
    with pytest.raises(ValueError, match="output of at most 8 numbers, got 9"):
        jacobian(Maxout(np.ones((2, 1, 9)), np.ones((2, 9))), np.ones((1, 1)), max_elements=8)


def test_the_dtype_is_the_layers_and_the_input_stays_as_it_was():
    x = np.array([[-1.0, 2.0]], dtype=np.float32)

    full = jacobian(Tanh(), x)

    assert full.dtype == np.float32
    assert full.shape == (2, 2)
    np.testing.assert_array_equal(x, [[-1.0, 2.0]])


def test_the_rows_of_the_batch_norm_jacobian_have_the_size_that_the_formula_gives():
    x = np.array([[0.0], [4.0]])
    out, cache = batchnorm_forward(x, np.ones(1), np.zeros(1))

    # two samples are always normalised to -1 and 1 (but for eps), so nothing can change the output
    np.testing.assert_allclose(out, [[-1], [1]], atol=1e-5)
    np.testing.assert_allclose(jacobian(BatchNorm(1, dtype=np.float64), x), 0, atol=1e-6)
    assert cache.mean == 2
