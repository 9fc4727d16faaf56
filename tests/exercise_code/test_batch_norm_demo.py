"""Batch norm's third hypothesis on images drawn by a program."""

import numpy as np
import pytest

from exercise_code.batch_norm_demo import WITH, WITHOUT, compare_batch_norm, smoothness_summary
from exercise_code.data import ArrayDataset, ComposeTransform, DataLoader, FlattenTransform, RescaleTransform
from exercise_code.data.synthetic import make
from exercise_code.landscape import GradientProbe, SmoothnessHistory


@pytest.fixture(scope="module")
def loader():
    images, labels, _ = make("mnist", n=1000)
    chain = ComposeTransform([RescaleTransform((-1, 1)), FlattenTransform()])
    return DataLoader(ArrayDataset(images, labels, chain), 100, shuffle=True)


def test_with_batch_norm_the_gradient_ahead_is_more_predictable_and_the_loss_smoother(loader):
    histories = compare_batch_norm(loader, steps=40, every=5, hidden_size=50, learning_rate=0.1)

    summary = smoothness_summary(histories)

    assert list(histories) == [WITHOUT, WITH]
    for measure in ("loss range", "gradient change", "beta"):
        assert summary[WITH][measure] < 0.8 * summary[WITHOUT][measure], measure


def test_both_see_the_loaders_next_batches_and_leave_it_where_it_was(loader):
    before = loader.rng.bit_generator.state

    once, twice = (compare_batch_norm(loader, steps=4, every=2, num_layer=3, hidden_size=20) for _ in range(2))

    assert loader.rng.bit_generator.state == before
    for name in (WITHOUT, WITH):
        np.testing.assert_array_equal(once[name].losses, twice[name].losses)


def test_a_run_that_blows_up_counts_as_infinitely_rough(loader):
    summary = smoothness_summary(compare_batch_norm(loader, steps=20, every=2, hidden_size=50, learning_rate=30.0))

    assert summary[WITHOUT] == {"loss range": np.inf, "gradient change": np.inf, "beta": np.inf}
    assert np.isfinite(list(summary[WITH].values())).all()


def test_the_summary_is_the_median_over_probes():
    def probe(size):
        return GradientProbe(np.array([1.0, 2.0]), 5.0, 2.0, np.array([5.0, 5.0 - size]), np.array([size, 3 * size]))

    history = SmoothnessHistory(np.arange(3), (probe(1.0), probe(9.0), probe(2.0)))

    # changes 2 and 6 over distances 2 and 4
    assert smoothness_summary({"net": history})["net"] == {"loss range": 2.0, "gradient change": 3.0, "beta": 1.5}
