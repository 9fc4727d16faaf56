"""Bayesian optimisation: acquisition functions against scipy and integration, the process, and searches of every kind."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from exercise_code.hyperparameter_tuning import (
    Choice,
    Float,
    GaussianProcessSearcher,
    Int,
    RandomSearcher,
    Result,
    Space,
)
from exercise_code.hyperparameter_tuning.gaussian_process import (
    expected_improvement,
    probability_of_improvement,
    upper_confidence_bound,
)
from exercise_code.hyperparameter_tuning.surrogate import (
    GaussianProcess,
    Surrogate,
    fitted_power,
    inverse_yeo_johnson,
    yeo_johnson,
)
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube
from tests.exercise_code.hyperparameter_tuning.by_hand import run_values

PLANE = Space({"x": Float(-5, 10), "y": Float(0, 15)})
TREE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "layers": Int(1, 5),
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}),
    }
)


def branin(c):
    bowl = c["y"] - 5.1 / (4 * math.pi**2) * c["x"] ** 2 + 5 / math.pi * c["x"] - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(c["x"]) + 10


def rosenbrock(c):
    return 100 * (c["y"] / 5 - c["x"] ** 2 / 10) ** 2 + (1 - c["x"]) ** 2


def tree_error(c):
    error = (math.log10(c["lr"]) + 3) ** 2 + (c["layers"] - 2) ** 2
    return error + ((c["momentum"] - 0.9) ** 2 if c["optimizer"] == "sgd" else 0.5)


def test_expected_improvement_is_the_integral_of_the_improvement_over_the_normal_density():
    for mean, std, best in [(0.3, 0.2, 0.25), (-1.0, 2.0, 0.5), (5.0, 0.7, 4.0), (0.0, 1e-3, 0.0)]:
        by_hand, _ = integrate.quad(
            lambda y, m=mean, s=std, b=best: (b - y) * stats.norm.pdf(y, m, s),
            best - 40 * std,
            best,
            points=[mean],
            limit=200,
        )

        assert expected_improvement([mean], [std], best)[0] == pytest.approx(by_hand, rel=1e-6)


def test_expected_improvement_equals_the_closed_form_written_with_scipys_normal_distribution():
    rng = np.random.default_rng(0)
    mean, std, best = rng.normal(size=500), rng.gamma(1.0, size=500) + 1e-3, 0.1
    z = (best - mean) / std

    np.testing.assert_allclose(
        expected_improvement(mean, std, best),
        (best - mean) * stats.norm.cdf(z) + std * stats.norm.pdf(z),
        rtol=1e-9,
        atol=1e-12,
    )


def test_without_uncertainty_it_is_the_plain_improvement_and_nothing_divides_by_zero():
    assert expected_improvement([0.2, 0.5, 0.9], [0.0, 0.0, 0.0], 0.5).tolist() == [0.3, 0.0, 0.0]
    assert probability_of_improvement([0.2, 0.5, 0.9], [0.0, 0.0, 0.0], 0.5).tolist() == [1.0, 0.0, 0.0]


def test_the_lower_loss_is_the_more_promising_one_unlike_in_the_lectures_formula():
    for acquisition in (expected_improvement, probability_of_improvement, upper_confidence_bound):
        worse, better = acquisition(np.array([0.9, 0.3]), np.array([0.1, 0.1]), 0.5)

        assert better > worse


def test_more_uncertainty_promises_more_and_far_tails_are_never_negative():
    assert np.all(np.diff(expected_improvement(np.ones(50), np.linspace(0, 2, 50), 0.5)) >= 0)
    assert (expected_improvement(np.linspace(0, 60, 400), np.ones(400), 0.0) >= 0).all()


def test_probability_and_bound_equal_their_formulas():
    mean, std = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.5, 3.0])

    np.testing.assert_allclose(probability_of_improvement(mean, std, 0.3), stats.norm.cdf(0.3, mean, std))
    np.testing.assert_allclose(upper_confidence_bound(mean, std, kappa=1.5), 1.5 * std - mean)


def test_the_process_gives_the_likelihood_gradient_and_predictions_of_scikit_learns():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(0)
    x, new = rng.random((30, 3)), rng.random((7, 3))
    y = np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.standard_normal(30)
    y = (y - y.mean()) / y.std()
    settings = np.log([1.3, 0.4, 0.7, 2.0, 0.02])
    kernel = ConstantKernel(1.3) * Matern([0.4, 0.7, 2.0], nu=2.5) + WhiteKernel(0.02)
    theirs = gaussian_process.GaussianProcessRegressor(kernel, optimizer=None).fit(x, y)
    ours = GaussianProcess(x, y, settings, fit=False)

    loss, gradient = ours.loss(settings)
    likelihood, their_gradient = theirs.log_marginal_likelihood(np.array(theirs.kernel_.theta), eval_gradient=True)
    assert loss == pytest.approx(-likelihood)
    np.testing.assert_allclose(gradient, -their_gradient, rtol=1e-6)
    for one, other in zip(ours.predict(new), theirs.predict(new, return_std=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    fitted = GaussianProcess(x, y)
    assert fitted.loss(fitted.settings)[0] < loss


def test_the_transform_is_scipys_and_goes_back():
    x = np.concatenate([np.random.default_rng(0).lognormal(size=80) - 1, [-3.0, 0.0]])
    transformed, power = stats.yeojohnson(x)

    assert fitted_power(x) == pytest.approx(power, abs=2e-3)
    for other in (power, 0.0, 2.0, -1.5, 3.0):
        np.testing.assert_allclose(yeo_johnson(x, other), stats.yeojohnson(x, other))
        np.testing.assert_allclose(inverse_yeo_johnson(yeo_johnson(x, other), other), x, rtol=1e-9, atol=1e-12)


def test_looking_at_the_process_does_not_change_the_search():
    def search(look):
        searcher, values = GaussianProcessSearcher(PLANE, 20, 0), []
        while proposals := searcher.ask():
            values += [branin(p.config) for p in proposals]
            searcher.tell([Result(p.trial, p.config, 1, branin(p.config), "ok") for p in proposals])
            if look and len(values) >= 8:
                searcher.surrogate().predict(np.array([[0.5, 0.5]]))
        return values

    assert search(look=True) == search(look=False)


def test_the_process_passes_near_its_points_and_is_less_sure_far_from_them():
    cube = UnitCube(Space({"x": Float(0, 1)}))
    units = np.linspace(0.0, 0.5, 9)[:, None]
    values = np.sin(6 * units[:, 0])
    surrogate = Surrogate(cube, units, values)

    mean, std = surrogate.predict(units)
    _, far = surrogate.predict(np.array([[0.95]]))

    np.testing.assert_allclose(surrogate.to_values(mean), values, atol=0.03)
    assert far[0] > 5 * std.max()


def test_one_diverged_run_does_not_flatten_the_rest():
    cube = UnitCube(Space({"x": Float(0, 1)}))
    units = np.linspace(0.0, 1.0, 12)[:, None]
    values = (units[:, 0] - 0.3) ** 2
    values[-1], values[-2] = math.inf, 1e6

    mean, _ = Surrogate(cube, units, values).predict(units[:10])

    assert np.corrcoef(mean, values[:10])[0, 1] > 0.95


@pytest.mark.parametrize("acquisition", ["ei", "pi", "ucb"])
def test_each_acquisition_function_finds_the_bottom_of_a_bowl(acquisition):
    searcher = GaussianProcessSearcher(Space({"x": Float(-3, 5)}), 18, 0, acquisition=acquisition, startup=4)

    assert min(run_values(searcher, lambda c: (c["x"] - 1.3) ** 2)) < 0.01


def test_a_small_space_is_visited_whole_before_anything_is_tried_twice():
    searcher = GaussianProcessSearcher(Space({"a": Choice(["u", "v", "w"]), "n": Int(1, 3)}), 9, 0, startup=3)
    seen = []
    run_values(searcher, lambda c: seen.append((c["a"], c["n"])) or c["n"] + ord(c["a"]))

    assert len(set(seen[3:])) == 6
    assert len(set(seen)) >= 8


def test_the_constant_liar_spreads_a_round_of_proposals():
    searcher = GaussianProcessSearcher(PLANE, 20, 0, batch=4, startup=8)
    for _ in range(2):
        searcher.tell([Result(p.trial, p.config, 1, branin(p.config), "ok") for p in searcher.ask()])

    units = np.array([PLANE.to_unit(p.config) for p in searcher.ask()])

    distances = np.abs(units[:, None] - units).max(axis=2) + np.eye(4)
    assert distances.min() > 0.02


def test_every_proposal_lies_in_a_conditional_space_and_failures_are_survived():
    searcher = GaussianProcessSearcher(TREE, 24, 1, batch=3)
    seen = []
    values = run_values(searcher, lambda c: seen.append(c) or (math.nan if c["lr"] > 0.1 else tree_error(c)))

    assert all(TREE.contains(config) for config in seen)
    assert min(values) < 1.0
    assert len(run_values(GaussianProcessSearcher(TREE, 12, 0, startup=4), lambda c: math.nan)) == 12
    assert len(run_values(GaussianProcessSearcher(TREE, 12, 0, startup=4), lambda c: 1.0)) == 12


def test_equal_seeds_give_equal_searches_and_others_do_not():
    first, again, other = (
        run_values(GaussianProcessSearcher(PLANE, 12, seed, startup=6), branin) for seed in (4, 4, 5)
    )

    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize(("space", "function"), [(PLANE, branin), (PLANE, rosenbrock), (TREE, tree_error)])
def test_it_beats_random_search_in_the_median_over_seeds(space, function):
    ours, random = (
        np.median([min(run_values(make(space, 30, seed), function)) for seed in range(7)])
        for make in (GaussianProcessSearcher, RandomSearcher)
    )

    assert ours < random


def test_an_unknown_acquisition_function_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="out of ei, pi, ucb, got 'eu'"):
        GaussianProcessSearcher(PLANE, 10, acquisition="eu")
