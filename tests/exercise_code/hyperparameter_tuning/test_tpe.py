"""TPE: the split, the Parzen densities against numerical integration, the ratio, and searches on spaces of every kind."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import Choice, Float, Int, RandomSearcher, Result, Space, TPESearcher
from exercise_code.hyperparameter_tuning.tpe import (
    Mixture,
    parzen_density,
    parzen_widths,
    propose_by_ratio,
    split_good_bad,
)
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube
from tests.exercise_code.hyperparameter_tuning.by_hand import run_values

TREE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "layers": Int(1, 5),
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}),
        "activation": Choice(["relu", "tanh", "sigmoid"], weights=[2, 1, 1]),
    }
)


def branin(c):
    bowl = c["y"] - 5.1 / (4 * math.pi**2) * c["x"] ** 2 + 5 / math.pi * c["x"] - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(c["x"]) + 10


def rosenbrock(c):
    return 100 * (c["y"] - c["x"] ** 2) ** 2 + (1 - c["x"]) ** 2


def tree_error(c):
    error = (
        (math.log10(c["lr"]) + 3) ** 2 + (c["layers"] - 2) ** 2 + {"relu": 0, "tanh": 1, "sigmoid": 2}[c["activation"]]
    )
    return error + ((c["momentum"] - 0.9) ** 2 if c["optimizer"] == "sgd" else 0.5)


FUNCTIONS = [
    (Space({"x": Float(-5, 10), "y": Float(0, 15)}), branin),
    (Space({"x": Float(-5, 10), "y": Float(-5, 10)}), rosenbrock),
    (TREE, tree_error),
]


def test_the_split_is_what_sorting_by_hand_gives_and_loses_nobody():
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = rng.integers(0, 6, size=rng.integers(1, 40)).astype(float)
        values[rng.random(len(values)) < 0.2] = rng.choice([math.nan, math.inf])
        gamma = float(rng.choice([0.1, 0.25, 0.5]))
        finite = sorted((v, i) for i, v in enumerate(values) if math.isfinite(v))
        count = -(-len(values) * round(100 * gamma) // 100)

        good, bad = split_good_bad(values, gamma)

        assert good.tolist() == [i for _, i in finite[:count]]
        assert sorted([*good, *bad]) == list(range(len(values))) and bad.tolist() == sorted(bad)


def test_a_tenth_of_thirty_is_three_though_floats_say_a_little_more():
    assert len(split_good_bad(np.arange(30.0), 0.1)[0]) == 3


def test_parzen_density_equals_a_loop_over_normal_distributions_and_has_area_one():
    centres, widths = [0.02, 0.5, 0.97], [0.1, 0.05, 0.4]
    x = np.linspace(0, 1, 20_001)
    by_hand = np.zeros_like(x)
    for c, w in zip(centres, widths, strict=True):
        normal = NormalDist(c, w)
        by_hand += np.array([normal.pdf(point) for point in x]) / (normal.cdf(1) - normal.cdf(0)) / 3

    density = parzen_density(x, centres, widths)

    np.testing.assert_allclose(density, by_hand, rtol=1e-10)
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=1e-6)
    assert parzen_density([[-0.1], [1.1]], centres, widths).tolist() == [[0.0], [0.0]]


def test_widths_narrow_with_the_number_of_centres_and_never_vanish():
    few, many, equal = (parzen_widths(c) for c in (np.array([0.2, 0.8]), np.linspace(0, 1, 300), np.full(300, 0.5)))

    assert few.min() > many.max()
    assert min(many.min(), equal.min()) >= 0.01
    assert parzen_widths(np.array([])).shape == (0,)


@pytest.mark.parametrize("joint", [True, False])
def test_a_mixture_over_two_numbers_has_volume_one_and_its_marginals_are_one_dimensional_integrals(joint):
    cube = UnitCube(Space({"x": Float(0, 1), "y": Float(0, 1)}))
    mixture = Mixture(cube, np.array([[0.1, 0.9], [0.15, 0.8], [0.7, 0.3]]), joint)
    line = (np.arange(400) + 0.5) / 400
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)

    density = np.exp(mixture.log_density(grid)).reshape(400, 400)

    assert density.mean() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(density.mean(axis=1), mixture.marginal("x", line), rtol=1e-3)
    np.testing.assert_allclose(density.mean(axis=0), mixture.marginal("y", line), rtol=1e-3)


def test_a_joint_mixture_knows_what_goes_together_and_an_independent_one_does_not():
    cube = UnitCube(Space({"x": Float(0, 1), "y": Float(0, 1)}))
    diagonal = np.array([[0.1, 0.1], [0.9, 0.9]] * 10)
    beside = np.array([[0.1, 0.9], [0.1, 0.1]])

    together, apart = (Mixture(cube, diagonal, joint).log_density(beside) for joint in (True, False))

    assert together[1] > together[0] + 1
    assert apart[1] == pytest.approx(apart[0], abs=1e-9)


def test_samples_follow_the_density_they_are_drawn_from():
    cube = UnitCube(TREE)
    rng = np.random.default_rng(1)
    units = np.array([TREE.to_unit(TREE.sample(rng)) for _ in range(6)])
    mixture = Mixture(cube, units)

    points = mixture.sample(np.random.default_rng(2), 40_000)

    fine = (np.arange(2000) + 0.5) / 2000
    expected = mixture.marginal("lr", fine).reshape(20, 100).mean(axis=1) / 20
    observed = np.histogram(points[:, 0], 20, (0, 1))[0] / len(points)
    np.testing.assert_allclose(observed, expected, atol=0.01)
    cells = [TREE.dimensions[4].parameter.to_unit(i) for i in range(3)]
    shares = np.array([0.5, 0.25, 0.25])
    probabilities = mixture.marginal("activation", cells) * shares
    assert probabilities.sum() == pytest.approx(1.0)
    observed = [np.mean(np.isclose(points[:, 4], cell)) for cell in cells]
    np.testing.assert_allclose(observed, probabilities, atol=0.01)


def test_momentum_without_sgd_changes_no_density():
    cube = UnitCube(TREE)
    rng = np.random.default_rng(3)
    mixture = Mixture(cube, np.array([TREE.to_unit(TREE.sample(rng)) for _ in range(8)]))
    adam = np.tile(TREE.to_unit({"lr": 0.01, "layers": 2, "optimizer": "adam", "activation": "relu"}), (2, 1))
    adam[1, 3] = 0.99

    assert TREE.names[3] == "momentum"
    assert np.ptp(mixture.log_density(adam)) == 0.0


class Stub:
    """A density that is given as a table of points and logarithms."""

    def __init__(self, points, logs):
        self.points, self.logs = np.asarray(points, float)[:, None], dict(zip(points, logs, strict=True))

    def sample(self, rng, count):
        assert count == len(self.points)
        return self.points

    def log_density(self, points):
        return np.array([self.logs[p[0]] for p in points])


def test_the_proposal_is_the_candidate_with_the_highest_ratio_not_the_highest_density():
    good = Stub([0.1, 0.2, 0.3], [-1.0, 0.0, -2000.0])
    bad = Stub([0.1, 0.2, 0.3], [-3.0, 0.0, -1900.0])

    assert propose_by_ratio(good, bad, 3, np.random.default_rng(0)).tolist() == [0.1]


def test_every_proposal_lies_in_the_space_and_no_two_of_a_round_are_equal():
    searcher = TPESearcher(TREE, 60, seed=1, batch=4)
    while proposals := searcher.ask():
        assert all(TREE.contains(p.config) for p in proposals)
        assert len({str(p.config) for p in proposals}) == len(proposals)
        searcher.tell([Result(p.trial, p.config, 1, tree_error(p.config), "ok") for p in proposals])


def test_equal_seeds_give_equal_searches_and_others_do_not():
    first, again, other = (run_values(TPESearcher(TREE, 30, seed), tree_error) for seed in (4, 4, 5))

    assert first == again != other


def test_failed_trials_never_count_as_good_and_a_search_of_failures_goes_on_at_random():
    searcher = TPESearcher(TREE, 30, 0)
    values = run_values(searcher, lambda c: math.nan if c["lr"] > 1e-2 else tree_error(c))

    assert np.mean(np.isinf(values[15:])) < np.mean(np.isinf(values[:10]))
    assert len(run_values(TPESearcher(TREE, 15, 0), lambda c: math.nan)) == 15


@pytest.mark.parametrize(("space", "function"), FUNCTIONS)
def test_tpe_beats_random_search_in_the_median_over_seeds(space, function):
    ours, random = (
        np.median([min(run_values(make(space, 40, seed), function)) for seed in range(12)])
        for make in (TPESearcher, RandomSearcher)
    )

    assert ours < random


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"gamma is the share of good trials and must lie in \(0, 1\), got 1.5"):
        TPESearcher(TREE, 10, gamma=1.5)
    with pytest.raises(ValueError, match="trials must be a whole number of at least 1, got 0"):
        TPESearcher(TREE, 0)
