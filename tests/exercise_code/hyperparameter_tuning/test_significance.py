"""Do two configurations differ?  The tests against scipy and brute force, the rate of false alarms, and the one-line answers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from exercise_code.hyperparameter_tuning import Result
from exercise_code.hyperparameter_tuning.significance import (
    compare,
    compare_predictions,
    mcnemar_exact,
    paired_t_test,
    seed_spread,
    seeds_needed,
    sign_flip_test,
    spread_over_seeds,
)


def pairs(n, shift, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(0.5, 0.02, n)
    return a, a + shift + rng.normal(0, 0.01, n)


@pytest.mark.parametrize("n", [2, 5, 12, 40])
@pytest.mark.parametrize("shift", [0.0, 0.004, -0.02])
def test_the_t_test_equals_scipys(n, shift):
    a, b = pairs(n, shift, n)

    assert paired_t_test(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_equal_and_constantly_shifted_values_need_no_division():
    assert paired_t_test([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert paired_t_test([1.0, 2.0, 3.0], [1.1, 2.1, 3.1]) == 0.0


@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_the_sign_flip_test_tries_every_pattern_up_to_14_pairs(n):
    a, b = pairs(n, 0.006, n)
    difference = b - a
    patterns = [
        abs(sum(s * d for s, d in zip(signs, difference, strict=True)))
        for signs in itertools.product([1, -1], repeat=n)
    ]
    by_hand = np.mean([total >= abs(difference.sum()) * (1 - 1e-9) for total in patterns])

    assert sign_flip_test(a, b) == pytest.approx(by_hand)


def test_with_more_pairs_it_samples_and_agrees_with_scipy_and_a_generator_decides():
    a, b = pairs(25, 0.004, 3)
    reference = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=20_000, random_state=np.random.default_rng(1)
    ).pvalue

    assert sign_flip_test(a, b) == pytest.approx(reference, abs=0.01)
    assert sign_flip_test(a, b, rng=np.random.default_rng(5)) == sign_flip_test(a, b, rng=np.random.default_rng(5))


def test_mcnemar_equals_the_exact_binomial_test_and_large_counts_do_not_overflow():
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b = rng.random(60) < 0.7, rng.random(60) < 0.75
        only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))

        assert mcnemar_exact(a, b) == pytest.approx(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue, rel=1e-9)
    assert mcnemar_exact([True, False], [True, False]) == 1.0
    many = np.arange(6000) < 3000
    assert mcnemar_exact(many, ~many) == 1.0


def test_the_interval_is_that_of_the_mean_difference_and_agrees_with_p():
    for seed in range(40):
        a, b = pairs(6, 0.006, seed)
        found = compare(a, b)
        interval = stats.t.interval(0.95, 5, loc=np.mean(b - a), scale=stats.sem(b - a))

        np.testing.assert_allclose((found.low, found.high), interval)
        assert found.differ == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("test", ["t", "sign_flip"])
def test_when_nothing_differs_false_alarms_are_as_rare_as_promised_and_real_differences_are_found(test):
    alarms = np.mean([compare(*pairs(8, 0.0, seed), test=test).differ for seed in range(1000)])
    found = np.mean([compare(*pairs(8, 0.02, seed), test=test).differ for seed in range(200)])

    assert alarms < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert found > 0.95


def test_five_seeds_can_never_convince_the_sign_flip_test():
    assert not compare(np.zeros(5), np.array([5.0, 6.0, 7.0, 8.0, 9.0]), test="sign_flip").differ
    assert compare(np.zeros(6), np.array([5.0, 6.0, 7.0, 8.0, 9.0, 4.0]), test="sign_flip").differ


def test_the_answer_is_one_line_that_names_the_better_one():
    low, high = [0.20, 0.21, 0.19, 0.20], [0.30, 0.31, 0.30, 0.29]

    assert str(compare(low, high, names=("adam", "sgd"))).startswith("adam is better: sgd - adam = +0.1 [")
    assert str(compare(low, high, names=("adam", "sgd"), lower_is_better=False)).startswith("sgd is better")
    unsure = str(compare([0.2, 0.3, 0.25], [0.3, 0.2, 0.26], names=("adam", "sgd")))
    assert unsure.startswith("no evidence that adam and sgd differ") and "3 pairs" in unsure and "\n" not in unsure


def test_predictions_are_compared_by_the_images_on_which_the_networks_disagree():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    a = np.where(rng.random(2000) < 0.90, labels, (labels + 1) % 10)
    b = np.where(rng.random(2000) < 0.94, labels, (labels + 1) % 10)
    found = compare_predictions(a, b, labels)

    assert found.difference == pytest.approx(np.mean(b == labels) - np.mean(a == labels))
    assert found.differ and found.low < found.difference < found.high
    assert str(found).startswith("b is better")
    assert not compare_predictions(a, a, labels).differ


def test_the_spread_over_seeds_has_the_t_interval_and_one_seed_admits_that_it_cannot_tell():
    values = np.array([0.50, 0.53, 0.49, 0.52, 0.51])
    spread = seed_spread(values)

    assert (spread.mean, spread.std) == pytest.approx((values.mean(), values.std(ddof=1)))
    np.testing.assert_allclose((spread.low, spread.high), stats.t.interval(0.95, 4, values.mean(), stats.sem(values)))
    assert str(seed_spread([0.5])) == "0.5 (1 seed: spread unknown)"


def test_results_of_equal_configurations_are_one_group_with_its_failures_and_epochs_do_not_mix():
    def result(trial, lr, value, epochs=5):
        return Result(trial, {"lr": lr}, epochs, value, "ok" if math.isfinite(value) else "nan")

    runs = [
        result(0, 0.1, 0.5),
        result(1, 0.2, math.inf),
        result(2, 0.1, math.inf),
        result(3, 0.1, 0.7),
        result(4, 0.1, 0.1, 9),
    ]
    found = spread_over_seeds(runs)

    assert [(r.values, r.failed) for r in found] == [((0.1,), 0), ((0.5, 0.7), 1), ((), 1)]
    assert found[1].spread == seed_spread([0.5, 0.7])
    assert str(found[2]) == "{'lr': 0.2}: no finite value, 1 failed"


def test_the_promised_number_of_seeds_finds_the_difference_about_as_often_as_promised():
    n = seeds_needed(0.005, 0.005)
    rng = np.random.default_rng(0)
    found = np.mean([compare(np.zeros(n), rng.normal(0.005, 0.005, n)).differ for _ in range(2000)])

    assert 0.75 < found < 0.9


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1 and 1"):
        compare([0.1], [0.2])
    with pytest.raises(ValueError, match="got 2 and 3"):
        compare([0.1, 0.2], [0.2, 0.1, 0.3])
    with pytest.raises(ValueError, match="leave out diverged seeds of both"):
        compare([0.1, math.nan], [0.2, 0.1])
    with pytest.raises(ValueError, match='"t" or "sign_flip", got \'wilcoxon\''):
        compare([0.1, 0.2], [0.2, 0.1], test="wilcoxon")
    with pytest.raises(ValueError, match="other than 0"):
        seeds_needed(0.0, 0.1)
