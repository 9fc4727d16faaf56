"""Order, shared ranks, the integer pass rule and the interval, against independent oracles."""

import itertools
import json
from datetime import date
from fractions import Fraction

import pytest

from leaderboard.ranking import board, hundredths, needed, passes, records
from leaderboard.reading import parse
from leaderboard.schema import LeaderboardError


@pytest.fixture
def ranked(make_entry, make_exercise, make_scores):
    """ranked([(number, correct, order), ...], size) -> Board."""

    def run(rows, size=10_000):
        entries = [make_entry(n, correct, size, received_order=order) for n, correct, order in rows]
        return board(parse(json.dumps(make_scores(make_exercise(entries, size))).encode()).exercises[0])

    return run


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


def test_equal_counts_are_in_one_band_and_the_earlier_is_listed_first(ranked):
    rows = ranked([(1, 50, 9), (2, 700, 3), (3, 50, 1), (4, 50, 5), (5, 4, 2)], 1_000).rows
    assert [(row.entry.user, row.place, row.first, row.last) for row in rows] == [
        ("u0002", 1, 1, 1),
        ("u0003", 2, 2, 4),
        ("u0004", 3, 2, 4),
        ("u0001", 4, 2, 4),
        ("u0005", 5, 5, 5),
    ]


def test_the_order_does_not_depend_on_the_order_in_the_file(ranked):
    rows = [(n, correct, n) for n, correct in enumerate((9, 4, 9, 1, 4), start=1)]
    boards = {ranked(list(order)).rows for order in itertools.permutations(rows)}
    assert len(boards) == 1


def test_equal_count_and_equal_arrival_fall_back_to_the_id(ranked):
    assert [row.entry.user for row in ranked([(8, 5, 0), (3, 5, 0)]).rows] == ["u0003", "u0008"]


def test_passing_rows_come_before_all_others_and_are_counted(ranked):
    one = ranked([(1, 4_799, 1), (2, 4_800, 2), (3, 10_000, 3), (4, 0, 4)])
    assert [row.passed for row in one.rows] == [True, True, False, False]
    assert [row.entry.user for row in one.rows] == ["u0003", "u0002", "u0001", "u0004"]
    assert one.passed == 2 and one.best.entry.correct == 10_000


def parsed(scores):
    return [board(exercise) for exercise in parse(json.dumps(scores).encode()).exercises]


def test_bands_follow_the_paired_test_against_the_first_of_the_band(everything):
    rows = parsed(everything)[1].rows
    assert [(row.place, row.first, row.last) for row in rows] == [
        *((1, 1, 2), (2, 1, 2)),
        *((3, 3, 3), (4, 4, 4), (5, 5, 5)),
        *((6, 6, 7), (7, 6, 7)),
        (8, 8, 8),
    ]


def test_a_paired_test_can_tell_apart_what_intervals_cannot(make_entry, make_exercise, make_scores):
    def bands(pair):
        entries = [make_entry(1, 4_950), make_entry(2, 4_880, against_leader=pair)]
        return [row.last for row in parsed(make_scores(make_exercise(entries)))[0].rows]

    assert bands(None) == [2, 2]  # 0.7 points of 10,000 images, unpaired: within luck
    assert bands([100, 30]) == [1, 2]  # the same two counts, but the models agree on nearly all images
    assert bands([2_070, 2_000]) == [2, 2]


def test_a_pair_that_contradicts_the_counts_is_refused(everything):
    everything["exercises"][1]["entries"][1]["against_leader"] = [30, 30]
    with pytest.raises(LeaderboardError, match="expected against_leader of u0201 to differ by 10"):
        parsed(everything)


def test_a_band_is_measured_from_its_first_row_so_it_cannot_creep_down_the_board(
    make_entry, make_exercise, make_scores
):
    entries = [make_entry(n, 5_000 - 60 * n) for n in range(30)]
    rows = parsed(make_scores(make_exercise(entries)))[0].rows
    spans = {(row.first, row.last) for row in rows}
    assert len(spans) > 5
    assert all(60 * (last - first) < 150 for first, last in spans)


def test_baselines_are_sorted_by_score_and_chance_is_one_in_the_number_of_classes(everything):
    lines = parsed(everything)[1].lines
    assert [(line.name, line.hundredths) for line in lines] == [
        ("reference", 9_810),
        ("linear", 8_200),
        ("chance", 1_000),
    ]
    assert [line.passed for line in lines] == [True, False, False]


def test_the_lead_changes_hands_only_for_a_higher_count_on_the_public_part(make_attempt):
    histories = {
        "u0002": [
            make_attempt("2026-12-01", 50),
            make_attempt("2026-12-03", 70),
            make_attempt("2026-12-04", 70, moved=False),
        ],
        "u0001": [make_attempt("2026-12-01", 50), make_attempt("2026-12-02", 60)],
        "u0003": [make_attempt("2026-12-03", 65), make_attempt("2026-12-05", None, "failed")],
    }
    parsed_histories = board_histories(histories)
    assert [(day.isoformat(), user, count) for day, user, count in records(parsed_histories)] == [
        ("2026-12-01", "u0001", 50),
        ("2026-12-02", "u0001", 60),
        ("2026-12-03", "u0002", 70),
    ]


def board_histories(histories):
    from leaderboard.schema import Attempt

    return {
        user: tuple(Attempt(**one | {"day": date.fromisoformat(one["day"])}) for one in mine)
        for user, mine in histories.items()
    }


def test_an_empty_board_has_no_best(ranked):
    one = ranked([])
    assert one.rows == () and one.best is None and one.unsandboxed == 0
