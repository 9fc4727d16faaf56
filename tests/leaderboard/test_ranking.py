"""Order, shared ranks, the integer pass rule and the interval, against independent oracles."""

import itertools
import json
from fractions import Fraction

import pytest
from scipy.stats import binomtest

from leaderboard.ranking import board, hundredths, needed, passes, wilson
from leaderboard.schema import parse


@pytest.fixture
def ranked(make_entry, make_exercise, make_scores):
    """ranked([(number, correct, order), ...], size) -> Board."""

    def run(rows, size=10_000):
        entries = [make_entry(n, correct, size, received_order=order) for n, correct, order in rows]
        return board(parse(json.dumps(make_scores(make_exercise(entries, size))).encode()).exercises[0])

    return run


@pytest.mark.parametrize(
    ("total", "correct"), [(n, k) for n in (1, 2, 7, 50, 1_000) for k in range(0, n + 1, max(1, n // 50))]
)
def test_the_interval_is_the_wilson_interval_of_scipy(total, correct):
    expected = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("total", "low", "high"),
    [(1_000, 44.9, 51.1), (2_000, 45.8, 50.2), (10_000, 47.0, 49.0)],
)
def test_the_interval_at_the_pass_mark_has_the_known_width(total, low, high):
    assert [round(100 * bound, 1) for bound in wilson(48 * total // 100, total)] == [low, high]


def test_the_interval_ends_exactly_at_zero_and_one():
    for total in (1, 3, 9_999, 10_000, 123_457):
        assert wilson(0, total)[0] == 0.0
        assert wilson(total, total)[1] == 1.0


def test_the_pass_rule_agrees_with_exact_fractions_for_every_count():
    for total, percent in itertools.product((1, 2, 3, 7, 25, 99, 333, 1_001), (0, 1, 48, 50, 99, 100)):
        for correct in range(total + 1):
            expected = Fraction(correct, total) >= Fraction(percent, 100)
            assert passes(correct, total, percent) is expected
            assert (correct >= needed(total, percent)) is expected


@pytest.mark.parametrize(
    ("total", "under", "over"),
    [
        (10_000, 4_799, 4_800),
        (3_001, 1_440, 1_441),
        (999, 479, 480),
        (1, 0, 1),
        (7, 3, 4),
        (60_000, 28_799, 28_800),
    ],
)
def test_one_image_decides_at_48_percent(total, under, over):
    assert not passes(under, total, 48)
    assert passes(over, total, 48)
    assert needed(total, 48) == over


def test_a_failing_score_is_never_shown_as_having_reached_the_mark():
    for total in (60_000, 99_999, 1_000_003):
        under = needed(total, 48) - 1
        assert hundredths(under, total) < 4_800 <= hundredths(under + 1, total)
        assert round(100 * under / total, 2) == 48.0  # what rounding would have shown


def test_equal_counts_share_a_rank_and_the_earlier_is_listed_first(ranked):
    rows = ranked([(1, 50, 9), (2, 70, 3), (3, 50, 1), (4, 50, 5), (5, 40, 2)]).rows
    assert [(row.user, row.rank, row.shared) for row in rows] == [
        ("u0002", 1, False),
        ("u0003", 2, True),
        ("u0004", 2, True),
        ("u0001", 2, True),
        ("u0005", 5, False),
    ]


def test_the_order_does_not_depend_on_the_order_in_the_file(ranked):
    rows = [(n, correct, n) for n, correct in enumerate((9, 4, 9, 1, 4), start=1)]
    boards = {ranked(list(order)).rows for order in itertools.permutations(rows)}
    assert len(boards) == 1


def test_equal_count_and_equal_arrival_fall_back_to_the_id(ranked):
    assert [row.user for row in ranked([(8, 5, 0), (3, 5, 0)]).rows] == ["u0003", "u0008"]


def test_passing_rows_come_before_all_others_and_are_counted(ranked):
    one = ranked([(1, 4_799, 1), (2, 4_800, 2), (3, 10_000, 3), (4, 0, 4)])
    assert [row.user for row in one.passing] == ["u0003", "u0002"]
    assert [row.user for row in one.below] == ["u0001", "u0004"]
    assert one.passing + one.below == one.rows
    assert one.best.correct == 10_000


def test_an_empty_board_has_no_best(ranked):
    one = ranked([])
    assert one.rows == () and one.best is None and one.unsandboxed == 0


def test_the_interval_covers_the_truth_in_95_percent_of_simulated_hidden_sets():
    import numpy as np

    rng = np.random.default_rng(4)
    truth, total, runs = 0.48, 1_000, 20_000
    counts, times = np.unique(rng.binomial(total, truth, runs), return_counts=True)
    covered = sum(
        n
        for k, n in zip(counts.tolist(), times.tolist(), strict=True)
        if wilson(k, total)[0] <= truth <= wilson(k, total)[1]
    )
    assert 0.94 <= covered / runs <= 0.96
