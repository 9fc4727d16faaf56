"""Intervals, tests and the Ladder against scipy and by simulation; what happens to the unwary is shown, too."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from leaderboard.statistics import difference, gain, ladder_moves, mcnemar, paired_tie, unpaired_tie, wilson


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


def test_the_interval_covers_the_truth_in_95_percent_of_simulated_hidden_sets():
    rng = np.random.default_rng(4)
    truth, total, runs = 0.48, 1_000, 20_000
    counts, times = np.unique(rng.binomial(total, truth, runs), return_counts=True)
    covered = sum(
        n
        for k, n in zip(counts.tolist(), times.tolist(), strict=True)
        if wilson(k, total)[0] <= truth <= wilson(k, total)[1]
    )
    assert 0.94 <= covered / runs <= 0.96


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemars_p_value_is_the_exact_binomial_one_of_scipy(one, other):
    expected = binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected, rel=1e-9)
    assert paired_tie(one, other) == (expected >= 0.05)


@pytest.mark.parametrize(("one", "other"), [(2_000, 2_140), (5_000, 4_800), (0, 10_000), (49_000, 51_000)])
def test_mcnemars_p_value_holds_for_large_counts(one, other):
    assert mcnemar(one, other) == pytest.approx(binomtest(one, one + other, 0.5).pvalue, rel=1e-7, abs=1e-300)


def test_six_against_none_is_the_first_unanimous_verdict_that_counts():
    assert [paired_tie(0, n) for n in range(8)] == [True] * 6 + [False] * 2


def test_two_equally_good_models_are_told_apart_in_at_most_5_percent_of_hidden_sets():
    rng = np.random.default_rng(5)
    both = rng.binomial(800, 0.5, 4_000)
    apart = sum(not paired_tie(int(one), 800 - int(one)) for one in both)
    assert 0.03 <= apart / 4_000 <= 0.05


@pytest.mark.parametrize(
    ("correct", "other", "total", "low", "high"),
    # statsmodels 0.15, confint_proportions_2indep(..., compare="diff", method="newcomb")
    [
        (56, 48, 80, -0.047213465447, 0.241366093431),
        (4950, 4880, 10000, -0.006855936952, 0.020852136661),
        (4950, 4700, 10000, 0.011149657961, 0.038836782310),
        (10, 0, 10, 0.607509350431, 1.000000000000),
        (0, 0, 50, -0.071347599133, 0.071347599133),
        (985, 970, 1000, 0.001904189754, 0.028820851493),
    ],
)
def test_the_difference_of_two_counts_has_newcombes_interval(correct, other, total, low, high):
    assert difference(correct, other, total) == pytest.approx((low, high), abs=1e-9)
    assert unpaired_tie(correct, other, total) == (low <= 0 <= high)


def paired_counts(rng, total, right_after, right_before, runs):
    """Gained and lost images of two independent classifiers on `runs` hidden sets."""
    gained = right_after * (1 - right_before)
    lost = right_before * (1 - right_after)
    return rng.multinomial(total, [gained, lost, 1 - gained - lost], runs)[:, :2]


@pytest.mark.parametrize(("after", "before"), [(0.5, 0.48), (0.985, 0.97), (0.9, 0.9)])
def test_the_interval_of_a_gain_covers_the_true_gain_in_95_percent_of_hidden_sets(after, before):
    rng = np.random.default_rng(6)
    total, runs = 2_000, 6_000
    truth = after - before
    covered = 0
    for gained, lost in paired_counts(rng, total, after, before, runs).tolist():
        low, high = gain(gained, lost, total)
        covered += low <= truth <= high
    assert 0.94 <= covered / runs <= 0.96


def test_the_interval_of_a_gain_is_close_to_the_plain_one_on_many_images_and_stays_in_range_on_few():
    gained, lost, total = 600, 420, 10_000
    share = (gained - lost) / total
    half = 1.959964 * math.sqrt((gained + lost) / total - share**2) / math.sqrt(total)
    assert gain(gained, lost, total) == pytest.approx((share - half, share + half), abs=2e-4)
    for few in ((0, 0, 1), (1, 0, 1), (0, 3, 3)):
        low, high = gain(*few)
        assert -1 <= low <= high <= 1


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 400), st.integers(0, 100))
def test_the_whole_number_rules_of_the_ladder_are_one_standard_error_each(gained, lost, both_right, neither):
    differences = np.array([1] * gained + [-1] * lost + [0] * (both_right + neither))
    n, standing = differences.size, lost + both_right
    if n < 2:
        return
    lead = differences.mean()
    margins = [
        lead - differences.std(ddof=1) / math.sqrt(n),
        lead - math.sqrt(standing / n * (1 - standing / n) / n),
    ]
    if min(map(abs, margins)) > 1e-12:
        assert ladder_moves(gained, lost, standing, n) == (lead > 0 and min(margins) > 0)


def plain(best, right):
    """A board that answers each submission with its exact score."""
    return right.mean(), right


def paired_error_only(best, right):
    """A Ladder with the first of our two conditions."""
    gained, lost = int((right & ~best).sum()), int((best & ~right).sum())
    stands = right if (gained - lost) ** 2 > gained + lost and gained > lost else best
    return stands.mean(), stands


def ladder(best, right):
    """Our board: answers with what stands."""
    gained, lost = int((right & ~best).sum()), int((best & ~right).sum())
    stands = right if ladder_moves(gained, lost, int(best.sum()), best.size) else best
    return stands.mean(), stands


def vote(labels, public, board, tries, rng):
    """The boosting attack: a majority vote of those random guesses to which the board showed more than a half."""
    votes = np.zeros(labels.size)
    guess = rng.integers(0, 2, labels.size)
    best = (guess == labels)[public]
    for _ in range(tries - 1):
        guess = rng.integers(0, 2, labels.size)
        before = best.mean()
        seen, best = board(best, (guess == labels)[public])
        if seen > (0.5 if board is plain else before):
            votes += 2 * guess - 1
    final = np.where(votes > 0, 1, 0)
    shown, _ = board(best, (final == labels)[public])
    return shown, (final == labels)[~public].mean()


def climb(flips):
    """Flips so many answers at random and keeps what the board rewards."""

    def attack(labels, public, board, tries, rng):
        kept = rng.integers(0, 2, labels.size)
        best = (kept == labels)[public]
        shown = best.mean()
        for _ in range(tries - 1):
            guess = kept.copy()
            guess[rng.choice(np.flatnonzero(public), flips, replace=False)] ^= 1  # the worst case: knows the half
            seen, stands = board(best, (guess == labels)[public])
            if seen > shown:
                kept, shown, best = guess, seen, stands
        return shown, (kept == labels)[~public].mean()

    return attack


def leak(board, attack, seed=7):
    """(what the board shows at the end minus the truth of a coin, accuracy on the private half)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 4_000)  # two classes: the easiest for an attacker
    public = rng.permutation(4_000) < 2_000
    shown, private = attack(labels, public, board, 1_000, rng)
    return shown - 0.5, private


ATTACKS = [vote, climb(1), climb(2), climb(20), climb(60), climb(150), climb(400), climb(1_000)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_thousand_probing_submissions_gain_little_from_the_ladder_and_nothing_on_the_private_half(attack):
    for seed in (7, 8):
        gained, private = leak(ladder, attack, seed)
        assert gained < 0.08
        assert abs(private - 0.5) < 0.035  # three standard errors of 2,000 images


def test_the_same_attackers_gain_much_from_a_board_that_shows_exact_scores():
    assert leak(plain, vote)[0] > 0.12
    assert leak(plain, climb(1))[0] > 0.15


def test_a_ladder_with_the_paired_error_alone_can_be_climbed_two_images_at_a_time():
    assert leak(paired_error_only, climb(2))[0] > 0.12


@pytest.mark.parametrize(
    ("tries", "total", "points"),
    [(10, 10_000, 0.8), (100, 10_000, 1.2), (1_000, 10_000, 1.6), (10, 1_000, 2.5), (100, 1_000, 3.9)],
)
def test_the_best_of_many_equal_models_looks_better_than_it_is_but_not_on_the_private_half(tries, total, points):
    rng = np.random.default_rng(8)
    truth, runs = 0.48, 2_000
    curse = rng.binomial(total, truth, (runs, tries)).max(axis=1).mean() / total - truth
    assert 100 * curse == pytest.approx(points, abs=0.1)
    public = rng.binomial(total // 2, truth, (runs, tries))
    private = rng.binomial(total - total // 2, truth, (runs, tries))
    chosen = np.take_along_axis(private, public.argmax(axis=1)[:, None], axis=1) / (total - total // 2)
    assert abs(chosen.mean() - truth) < 4 * math.sqrt(truth * (1 - truth) / (total / 2) / runs)
