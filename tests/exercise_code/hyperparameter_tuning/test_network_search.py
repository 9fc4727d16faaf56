"""Grid, random and coarse-to-fine search: the slides' calls as written, refusals, and honest results."""

import math

import numpy as np
import pytest
from scipy import stats

from exercise_code.data import (
    ArrayDataset,
    ComposeTransform,
    DataLoader,
    FlattenTransform,
    NormalizeTransform,
    RandomHorizontalFlip,
    RescaleTransform,
)
from exercise_code.data.subset import Subset
from exercise_code.hyperparameter_tuning import (
    find_best_config,
    grid_configs,
    grid_search,
    narrow_space,
    network_search,
    random_search,
    sample_config,
)
from exercise_code.hyperparameter_tuning.transformed_once import transformed_once
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Tanh


class SmallNet(ClassificationNet):
    """The course's net on 6 features and 2 classes."""

    def __init__(self, activation=None, num_layer=2, hidden_size=8, std="he", reg=0.0):
        super().__init__(activation, num_layer, 6, hidden_size, std, 2, reg)


@pytest.fixture(scope="module")
def loaders():
    rng = np.random.default_rng(0)

    def make(n):
        x = rng.standard_normal((n, 6)).astype(np.float32)
        return DataLoader([{"image": row, "label": int(row[0] * row[1] > 0)} for row in x], 16, shuffle=True)

    return make(160), make(80)


def test_the_slides_grid_search_call_runs_as_written_and_unpacks_into_model_and_results(loaders):
    dataloaders = {"train_small": loaders[0], "val_500files": loaders[1]}

    best_model, results = grid_search(
        dataloaders["train_small"],
        dataloaders["val_500files"],
        grid_search_spaces={"learning_rate": [1e-2, 1e-3, 1e-4, 1e-5, 1e-6], "reg": [1e-4, 1e-5, 1e-6]},
        epochs=10,
        patience=5,
        model_class=SmallNet,
    )

    assert len(results) == 15
    assert isinstance(best_model, ClassificationNet)
    assert best_model.reg_strength in (1e-4, 1e-5, 1e-6)


def test_the_best_model_has_the_lowest_validation_loss_of_all_trials_and_it_is_really_its_own(loaders):
    result = grid_search(*loaders, {"learning_rate": [0.05, 1e-6]}, SmallNet, epochs=8, verbose=False)

    best = min(trial.val_loss for trial in result.trials)
    _, _, accuracy = result.best_model.get_dataset_prediction(loaders[1])
    winner = next(trial for trial in result.trials if trial.val_loss == best)
    assert result.best_config == winner.config == {"learning_rate": 0.05}
    assert accuracy == winner.val_accuracy
    assert [trial.val_loss for trial in result.ranked()] == sorted(trial.val_loss for trial in result.trials)


def test_grid_goes_through_all_combinations_with_the_last_name_fastest():
    configs = grid_configs({"a": [1, 2], "b": [3, 4, 5]})

    assert configs == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4, 5)]


def test_random_search_repeats_with_the_same_seed_and_differs_with_another(loaders):
    spaces = {"learning_rate": ([1e-4, 1e-1], "log"), "activation": ([Relu(), Tanh()], "item")}

    runs = [
        random_search(
            *loaders, spaces, SmallNet, num_search=3, epochs=1, verbose=False, rng=np.random.default_rng(seed)
        )
        for seed in (5, 5, 6)
    ]

    assert [t.config for t in runs[0].trials] == [t.config for t in runs[1].trials]
    assert [t.val_loss for t in runs[0].trials] == [t.val_loss for t in runs[1].trials]
    assert [t.config for t in runs[0].trials] != [t.config for t in runs[2].trials]


def test_drawn_values_follow_the_stated_distributions():
    rng = np.random.default_rng(0)
    spaces = {"lr": ([1e-4, 1e0], "log"), "drop": ([0.2, 0.6], "float"), "n": ([2, 5], "int"), "k": ("ab", "item")}
    draws = [sample_config(spaces, rng) for _ in range(4000)]

    assert stats.kstest([math.log10(d["lr"]) for d in draws], stats.uniform(-4, 4).cdf).pvalue > 1e-4
    assert stats.kstest([d["drop"] for d in draws], stats.uniform(0.2, 0.4).cdf).pvalue > 1e-4
    counts = [sum(d["n"] == n for d in draws) for n in (2, 3, 4, 5)]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-4
    assert {d["k"] for d in draws} == {"a", "b"}


def test_narrowing_halves_a_range_and_stays_inside_it():
    assert narrow_space(([0, 8], "float"), 4) == ([2, 6], "float")
    assert narrow_space(([0, 8], "float"), 8) == ([6, 8], "float")
    (low, high), kind = narrow_space(([1e-6, 1e-2], "log"), 1e-4)
    assert (kind, low, high) == ("log", pytest.approx(1e-5), pytest.approx(1e-3))
    assert narrow_space(([1, 2], "int"), 1) == ([1, 2], "int")
    assert narrow_space((["a", "b"], "item"), "a") == (["a", "b"], "item")


@pytest.mark.parametrize("name", ["learning_rte", "hiden_size"])
def test_a_misspelt_name_is_refused_before_training_with_the_nearest_name(loaders, name):
    nearest = {"learning_rte": "learning_rate", "hiden_size": "hidden_size"}[name]

    with pytest.raises(ValueError, match=f"unknown hyper-parameter '{name}': did you mean '{nearest}'"):
        grid_search(*loaders, {name: [1]}, SmallNet, epochs=1)


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({}, "at least one hyper-parameter"),
        ({"reg": []}, "non-empty list of values for 'reg'"),
        ({"reg": 0.5}, "non-empty list of values for 'reg'"),
        ({"reg": "log"}, "non-empty list of values for 'reg'"),
    ],
)
def test_an_empty_or_malformed_grid_is_refused(loaders, spaces, message):
    with pytest.raises(ValueError, match=message):
        grid_search(*loaders, spaces, SmallNet)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (([1e-2, 1e-4], "log"), "low < high"),
        (([0, 1], "log"), "needs low > 0"),
        (([1, 2], "logarithmic"), '"float" | "int" | "log" | "item"'),
        (([1, 2, 3], "float"), "low < high"),
        (([], "item"), "non-empty list"),
    ],
)
def test_a_malformed_random_space_is_refused(loaders, space, message):
    import re

    with pytest.raises(ValueError, match=re.escape(message)):
        random_search(*loaders, {"learning_rate": space}, SmallNet)


def test_a_diverging_configuration_is_recorded_and_never_wins(loaders):
    result = grid_search(*loaders, {"std": [3e37, "he"]}, SmallNet, epochs=1, verbose=False)

    assert result.trials[0].val_loss == math.inf
    assert result.best_config == {"std": "he"}


def test_when_everything_diverges_the_error_says_what_to_try(loaders):
    with pytest.raises(ValueError, match="smaller learning rates"):
        find_best_config(*loaders, [{"std": 3e37}], SmallNet, epochs=1, verbose=False)


def test_a_search_leaves_numpys_global_state_alone(loaders):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()

    random_search(*loaders, {"reg": ([0.1, 1.0], "float")}, SmallNet, num_search=1, epochs=1, verbose=False)

    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_trial_does_not_depend_on_the_trials_before_it(loaders):
    alone = grid_search(*loaders, {"learning_rate": [0.01]}, SmallNet, epochs=2, verbose=False)
    second = grid_search(*loaders, {"learning_rate": [0.05, 0.01]}, SmallNet, epochs=2, verbose=False)

    assert second.trials[1] == alone.trials[0]


@pytest.mark.parametrize("running", [{"workers": 1}, {"workers": 2}])
def test_worker_processes_give_the_same_trials_and_the_same_best_weights_as_the_plain_search(loaders, running):
    space = {"learning_rate": [0.05, 0.01, 1e-6], "activation": [Relu()]}

    here = grid_search(*loaders, space, SmallNet, epochs=3, verbose=False)
    there = grid_search(*loaders, space, SmallNet, epochs=3, verbose=False, threads=1, **running)

    assert there.trials == here.trials
    assert there.best_config == here.best_config
    assert here.best_model.params.keys() == there.best_model.params.keys()
    for name, weights in here.best_model.params.items():
        np.testing.assert_array_equal(there.best_model.params[name], weights)


def test_a_recorded_search_trains_nothing_again_and_hands_back_the_best_weights(loaders, tmp_path):
    trained = tmp_path / "trained"

    class Counting(SmallNet):
        def __init__(self, **settings):
            super().__init__(**settings)
            with trained.open("a") as file:
                file.write("x")

    def search():
        return grid_search(*loaders, {"reg": [0.0, 0.1]}, Counting, epochs=1, verbose=False, log=tmp_path / "log.jsonl")

    first = search()
    made = len(trained.read_text())
    second = search()

    assert second.trials == first.trials
    assert len(trained.read_text()) == made + 1  # the one that takes the weights
    for name, weights in first.best_model.params.items():
        np.testing.assert_array_equal(second.best_model.params[name], weights)


class FaultyNet(SmallNet):
    """Breaks down for one of its settings."""

    def __init__(self, width=4):
        if width == 5:
            raise RuntimeError("five is right out")
        super().__init__(hidden_size=width)


def test_an_error_of_the_students_class_shows_itself_in_a_plain_search(loaders):
    with pytest.raises(RuntimeError, match="five is right out"):
        grid_search(*loaders, {"width": [5, 4]}, FaultyNet, epochs=1, verbose=False)


def test_in_worker_processes_a_failing_configuration_costs_no_other(loaders):
    result = grid_search(*loaders, {"width": [4, 5, 6]}, FaultyNet, epochs=1, verbose=False, workers=2)

    assert [math.isfinite(trial.val_loss) for trial in result.trials] == [True, False, True]
    assert "five is right out" in result.trials[1].detail


def test_the_test_split_is_refused_for_training_and_for_validation(loaders):
    from exercise_code.data.subset import Subset

    class Photos(list):
        mode = "test"

    marked = DataLoader(Subset(Photos({"image": np.zeros(6), "label": i % 2} for i in range(8)), [0, 1, 2]), 2)

    for pair, purpose in (((loaders[0], marked), "validation"), ((marked, loaders[1]), "training")):
        with pytest.raises(ValueError, match=f"test split was given for {purpose}"):
            grid_search(*pair, {"reg": [0.1]}, SmallNet)


def _loaders_of_pixels(transform):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(256, size=(90, 2, 1, 3), dtype=np.uint8), rng.integers(2, size=90)
    return [
        DataLoader(ArrayDataset(pixels[part].copy(), labels[part], transform), 16, shuffle=True)
        for part in (slice(60), slice(60, None))
    ]


def test_images_that_are_transformed_once_give_the_batches_and_losses_of_images_transformed_anew(monkeypatch):
    chain = ComposeTransform([RescaleTransform(), NormalizeTransform([0.4, 0.5, 0.6], 0.3), FlattenTransform()])
    loader, spaces = _loaders_of_pixels(chain)[0], {"learning_rate": [1e-2, 1e-3]}
    part = DataLoader(Subset(loader.dataset, np.arange(50, 0, -2)), 7, shuffle=True)

    for each in (loader, part):
        once = transformed_once(each)
        assert once is not each and once.dataset.transform is None
        for one, other in zip(each.fork(), once.fork(), strict=True):
            assert (
                one["image"].tobytes() == other["image"].tobytes()
                and one["label"].tobytes() == other["label"].tobytes()
            )
    fast = grid_search(*_loaders_of_pixels(chain), spaces, SmallNet, epochs=3, verbose=False)
    monkeypatch.setattr(network_search, "transformed_once", lambda loader: loader)
    slow = grid_search(*_loaders_of_pixels(chain), spaces, SmallNet, epochs=3, verbose=False)
    assert fast.trials == slow.trials


def test_what_draws_or_is_unknown_or_too_large_is_transformed_anew_every_time(monkeypatch):
    flip = ComposeTransform([RandomHorizontalFlip(rng=np.random.default_rng(0)), RescaleTransform()])
    for transform in (flip, lambda image: image / 2, None):
        loader = _loaders_of_pixels(transform)[0]
        assert transformed_once(loader) is loader
    plain_list = DataLoader([{"image": np.zeros(2), "label": 0}])
    assert transformed_once(plain_list) is plain_list
    fixed = _loaders_of_pixels(RescaleTransform())[0]
    monkeypatch.setattr("exercise_code.hyperparameter_tuning.transformed_once.MOST_BYTES", 60 * 6 * 4 - 1)
    assert transformed_once(fixed) is fixed


def test_training_and_validation_images_that_overlap_are_refused_before_the_first_trial():
    loader = _loaders_of_pixels(RescaleTransform())[0]
    parts = [DataLoader(Subset(loader.dataset, indices), 8) for indices in (np.arange(40), np.arange(30, 60))]

    with pytest.raises(ValueError, match="training and validation data share 10 images"):
        grid_search(*parts, {"learning_rate": [1e-2]}, SmallNet, epochs=1)
