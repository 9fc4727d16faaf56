"""Coarse to fine: half the range, twice the density, more than one region; and points that fill every axis evenly."""

import math

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import CoarseToFine, Float, Result, Space
from exercise_code.hyperparameter_tuning.coarse_to_fine import distant_best, halved_region, spread_evenly

LINE = Space({"lr": Float(1e-6, 1e-2, log=True)})


def rounds_of(searcher, value):
    rounds = []
    while proposals := searcher.ask():
        values = [value(p.config) for p in proposals]
        results = [
            Result(
                p.trial, p.config, p.epochs, v if math.isfinite(v) else math.inf, "ok" if math.isfinite(v) else "nan"
            )
            for p, v in zip(proposals, values, strict=True)
        ]
        rounds.append(proposals)
        searcher.tell(results)
    return rounds


def test_points_fall_one_into_each_slice_of_every_axis_of_the_box():
    low, high = np.array([0.2, 0.5]), np.array([0.6, 1.0])
    points = spread_evenly(low, high, 8, np.random.default_rng(0))

    for d in range(2):
        slices = np.floor((points[:, d] - low[d]) / (high[d] - low[d]) * 8).astype(int)
        assert sorted(slices) == list(range(8))


def test_one_valley_is_searched_with_half_the_range_and_so_twice_the_density_per_stage():
    rounds = rounds_of(CoarseToFine(LINE, trials=8, stages=3, keep=1), lambda c: abs(math.log10(c["lr"]) + 4))

    assert [len(r) for r in rounds] == [8, 8, 8]
    for stage, proposals in enumerate(rounds):
        decades = np.sort([math.log10(p.config["lr"]) for p in proposals])
        width = 4 / 2**stage
        assert np.ptp(decades) <= width
        assert np.diff(decades).max() <= 2 * width / 8 + 1e-9
        assert abs(decades - -4).min() <= 0.5**stage


def test_two_valleys_are_both_kept():
    def valleys(c):
        u = LINE.to_unit(c)[0]
        return min(abs(u - 0.15), abs(u - 0.85) + 0.02)

    search = CoarseToFine(LINE, trials=12, stages=3, keep=2)
    last = [LINE.to_unit(p.config)[0] for p in rounds_of(search, valleys)[-1]]

    assert sum(u < 0.5 for u in last) == sum(u > 0.5 for u in last) == 12


def test_regions_are_pushed_back_into_the_space_and_choices_stay_open():
    low, high = halved_region(np.array([0.05, 0.98, 0.5]), 0.25, np.array([False, False, True]))

    np.testing.assert_allclose([low, high], [[0.0, 0.75, 0.0], [0.25, 1.0, 1.0]])


def test_the_second_region_is_not_the_first_ones_neighbour_and_failures_are_no_centre():
    units = np.array([[0.5, 0.5], [0.52, 0.5], [0.5, 0.9], [0.1, 0.1]])

    assert distant_best(units, [1.0, 1.1, 1.2, 0.5], 2, 0.25) == [3, 0]
    assert distant_best(units, [1.0, 1.1, 1.2, math.inf], 4, 0.25) == [0, 2]


def test_epochs_may_grow_from_stage_to_stage():
    rounds = rounds_of(CoarseToFine(LINE, trials=4, stages=3, keep=1, epochs=[2, 5, 20]), lambda c: c["lr"])

    assert [{p.epochs for p in r} for r in rounds] == [{2}, {5}, {20}]


def test_a_long_runs_value_is_not_compared_with_a_short_ones():
    told = []

    def value(c):
        told.append(c)
        return abs(LINE.to_unit(c)[0] - 0.9) if len(told) <= 6 else 10 + abs(LINE.to_unit(c)[0] - 0.7)

    search = CoarseToFine(LINE, trials=6, stages=3, keep=1, epochs=[1, 5, 5])
    rounds_of(search, value)

    ((low, high),) = search.regions
    assert (
        low[0] < 0.72 and high[0] > 0.6
    )  # around the second stage's best, though its values are worse than the first's


def test_the_search_ends_when_nothing_worked_and_trials_are_counted():
    assert [len(r) for r in rounds_of(CoarseToFine(LINE, 5, 3, 2), lambda c: math.nan)] == [5]
    search = CoarseToFine({"lr": ([1e-6, 1e-2], "log"), "act": ["relu", "tanh"]}, 6, 3, 2)
    rounds = rounds_of(search, lambda c: c["lr"])
    assert sum(map(len, rounds)) <= search.expected_trials == 30
    assert sorted(p.trial for r in rounds for p in r) == list(range(sum(map(len, rounds))))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="one number of epochs for each of the 3 stages"):
        CoarseToFine(LINE, epochs=[1, 2])
    with pytest.raises(ValueError, match="keep must be a whole number"):
        CoarseToFine(LINE, keep=0)
