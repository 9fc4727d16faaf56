"""Confusion counts, worst mistakes and the figures that show them."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from exercise_code import plots
from exercise_code.diagnostics import confusion_matrix, worst_mistakes
from exercise_code.hyperparameter_tuning import Trial


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_confusion_counts_equal_scikit_learns():
    from sklearn.metrics import confusion_matrix as reference

    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(5, size=200), rng.integers(5, size=200)

    np.testing.assert_array_equal(
        confusion_matrix(labels, predictions, 5), reference(labels, predictions, labels=range(5))
    )


def test_worst_mistakes_are_the_surest_wrong_ones_in_order():
    logits = np.array([[5.0, 0.0], [0.0, 9.0], [0.0, 1.0], [1.0, 0.0], [900.0, 0.0]])
    labels = [0, 0, 0, 1, 1]  # rows 1, 2, 3 and 4 are wrong

    assert worst_mistakes(logits, labels, 3).tolist() == [4, 1, 2]


def test_no_mistakes_give_an_empty_list():
    assert worst_mistakes(np.eye(3), [0, 1, 2]).size == 0


def test_the_search_plot_shows_every_finite_trial_and_names_the_best():
    trials = [
        Trial({"learning_rate": rate, "reg": 1e-3}, 1.0, accuracy, 0.5, 1)
        for rate, accuracy in [(1e-4, 0.3), (1e-2, 0.4), (1.0, float("nan"))]
    ]

    axes = plots.plot_search(trials, "learning_rate").axes[0]

    assert len(axes.collections[0].get_offsets()) == 2
    assert axes.texts[0].get_text() == "best 40.0 %"
    assert axes.get_xscale() == "log"


def test_the_confusion_plot_prints_row_percentages():
    axes = plots.plot_confusion([[3, 1], [0, 4]], ["a", "b"]).axes[0]

    assert [text.get_text() for text in axes.texts] == ["75", "25", "0", "100"]


def test_the_image_grid_handles_a_row_that_is_not_full():
    figure = plots.show_images(np.zeros((3, 4, 4, 1), dtype=np.uint8), ["a", "b", "c"], columns=2)

    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]


def test_the_worst_mistakes_are_shown_with_prediction_sureness_and_truth():
    images = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    logits = np.array([[9.0, 0.0], [0.0, np.log(3)], [1.0, 0.0]])

    figure = plots.plot_worst_mistakes(images, logits, [1, 0, 0], ["cat", "dog"])

    assert [axes.get_title() for axes in figure.axes] == ["cat 100 %\nis dog", "dog 75 %\nis cat"]


def test_a_network_without_mistakes_has_no_worst_ones_to_show():
    with pytest.raises(ValueError, match="wrong prediction"):
        plots.plot_worst_mistakes(np.zeros((2, 4, 4, 3), dtype=np.uint8), np.eye(2), [0, 1], ["cat", "dog"])
