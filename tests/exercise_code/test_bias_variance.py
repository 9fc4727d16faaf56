"""Lecture 002's four cases, split sizes against scipy and simulation, folds against scikit-learn, cross-validation."""

import copy
import math

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exercise_code import bias_variance, plots_bias_variance, plots_diagnostics
from exercise_code.bias_variance import accuracy_interval, dev_size_for_change, diagnose, plan_split
from exercise_code.cross_validation import cross_validate, kfold_indices
from exercise_code.data import DataLoader
from exercise_code.data.dataset import ArrayDataset
from exercise_code.data.subset import Subset
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.solver import Solver

CASES = {
    "bias": (0.85, 0.83, 0.82),
    "variance": (0.97, 0.75, 0.74),
    "both": (0.85, 0.75, 0.73),
    "dev overfitting": (0.97, 0.94, 0.85),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize(("name", "accuracies"), CASES.items())
def test_the_lectures_four_cases_get_their_names(name, accuracies):
    diagnosis = diagnose(*accuracies)

    assert diagnosis.name == name
    assert list(diagnosis.remedies) == (["bias", "variance"] if name == "both" else [name])
    assert str(diagnosis).startswith(f"diagnosis: {name}\n")


def test_a_good_network_has_no_problem_and_needs_no_remedy():
    diagnosis = diagnose(0.98, 0.96, 0.95)

    assert (diagnosis.name, diagnosis.problems, diagnosis.remedies) == ("none", (), {})


def test_problems_may_come_together():
    assert diagnose(0.8, 0.7, 0.6).name == "both and dev overfitting"
    assert diagnose(0.8, 0.78, 0.6).name == "bias and dev overfitting"


def test_bias_is_measured_against_people_and_not_against_perfection():
    assert diagnose(0.85, 0.83, human=0.87).name == "none"
    assert diagnose(0.85, 0.83, human=1.0).name == "bias"


def test_variance_is_the_gap_to_the_dev_set_so_dev_overfitting_is_not_counted_as_variance():
    assert "variance" not in diagnose(*CASES["dev overfitting"]).problems


def test_a_gap_smaller_than_the_noise_of_the_sets_is_not_a_finding():
    assert diagnose(0.97, 0.91, 0.84).name == "both".replace("both", "variance and dev overfitting")
    assert diagnose(0.97, 0.91, 0.84, sizes=(1034, 133, 128)).name == "variance"


def test_a_gap_of_exactly_the_threshold_does_not_count():
    assert diagnose(0.95, 0.95).name == "none"


@pytest.mark.parametrize("accuracies", [(85, 83), (0.9, -0.1), (math.nan, 0.5)])
def test_accuracies_outside_zero_to_one_are_refused(accuracies):
    with pytest.raises(ValueError, match="fraction"):
        diagnose(*accuracies)


def test_sizes_must_match_the_accuracies():
    with pytest.raises(ValueError, match="sizes"):
        diagnose(0.9, 0.8, sizes=(1, 2, 3))


@pytest.mark.parametrize(("correct", "size"), [(0, 1), (1, 1), (0, 10), (109, 128), (500, 1000), (1000, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_of_an_accuracy_equals_scipys_wilson_interval(correct, size, confidence):
    from scipy.stats import binomtest

    expected = binomtest(correct, size).proportion_ci(confidence, method="wilson")

    np.testing.assert_allclose(
        accuracy_interval(correct / size, size, confidence), [expected.low, expected.high], rtol=1e-10, atol=1e-15
    )


def test_the_lectures_dev_size_is_two_hundred():
    assert bias_variance.dev_size_for_events(0.1, 10) == 200


@pytest.mark.parametrize(("error_rate", "change", "size"), [(0.1, 0.05, None), (0.3, 0.1, None), (0.1, 0.05, 200)])
def test_the_dev_size_finds_the_change_as_often_as_it_says(error_rate, change, size):
    """Simulated: the z test of two proportions; the lecture's 200 samples find the change every second time only."""
    expected = 0.8 if size is None else 0.48
    size = size or dev_size_for_change(error_rate, change)
    rng = np.random.default_rng(0)
    p, q = (rng.binomial(size, rate, 40_000) / size for rate in (error_rate, error_rate - change))

    found = np.mean((p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / size) > 1.959964)

    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dev_size_for_change(0.1, 0.2),
        lambda: dev_size_for_change(0.0, 0.1),
        lambda: dev_size_for_change(0.1, 0.1, power=1.0),
        lambda: bias_variance.dev_size_for_events(0.0),
        lambda: bias_variance.dev_size_for_events(0.1, 0),
        lambda: accuracy_interval(85, 10),
        lambda: accuracy_interval(0.5, 0),
        lambda: accuracy_interval(0.5, 10, 1.0),
        lambda: plan_split(2),
        lambda: plan_split(100, largest_share=0.5),
    ],
)
def test_rates_and_sizes_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="got"):
        call()


@given(st.integers(3, 10**7))
def test_a_plan_uses_every_sample_once_and_leaves_something_for_each_part(size):
    plan = plan_split(size)

    assert plan.train + plan.val + plan.test == size
    assert min(plan.train, plan.val, plan.test) >= 1
    assert plan.val <= max(1, 0.15 * size)


def test_a_small_set_is_sent_to_cross_validation_and_a_large_one_is_not():
    assert "k-fold" in plan_split(1000).advice
    assert "k-fold" not in plan_split(100_000).advice


@given(size=st.integers(2, 60), data=st.data())
def test_every_sample_is_held_out_once_and_folds_are_even(size, data):
    k = data.draw(st.integers(2, size))

    folds = kfold_indices(size, k)

    held_out = np.concatenate([val for _, val in folds])
    assert sorted(held_out.tolist()) == list(range(size))
    assert np.ptp([len(val) for _, val in folds]) <= 1
    for train, val in folds:
        assert sorted([*train, *val]) == list(range(size))


def test_stratified_folds_have_class_counts_as_even_as_scikit_learns():
    from sklearn.model_selection import StratifiedKFold

    labels = np.random.default_rng(0).choice(3, size=50, p=[0.6, 0.3, 0.1])
    expected = [np.bincount(labels[val], minlength=3) for _, val in StratifiedKFold(5).split(np.zeros((50, 1)), labels)]

    ours = [np.bincount(labels[val], minlength=3) for _, val in kfold_indices(50, 5, labels=labels)]

    np.testing.assert_array_equal(np.ptp(ours, axis=0), np.ptp(expected, axis=0))
    assert np.ptp(ours, axis=0).max() <= 1


@pytest.mark.parametrize("k", [0, 1, 6])
def test_impossible_numbers_of_folds_are_refused(k):
    with pytest.raises(ValueError, match="folds"):
        kfold_indices(5, k)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="labels"):
        kfold_indices(5, 2, labels=[0, 1])


def _blobs(n=60, noise=0.4):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return ArrayDataset(np.eye(3)[labels] + noise * rng.standard_normal((n, 3)), labels)


def _linear():
    return ClassificationNet(num_layer=1, input_size=3, num_classes=3)


def test_cross_validation_scores_each_fold_with_a_network_that_never_saw_it(monkeypatch):
    data, seen = _blobs(), []
    original = Solver.__init__

    def spy(self, model, train, val, **settings):
        seen.append((train.dataset.indices, val.dataset.indices))
        original(self, model, train, val, **settings)

    monkeypatch.setattr(Solver, "__init__", spy)
    result = cross_validate(_linear, data, 4, epochs=20, solver_settings={"learning_rate": 0.05})

    assert result.mean > 0.8
    assert result.std == pytest.approx(np.std(result.val_accuracy, ddof=1))
    assert "over 4 folds" in str(result)
    held_out = [set(range(60)) - set(train) - set(watched) for train, watched in seen]
    assert sorted(i for fold in held_out for i in fold) == list(range(60))
    assert all(not set(train) & set(watched) and len(watched) == 4 for train, watched in seen)


def test_random_labels_cross_validate_at_chance_although_training_fits_them():
    rng = np.random.default_rng(1)
    data = ArrayDataset(rng.standard_normal((200, 30)), rng.integers(2, size=200))

    def make():
        return ClassificationNet(Relu(), 2, 30, 64, "he", 2)

    result = cross_validate(make, data, 5, epochs=30, solver_settings={"learning_rate": 3e-3})

    assert result.train_accuracy.mean() > 0.6
    assert result.mean == pytest.approx(0.5, abs=0.1)


def test_cross_validation_gives_the_same_numbers_twice_and_leaves_the_data_set_alone():
    class Jitter:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __call__(self, image):
            return image + self.rng.standard_normal(image.shape)

    data = _blobs()
    data.transform = Jitter()
    before = copy.deepcopy(data.transform.rng.bit_generator.state)

    one, two = (cross_validate(_linear, data, 3, epochs=2, val_transform=None) for _ in range(2))

    np.testing.assert_array_equal(one.val_accuracy, two.val_accuracy)
    assert data.transform.rng.bit_generator.state == before


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_folds_in_parallel_processes_give_the_same_bytes_as_one_after_the_other(engine):
    if engine == "dask":
        pytest.importorskip("distributed")
    here = cross_validate(_linear, _blobs(), 4, epochs=3)

    there = cross_validate(_linear, _blobs(), 4, epochs=3, workers=2, engine=engine)

    for one, other in zip(vars(here).values(), vars(there).values(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_fold_that_fails_in_its_process_raises_what_it_raised_here():
    def broken():
        raise RuntimeError("no network today")

    with pytest.raises(RuntimeError, match="no network today"):
        cross_validate(broken, _blobs(), 3, epochs=1, workers=2)


@pytest.mark.parametrize(("k", "share"), [(2, 0.0), (2, 1.0), (2, 0.99), (1, 0.1)])
def test_splits_that_leave_nothing_are_refused(k, share):
    with pytest.raises(ValueError, match="watch_share|leave none|folds"):
        cross_validate(_linear, _blobs(6), k, epochs=1, watch_share=share)


def test_a_subset_reads_only_its_samples_one_by_one_and_in_batches():
    part = Subset(_blobs(), [5, 5, 2])

    (batch,) = DataLoader(part, 8)

    assert batch["label"].tolist() == [2, 2, 2]
    np.testing.assert_array_equal(batch["image"], [part[0]["image"], part[1]["image"], part[2]["image"]])
    with pytest.raises(IndexError):
        part[3]


def test_a_subset_can_change_its_transform_without_changing_the_data_sets():
    data = _blobs()
    part = Subset(data, [0, 1], transform=lambda image: 0 * image)

    assert not part[0]["image"].any()
    assert data.transform is None
    assert not hasattr(Subset([{"image": 0.0, "label": 0}], [0]), "transform")


def test_the_solver_refuses_subsets_that_share_images():
    data = _blobs()

    with pytest.raises(ValueError, match="shar"):
        Solver(_linear(), DataLoader(Subset(data, [0, 1, 2])), DataLoader(Subset(data, [2, 3])), verbose=False)
    Solver(_linear(), DataLoader(Subset(data, [0, 1])), DataLoader(Subset(data, [2, 3])), verbose=False)


@pytest.mark.parametrize("indices", [[], [[0]], [0.5], [True]])
def test_a_subset_refuses_what_is_not_a_list_of_whole_numbers(indices):
    with pytest.raises(ValueError, match="whole numbers"):
        Subset(_blobs(), indices)


@pytest.mark.parametrize("index", [-1, 60])
def test_a_subset_refuses_indices_outside_the_data_set(index):
    with pytest.raises(IndexError, match=r"0\.\.59"):
        Subset(_blobs(), [index])


def test_the_diagnosis_plot_has_a_panel_per_network_and_names_the_case():
    figure = plots_bias_variance.plot_diagnosis({name: diagnose(*values) for name, values in CASES.items()})

    assert [axes.get_title() for axes in figure.axes] == [f"{name}: {name}" for name in CASES]
    assert [bar.get_height() for bar in figure.axes[0].patches[:4]] == pytest.approx([100, 85, 83, 82])


@pytest.mark.parametrize("size", [30, 1000, 1_000_000])
def test_the_split_plot_shows_the_three_parts(size):
    plan = plan_split(size)

    left, _ = plots_bias_variance.plot_split_sizing(plan).axes

    assert [bar.get_width() for bar in left.patches] == [plan.train, plan.val, plan.test]


def test_the_cross_validation_plot_shows_every_fold():
    result = cross_validate(_linear, _blobs(), 3, epochs=2)

    axes = plots_diagnostics.plot_cross_validation({"linear": result}).axes[0]

    np.testing.assert_allclose(axes.collections[0].get_offsets()[:, 0], 100 * result.val_accuracy)
