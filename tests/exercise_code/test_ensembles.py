"""Ensembles: sums by hand, the three ways to get members, honest accuracy, and scores that behave like logits."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from exercise_code.data import DataLoader
from exercise_code.ensembles import Ensemble, Snapshots, ensemble_of_inits, ensemble_of_trials
from exercise_code.hyperparameter_tuning import grid_search
from exercise_code.networks import ClassificationNet, Network
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.onnx_export import export_onnx
from exercise_code.schedules import WarmRestarts
from exercise_code.solver import Solver


class Fixed(Network):
    """Answers with the same logits whatever it is asked."""

    def __init__(self, logits):
        super().__init__()
        self.logits = np.asarray(logits, dtype=np.float32)

    def forward(self, X):
        assert not self.training, "members must be in evaluation mode"
        return self.logits[: len(X)]


def _loader(n, seed, noise=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    labels = ((x[:, 0] * x[:, 1] > 0) ^ (rng.random(n) < noise)).astype(int)
    return DataLoader(
        [{"image": row, "label": int(label)} for row, label in zip(x, labels, strict=True)], 16, shuffle=True
    )


make_net = partial(ClassificationNet, Relu, 2, 6, 24, "he", 2)


def test_mean_of_probabilities_is_scipys_softmax_averaged_with_the_weights():
    logits = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
    ensemble = Ensemble([Fixed(z) for z in logits], weights=[1, 2, 5])

    expected = np.average(softmax(logits.astype(np.float64), axis=2), axis=0, weights=[1, 2, 5])

    np.testing.assert_allclose(np.exp(ensemble.forward(np.zeros((5, 1)))), expected, rtol=1e-5)
    assert ensemble.forward(np.zeros((5, 1))).dtype == np.float32


def test_a_vote_counts_each_members_choice_with_its_weight():
    sure, hesitant = [9.0, 0.0, 0.0], [0.0, 0.1, 0.0]
    members = [Fixed([sure]), Fixed([hesitant]), Fixed([hesitant])]

    vote = Ensemble(members, "vote").forward(np.zeros((1, 1)))
    weighted = Ensemble(members, "vote", weights=[0.7, 0.2, 0.1]).forward(np.zeros((1, 1)))
    mean = Ensemble(members, "mean").forward(np.zeros((1, 1)))

    np.testing.assert_allclose(np.exp(vote), [[1 / 3, 2 / 3, 0]], atol=1e-5)
    np.testing.assert_allclose(np.exp(weighted), [[0.7, 0.3, 0]], atol=1e-5)
    assert (vote.argmax(), weighted.argmax(), mean.argmax()) == (1, 0, 0)


def test_equal_votes_go_to_the_class_with_the_higher_mean_probability_not_to_the_first():
    members = [Fixed([[0.2, 0.0]]), Fixed([[0.0, 3.0]])]

    assert Ensemble(members, "vote").forward(np.zeros((1, 1))).argmax() == 1


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)),
    magnitude=st.sampled_from([0.0, 1.0, 1e4, 1e37]),
    combine=st.sampled_from(["mean", "vote"]),
)
def test_scores_of_any_members_are_finite_logits_whose_softmax_adds_up(shape, magnitude, combine):
    logits = magnitude * np.random.default_rng(0).standard_normal(shape)
    scores = Ensemble([Fixed(z) for z in logits], combine).forward(np.zeros((shape[1], 1)))

    assert scores.shape == shape[1:]
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(np.exp(scores.astype(np.float64)).sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(CrossEntropyFromLogits()(scores, np.zeros(shape[1], int)))


def test_members_are_asked_in_evaluation_mode_and_left_as_they_were():
    training, evaluating = Fixed(np.zeros((2, 3))), Fixed(np.zeros((2, 3)))
    evaluating.eval()

    Ensemble([training, evaluating]).forward(np.zeros((2, 1)))

    assert (training.training, evaluating.training) == (True, False)


def test_an_ensemble_predicts_a_data_set_like_a_network_and_can_be_watched_by_a_solver():
    loader = _loader(50, 3)
    nets = [make_net(rng=np.random.default_rng(seed)) for seed in range(3)]
    labels, preds, accuracy = Ensemble(nets).get_dataset_prediction(loader)

    images = np.stack([sample["image"] for sample in loader.dataset])
    mean = np.mean([softmax(net.forward(images).astype(np.float64), axis=1) for net in nets], axis=0)
    np.testing.assert_array_equal(preds, mean.argmax(axis=1))
    np.testing.assert_array_equal(labels, [sample["label"] for sample in loader.dataset])
    assert accuracy == np.mean(labels == preds)


def test_several_inits_give_different_members_that_beat_their_own_mean_accuracy():
    train, val, test = _loader(200, 0, noise=0.1), _loader(100, 1, noise=0.1), _loader(1000, 2)
    ensemble = ensemble_of_inits(make_net, train, val, count=5, epochs=15, learning_rate=0.02)
    again = ensemble_of_inits(make_net, train, val, count=5, epochs=15, learning_rate=0.02)

    first = [net.params["W1"] for net in ensemble.members]
    assert len({w.tobytes() for w in first}) == 5
    np.testing.assert_array_equal(first, [net.params["W1"] for net in again.members])
    accuracy = ensemble.get_dataset_prediction(test)[2]
    assert accuracy > np.mean(ensemble.member_accuracies(test)) > 0.75


def test_a_failed_member_and_unknown_settings_are_reported():
    loaders = _loader(40, 0), _loader(20, 1)
    with pytest.raises(ValueError, match="member 1 of 2 never had a finite validation loss"):
        ensemble_of_inits(partial(ClassificationNet, Relu, 2, 6, 4, 3e37, 2), *loaders, count=2, epochs=1)
    with pytest.raises(TypeError, match="learning_rte"):
        ensemble_of_inits(make_net, *loaders, count=1, epochs=1, learning_rte=0.1)
    with pytest.raises(ValueError, match="count must be at least 1"):
        ensemble_of_inits(make_net, *loaders, count=0)


def test_the_best_trials_of_a_search_come_back_as_they_were():
    loaders = _loader(120, 0), _loader(60, 1)
    space = {"learning_rate": [1e-5, 0.02, 0.05, 0.02], "std": ["he", 3e37], "input_size": [6], "num_classes": [2]}
    result = grid_search(*loaders, space, ClassificationNet, epochs=4, patience=2, verbose=False)

    ensemble = ensemble_of_trials(result.trials, 2, ClassificationNet, *loaders, epochs=4, patience=2)

    best = result.ranked()[0]
    second = next(trial for trial in result.ranked() if trial.config != best.config)
    assert ensemble.member_accuracies(loaders[1]) == [best.val_accuracy, second.val_accuracy]
    np.testing.assert_array_equal(ensemble.members[0].params["W1"], result.best_model.params["W1"])
    with pytest.raises(ValueError, match="k must lie between 1 and 3"):  # neither the repeated nor the diverged ones
        ensemble_of_trials(result.trials, 4, ClassificationNet, *loaders)


def test_snapshots_are_the_networks_at_the_ends_of_the_cycles():
    net, snapshots = make_net(), Snapshots(cycle=4)
    schedule = WarmRestarts(0.05, 4)
    solver = Solver(net, _loader(200, 0), _loader(100, 1), verbose=False, schedule=schedule, callbacks=[snapshots])
    solver.train(epochs=10)

    assert len(snapshots.models) == 2
    losses = [CrossEntropyFromLogits()(*_predictions(model, solver.val_dataloader)) for model in snapshots.models]
    np.testing.assert_allclose(losses, [solver.val_loss_history[3], solver.val_loss_history[7]], rtol=1e-5)
    assert not any(model.training for model in snapshots.models)
    assert snapshots.models[0].params["W1"] is not net.params["W1"]
    assert Ensemble(snapshots.models).get_dataset_prediction(_loader(400, 2))[2] > 0.8


def _predictions(model, loader):
    (batch,) = loader.in_order()
    return model.forward(batch["image"]), batch["label"]


def test_weights_by_accuracy_are_the_accuracies_and_warn_on_the_data_they_were_fitted_on():
    val, test = _loader(40, 0), _loader(40, 1)
    truth = np.array([sample["label"] for sample in val.dataset])
    right, wrong = np.eye(2)[truth], np.eye(2)[1 - truth]
    half = np.where(np.arange(40)[:, None] < 20, right, wrong)
    ensemble = Ensemble.weighted_by_accuracy([Fixed(right), Fixed(half), Fixed(wrong)], val)

    np.testing.assert_allclose(ensemble.weights, [2 / 3, 1 / 3, 0])
    assert ensemble.combine == "vote"
    with pytest.warns(UserWarning, match="optimistic: measure on the test set"):
        ensemble.get_dataset_prediction(val)
    ensemble.get_dataset_prediction(test)  # no warning: warnings are errors here


def test_accuracy_weights_flatter_themselves_on_the_data_they_came_from():
    """A hundred coin tossers: weighed by their luck they look good on the old data and are coins on new data."""
    rng = np.random.default_rng(0)
    val, test = _loader(60, 0), _loader(1000, 1)
    answers = rng.standard_normal((100, 1000, 2))
    accuracies = Ensemble([Fixed(z) for z in answers]).member_accuracies(val)
    best = np.argsort(accuracies)[-3:]  # the top k of a search

    ensemble = Ensemble.weighted_by_accuracy([Fixed(answers[i]) for i in best], val)

    with pytest.warns(UserWarning, match="optimistic"):
        assert ensemble.get_dataset_prediction(val)[2] > 0.6

    class NewData(Network):
        def forward(self, X):
            return rng.standard_normal((len(X), 2))

    fresh = Ensemble([NewData() for _ in best], "vote", ensemble.weights)
    assert fresh.get_dataset_prediction(test)[2] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one network"),
        (([Fixed([[0]])], "median"), 'combine must be "mean" or "vote"'),
        (([Fixed([[0]])], "mean", [1, 2]), "expected 1 weights"),
        (([Fixed([[0]])], "mean", [0]), "not all 0"),
        (([Fixed([[0]])], "mean", [-1]), "weights >= 0"),
        (([Fixed([[0]])], "mean", [float("nan")]), "weights >= 0"),
    ],
)
def test_ensembles_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(*arguments)


def test_training_or_exporting_an_ensemble_is_refused_with_what_to_do(tmp_path):
    ensemble = Ensemble([make_net()])
    with pytest.raises(RuntimeError, match="train its members"):
        ensemble.backward(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="export one of its members"):
        export_onnx(ensemble, tmp_path / "m.onnx", input_shape=(6, 1, 1))


def test_a_snapshot_cycle_below_one_is_refused():
    with pytest.raises(ValueError, match="cycle must be a whole number"):
        Snapshots(0)
