"""Initial scales against torch's gains, and what they do to the signal in a deep network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code.networks.initialization import he_scale, initial_scale, initial_weights, xavier_scale
from exercise_code.networks.layer import Relu, Tanh

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.1, 1.0])
def test_he_scale_is_torchs_gain_over_the_square_root_of_the_inputs(slope):
    gain = torch.nn.init.calculate_gain("leaky_relu", slope)

    assert he_scale(300, slope) == pytest.approx(gain / np.sqrt(300), rel=1e-12)


def test_weights_have_the_standard_deviation_of_torchs_initialisers():
    fan_in, fan_out = 400, 300
    he, xavier = torch.empty(fan_out, fan_in), torch.empty(fan_out, fan_in)  # torch stores W transposed
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.kaiming_normal_(he, nonlinearity="relu", generator=generator)
    torch.nn.init.xavier_normal_(xavier, generator=generator)
    rng = np.random.default_rng(0)

    # the sample deviation of 120,000 normal numbers is within 1 % of the true one (5 sigma)
    assert initial_weights("he", fan_in, fan_out, rng=rng).std() == pytest.approx(float(he.std()), rel=0.02)
    assert initial_weights("xavier", fan_in, fan_out, rng=rng).std() == pytest.approx(float(xavier.std()), rel=0.02)


@pytest.mark.parametrize("std", [0.0, 1e-3, "he", "xavier"])
def test_weights_are_the_generators_normal_numbers_times_the_scale(std):
    weights = initial_weights(std, 6, 4, rng=np.random.default_rng(5), dtype=np.float64)

    expected = initial_scale(std, 6, 4) * np.random.default_rng(5).standard_normal((6, 4))
    np.testing.assert_array_equal(weights, expected)


def test_every_dtype_starts_from_the_same_weights():
    single = initial_weights("he", 6, 4, rng=np.random.default_rng(5))
    double = initial_weights("he", 6, 4, rng=np.random.default_rng(5), dtype=np.float64)

    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))


def _last_layer_deviation(std, activation, layers=10, width=300):
    """Standard deviation of the activations after so many layers, for inputs of deviation 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, width))
    for _ in range(layers):
        x, _ = activation.forward(x @ initial_weights(std, width, width, rng=rng, dtype=np.float64))
    return np.sqrt(np.mean(x**2))


def test_he_keeps_the_size_of_a_deep_relu_networks_signal():
    assert 0.5 < _last_layer_deviation("he", Relu()) < 2


def test_xavier_lets_a_deep_relu_network_lose_half_its_variance_per_layer():
    ratio = _last_layer_deviation("he", Relu()) / _last_layer_deviation("xavier", Relu())

    assert ratio == pytest.approx(np.sqrt(2) ** 10, rel=1e-6)


def test_xavier_keeps_a_deep_tanh_network_away_from_zero_and_saturation():
    assert 0.1 < _last_layer_deviation("xavier", Tanh()) < 0.9


def test_the_exercises_default_of_one_thousandth_leaves_nothing_after_a_few_layers():
    assert _last_layer_deviation(1e-3, Relu(), layers=4) < 1e-7


@pytest.mark.parametrize("std", ["kaiming", "", -0.1, float("nan"), float("inf")])
def test_an_unknown_word_or_a_negative_or_infinite_number_is_refused(std):
    with pytest.raises(ValueError, match='std must be a number >= 0, "he" or "xavier"'):
        initial_scale(std, 3, 3)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(0, 3), (3, 0), (-1, 3)])
def test_a_fan_below_one_is_refused_by_name(fan_in, fan_out):
    with pytest.raises(ValueError, match="fan_(in|out) must be at least 1"):
        xavier_scale(fan_in, fan_out)
    with pytest.raises(ValueError, match="fan_(in|out) must be at least 1"):
        initial_weights(0.1, fan_in, fan_out, rng=np.random.default_rng(0))


@PROPERTY
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 1e-3, 1e4, "he", "xavier"]))
def test_any_shape_gives_finite_float32_weights(fan_in, fan_out, std):
    weights = initial_weights(std, fan_in, fan_out, rng=np.random.default_rng(0))

    assert weights.shape == (fan_in, fan_out)
    assert weights.dtype == np.float32
    assert np.isfinite(weights).all()
