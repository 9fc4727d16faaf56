"""The classroom gradient check: numeric gradients against torch's, relative errors against numbers by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exercise_code.diagnostics import dead_units
from exercise_code.gradient_check import check_layer
from exercise_code.networks.layer import Sigmoid
from exercise_code.numeric_gradient import numeric_gradient, relative_error

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (2, 1, 3)])
def test_the_numeric_gradient_equals_torchs(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    (torch.sin(tensor).sum() * tensor.prod()).backward()

    numeric = numeric_gradient(lambda v: float(np.sin(v).sum() * v.prod()), x)

    assert numeric.dtype == np.float64
    np.testing.assert_allclose(numeric, tensor.grad.numpy(), rtol=1e-7, atol=1e-9)


def test_the_step_is_the_one_that_was_asked_for_and_goes_to_both_sides():
    x = np.array([1.0, -2.0])

    # the central difference of x**3 is 3 x**2 + h**2, without further terms
    np.testing.assert_allclose(numeric_gradient(lambda v: float(np.sum(v**3)), x, h=0.5), 3 * x**2 + 0.25)
    np.testing.assert_array_equal(x, [1.0, -2.0])


def test_the_error_falls_with_the_square_of_the_step_until_rounding_takes_over():
    x = np.array([0.7])
    errors = [abs(numeric_gradient(lambda v: float(np.exp(v[0])), x, h)[0] - np.exp(0.7)) for h in (1e-1, 1e-2, 1e-3)]

    np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 100, rtol=0.01)
    assert abs(numeric_gradient(lambda v: float(np.exp(v[0])), x, 1e-14)[0] - np.exp(0.7)) > 1e-4


def test_an_empty_array_has_an_empty_gradient():
    assert numeric_gradient(lambda v: 1.0, np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 100.0], [1.0, 101.0], 1 / 101),
        ([1.0], [-1.0], 2.0),
        ([0.0], [0.0], 0.0),
        ([1e-12], [0.0], 1e-4),
        ([2.0, -8.0], [1.0, -10.0], 0.5),
    ],
)
def test_relative_errors_by_hand(a, b, expected):
    assert relative_error(np.array(a), np.array(b)) == pytest.approx(expected, rel=1e-12)
    assert relative_error(np.array(b), np.array(a)) == pytest.approx(expected, rel=1e-12)


@PROPERTY
@given(
    st.tuples(*[hnp.arrays(np.float64, (3, 2), elements=st.floats(-1e6, 1e6, allow_subnormal=False))] * 2),
    st.integers(-3, 6),
)
def test_a_relative_error_is_symmetric_at_most_two_and_does_not_depend_on_the_unit(pair, power):
    a, b = pair
    error = relative_error(a, b)

    assert 0 <= error <= 2
    assert error == relative_error(b, a)
    if np.maximum(abs(a), abs(b)).min() > 1e-4:  # above the floor
        assert relative_error(a * 10.0**power, b * 10.0**power) == pytest.approx(error, rel=1e-9, abs=1e-12)


def test_a_nan_never_looks_like_agreement():
    assert np.isnan(relative_error(np.array([np.nan, 1.0]), np.ones(2)))


def test_two_shapes_are_refused_instead_of_broadcast():
    with pytest.raises(ValueError, match=r"\(3,\) and \(3, 1\)"):
        relative_error(np.ones(3), np.ones((3, 1)))


def test_the_short_check_and_the_thorough_one_agree_about_right_and_wrong():
    class Wrong(Sigmoid):
        def backward(self, dout, cache):
            return dout * cache

    x = np.random.default_rng(1).uniform(-3, 3, (4, 3))
    dout = np.random.default_rng(2).standard_normal((4, 3))
    for layer in (Sigmoid(), Wrong()):
        numeric = numeric_gradient(lambda v, layer=layer: float(np.sum(layer.forward(v)[0] * dout)), x)
        error = relative_error(layer.backward(dout, layer.forward(x)[1]), numeric)

        assert (error < 1e-6) == check_layer(layer.forward, layer.backward, x).passed


def test_a_unit_is_dead_only_when_it_is_silent_for_every_sample():
    out = np.array([[0.0, 0.0, 0.0, 3.0], [0.0, 1e-30, 0.0, 0.0]])

    assert dead_units(out).tolist() == [True, False, True, False]
    assert dead_units(out).dtype == bool
    assert dead_units(out[:1]).tolist() == [True, True, True, False]
