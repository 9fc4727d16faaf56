"""The scikit-learn face of the network: scikit-learn's own checks, its search tools, and hyperopt and optuna."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from exercise_code.estimator import ClassificationNetEstimator, stratified_choice
from exercise_code.networks.layer import LeakyRelu, Tanh
from exercise_code.networks.optimizer import Adam

EXPECTED_FAILURES: dict[str, str] = {}  # check name -> reason; none.  Checks of sample_weight and partial_fit do not
# exist for an estimator without them; those of the array API and of pandas skip by themselves where these are missing.


@parametrize_with_checks([ClassificationNetEstimator()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def moons():
    return make_moons(200, noise=0.15, random_state=0)


def _quick(**settings):
    return ClassificationNetEstimator(
        **{"hidden_size": 16, "learning_rate": 0.02, "epochs": 15, "random_state": 0} | settings
    )


def test_a_curved_boundary_is_learnt_and_a_linear_net_cannot(moons):
    deep = cross_val_score(_quick(epochs=60), *moons, cv=3).mean()
    linear = cross_val_score(_quick(epochs=60, num_layer=1), *moons, cv=3).mean()

    assert deep > 0.95 > linear + 0.05


def test_a_grid_search_finds_the_setting_that_can_learn_and_refits_it(moons):
    search = GridSearchCV(_quick(), {"learning_rate": [1e-7, 0.03], "activation": ["relu", Tanh()]}, cv=3)
    search.fit(*moons)

    assert search.best_params_["learning_rate"] == 0.03
    assert len(search.cv_results_["params"]) == 4
    assert search.score(*moons) > 0.9


def test_several_processes_give_the_results_of_one(moons):
    scores = [
        GridSearchCV(_quick(epochs=3), {"reg": [0.0, 0.1]}, cv=2, n_jobs=jobs).fit(*moons).cv_results_
        for jobs in (None, 2)
    ]

    np.testing.assert_array_equal(scores[0]["mean_test_score"], scores[1]["mean_test_score"])


def test_a_randomized_search_runs_through_a_pipeline_with_scaled_features():
    from scipy.stats import loguniform, randint

    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), _quick())
    space = {
        "classificationnetestimator__learning_rate": loguniform(3e-3, 3e-2),
        "classificationnetestimator__hidden_size": randint(8, 32),
    }

    search = RandomizedSearchCV(pipeline, space, n_iter=3, cv=3, random_state=0).fit(X * 100, y)

    assert search.best_score_ > 0.9


def test_clones_are_unfitted_equals_and_leave_object_settings_usable(moons):
    model = _quick(activation=LeakyRelu(slope=0.2), optimizer=Adam)
    twin = clone(model)

    assert not hasattr(twin, "net_")
    assert twin.get_params()["activation"].slope == 0.2
    np.testing.assert_array_equal(model.fit(*moons).predict_proba(moons[0]), twin.fit(*moons).predict_proba(moons[0]))


def test_a_pickle_predicts_the_same_and_holds_no_training_data(moons):
    X, y = moons
    model = _quick(hidden_size=3, batch_size=200).fit(X, y)
    stored = pickle.dumps(model)

    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(X), model.predict_proba(X))
    rows = [row.tobytes() for row in X.astype(np.float32)]
    assert not any(row in stored for row in rows)
    assert len(stored) < 5000


def test_probabilities_are_float32_add_up_to_one_and_lead_to_the_predicted_label(moons):
    X, y = moons
    names = np.array(["yes", "no"])[y]
    model = _quick().fit(X, names)
    probabilities = model.predict_proba(X * 1e6)  # far away: saturated, still finite

    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert model.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X * 1e6))
    assert {w.dtype for w in model.net_.params.values()} == {np.dtype(np.float32)}
    assert model.n_features_in_ == 2


def test_a_seed_gives_one_network_and_other_seeds_others_without_touching_numpys_global_state(moons):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()

    a, b, c = (_quick(epochs=2, random_state=seed).fit(*moons).predict_proba(moons[0]) for seed in (1, 1, 2))
    state = np.random.RandomState(1), np.random.default_rng(1)
    others = [_quick(epochs=2, random_state=source).fit(*moons).predict_proba(moons[0]) for source in state]

    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(others[0], a)  # a RandomState counts as its seed, as everywhere in scikit-learn
    assert not np.array_equal(a, c)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_training_stops_after_patience_epochs_without_improvement_and_keeps_the_best(moons):
    model = _quick(epochs=500, patience=5, learning_rate=0.1).fit(*moons)
    losses = model.validation_loss_history_

    assert model.n_iter_ == len(losses) < 500
    assert int(np.argmin(losses)) == model.n_iter_ - 1 - 5
    assert model.best_validation_loss_ == min(losses)


def test_batch_norm_and_dropout_train_even_when_the_last_batch_would_be_a_single_sample(moons):
    X, y = moons
    model = _quick(batch_norm=True, dropout=0.1, batch_size=10, epochs=40).fit(X[:101], y[:101])  # trains on 9 * 10 + 1

    assert model.score(X, y) > 0.9
    assert not np.allclose(model.net_.buffers()["running_var1"], 1)  # the trained statistics came along
    with pytest.raises(ValueError, match="batch normali"):
        _quick(batch_norm=True, batch_size=1).fit(X, y)  # no batch of this size has statistics


def test_settings_reach_the_net_and_the_solver(moons):
    plain = _quick(epochs=4).fit(*moons)
    for change in ({"reg": 0.1}, {"lr_decay": 0.5}, {"std": "xavier"}, {"optimizer": "sgd"}, {"batch_size": 7}):
        other = _quick(epochs=4, **change).fit(*moons)
        assert other.train_loss_history_ != plain.train_loss_history_, change
    assert np.abs(_quick(reg=0.1).fit(*moons).net_.params["W1"]).sum() < np.abs(plain.net_.params["W1"]).sum()


def test_the_net_inside_can_be_exported(tmp_path):
    from exercise_code.onnx_export import export_onnx

    rng = np.random.default_rng(0)
    model = _quick(epochs=1).fit(rng.random((30, 12)), np.arange(30) % 3)

    assert export_onnx(model.net_, tmp_path / "model.onnx", input_shape=(3, 2, 2)).exists()


def test_held_out_samples_follow_the_classes_and_never_take_the_last_one():
    labels = np.repeat([0, 1, 2, 3], [50, 30, 19, 1])
    held_out = stratified_choice(labels, 0.2, np.random.default_rng(0))

    assert np.bincount(labels[held_out], minlength=4).tolist() == [10, 6, 4, 0]


def test_held_out_samples_agree_with_scikit_learns_stratification_where_both_apply():
    labels = np.repeat([0, 1, 2], [40, 25, 35])
    _, theirs = train_test_split(labels, test_size=0.2, stratify=labels, random_state=0)
    ours = labels[stratified_choice(labels, 0.2, np.random.default_rng(0))]

    np.testing.assert_array_equal(np.bincount(ours), np.bincount(theirs))


@pytest.mark.parametrize("fraction", [1e-9, 0.3, 0.999999])
@pytest.mark.parametrize("counts", [[2, 1], [5, 5, 1], [1, 1, 1, 2], [100, 2]])
def test_some_sample_is_held_out_and_every_class_is_trained_on_whatever_the_sizes(counts, fraction):
    labels = np.repeat(np.arange(len(counts)), counts)
    held_out = stratified_choice(labels, fraction, np.random.default_rng(0))

    assert 1 <= held_out.sum() < len(labels)
    assert set(labels[~held_out]) == set(range(len(counts)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "relo"}, "activation must be one of sigmoid, tanh, relu, leaky_relu"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of sgd, momentum, adam"),
        ({"validation_fraction": 0}, "validation_fraction must lie between 0 and 1"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"patience": 0}, "patience must be a whole number"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"hidden_size": 0}, "hidden_size must be a whole number"),
        ({"reg": -1}, "reg must not be negative"),
        ({"learning_rate": 0}, "learning_rate must be a positive number"),
    ],
)
def test_settings_out_of_range_are_refused_by_fit(moons, settings, message):
    with pytest.raises(ValueError, match=message):
        _quick(**settings).fit(*moons)


def test_data_that_cannot_be_learnt_from_is_refused_with_the_reason():
    X = np.eye(3)
    with pytest.raises(ValueError, match="got 1 class"):
        _quick().fit(X, [7, 7, 7])
    with pytest.raises(ValueError, match="class with at least 2 samples"):
        _quick().fit(X, [0, 1, 2])
    with pytest.raises(ValueError, match="diverged.*StandardScaler"):
        _quick(optimizer="sgd", learning_rate=1e30).fit(np.tile(X, (20, 1)) * 1e30, [0, 1, 1] * 20)


def test_misspelt_settings_are_refused():
    with pytest.raises(TypeError, match="hiden_size"):
        ClassificationNetEstimator(hiden_size=3)


def _objective(config):
    """Validation error of one configuration: the same function for every search tool."""
    X, y = make_moons(120, noise=0.15, random_state=0)
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    return 1 - _quick(**config).fit(X, y).score(X_val, y_val)


def test_one_objective_serves_hyperopt():
    from hyperopt import Trials, fmin, hp, space_eval, tpe

    space = {
        "learning_rate": hp.loguniform("learning_rate", np.log(1e-6), np.log(1e-1)),
        "hidden_size": hp.choice("hidden_size", [8, 16]),
    }
    trials = Trials()

    best = fmin(
        _objective,
        space,
        algo=tpe.suggest,
        max_evals=6,
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )

    config = space_eval(space, best)  # hp.choice reports an index, so `best` alone is not a configuration
    assert config["hidden_size"] in (8, 16)
    assert _objective(config) == min(trials.losses()) < 0.25


def test_one_objective_serves_optuna():
    optuna = pytest.importorskip("optuna", reason="optuna is not among the course's requirements")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))

    study.optimize(
        lambda trial: _objective(
            {
                "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-1, log=True),
                "hidden_size": trial.suggest_categorical("hidden_size", [8, 16]),
            }
        ),
        n_trials=6,
    )

    assert _objective(study.best_params) == study.best_value < 0.3
