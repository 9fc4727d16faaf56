"""Inverted dropout: the distribution of its masks, its gradient, and the switch to evaluation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exercise_code.networks.dropout import Dropout, dropout_backward, dropout_forward

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.8])
def test_the_setting_is_the_share_of_units_that_is_dropped(drop):
    out, _ = dropout_forward(np.ones(100_000), drop, training=True, rng=_rng())

    assert np.mean(out == 0) == pytest.approx(drop, abs=4 * np.sqrt(drop * (1 - drop) / 100_000))


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.8])
def test_survivors_are_scaled_up_so_that_the_expected_output_is_the_input(drop):
    x = np.full(100_000, 3.0)

    out, _ = dropout_forward(x, drop, training=True, rng=_rng())

    np.testing.assert_allclose(np.unique(out), [0, 3 / (1 - drop)])
    assert out.mean() == pytest.approx(3, abs=4 * 3 * np.sqrt(drop / (1 - drop) / 100_000))


def test_each_unit_is_dropped_on_its_own():
    masks, _ = dropout_forward(np.ones((20_000, 2)), 0.5, training=True, rng=_rng())

    assert abs(np.corrcoef(masks.T)[0, 1]) < 0.03


def test_evaluation_returns_the_input_and_draws_nothing():
    x, rng = np.array([[1.0, -2.0]]), _rng()

    out, cache = dropout_forward(x, 0.5, training=False, rng=rng)

    assert cache is None
    np.testing.assert_array_equal(out, x)
    assert rng.random() == _rng().random()


def test_a_probability_of_zero_is_the_identity_in_training_too():
    rng = _rng()
    out, cache = dropout_forward(np.array([1.0, -2.0]), 0.0, training=True, rng=rng)

    assert cache is None
    assert out.tolist() == [1.0, -2.0]
    assert rng.random() == _rng().random()


def test_backward_uses_the_mask_of_the_forward_pass_and_agrees_with_finite_differences():
    x, dout = _rng().standard_normal((2, 4, 5))
    out, cache = dropout_forward(x, 0.4, training=True, rng=_rng(7))
    numeric = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        above, below = (dropout_forward(at, 0.4, training=True, rng=_rng(7))[0] for at in (up, down))
        numeric[index] = np.sum(dout * (above - below)) / 2e-6

    dx = dropout_backward(dout, cache)

    np.testing.assert_array_equal(dx == 0, out == 0)
    np.testing.assert_allclose(dx, numeric, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(dx, dout * np.where(out == 0, 0, 1 / 0.6))


def test_backward_of_an_evaluation_pass_is_the_identity():
    layer = Dropout(0.5, rng=_rng())
    layer.eval()
    _, cache = layer.forward(np.ones((2, 3)))

    np.testing.assert_array_equal(layer.backward(np.full((2, 3), 7.0), cache), np.full((2, 3), 7.0))


def test_the_layer_draws_a_new_mask_each_time_and_the_same_ones_from_the_same_seed():
    x = np.ones((8, 8))
    layer, twin = Dropout(0.5, rng=_rng(3)), Dropout(0.5, rng=_rng(3))
    first, second = layer.forward(x)[0], layer.forward(x)[0]

    assert (first != second).any()
    np.testing.assert_array_equal(first, twin.forward(x)[0])
    np.testing.assert_array_equal(second, twin.forward(x)[0])


def test_evaluation_in_between_does_not_change_the_masks_that_follow():
    x = np.ones((8, 8))
    layer, twin = Dropout(0.5, rng=_rng(3)), Dropout(0.5, rng=_rng(3))
    layer.forward(x), twin.forward(x)

    layer.eval()
    layer.forward(x)
    layer.train()

    np.testing.assert_array_equal(layer.forward(x)[0], twin.forward(x)[0])


def test_no_argument_is_changed():
    x, dout = np.ones((3, 3)), np.ones((3, 3))
    _, mask = dropout_forward(x, 0.5, training=True, rng=_rng())
    kept = mask.copy()

    dropout_backward(dout, mask)

    assert (x == 1).all()
    assert (dout == 1).all()
    np.testing.assert_array_equal(mask, kept)


@pytest.mark.parametrize("drop", [-0.1, 1.0, 1.5, float("nan")])
def test_a_probability_outside_zero_to_one_is_refused_with_its_meaning(drop):
    with pytest.raises(ValueError, match="probability to drop a unit"):
        Dropout(drop, rng=_rng())
    with pytest.raises(ValueError, match="probability to drop a unit"):
        dropout_forward(np.ones(2), drop, training=True, rng=_rng())


@pytest.mark.parametrize("rng", [None, 0, np.random])
def test_anything_but_a_generator_is_refused(rng):
    with pytest.raises(TypeError, match="must be a numpy Generator"):
        Dropout(0.5, rng=rng)


def test_integers_are_refused_because_the_scaled_mask_would_be_rounded():
    with pytest.raises(TypeError, match="expected floats, got dtype int64"):
        dropout_forward(np.ones(2, dtype=np.int64), 0.3, training=True, rng=_rng())


@PROPERTY
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_side=0, max_dims=4, max_side=5),
        elements=st.floats(-1e4, 1e4, width=32),
    ),
    st.floats(0, 0.99),
    st.booleans(),
)
def test_any_shape_stays_finite_float32_without_a_warning(x, drop, training):
    out, cache = dropout_forward(x, drop, training=training, rng=_rng())
    dx = dropout_backward(np.ones_like(x), cache)

    assert out.shape == dx.shape == x.shape
    assert out.dtype == dx.dtype == np.float32
    assert np.isfinite(out).all()
