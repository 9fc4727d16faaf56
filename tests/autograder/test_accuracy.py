from fractions import Fraction

import numpy as np
import pytest

from autograder.grading.accuracy import count_correct, passes


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)


def test_matches_are_counted_and_rows_without_a_finite_answer_are_wrong() -> None:
    assert count_correct(ids(0, 1, 2, 255, 4, 255), ids(0, 1, 3, 3, 4, 0)) == (3, 6, 2)


def test_counts_are_python_integers_and_agree_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    predictions, labels = (rng.integers(0, 10, 5000, dtype=np.uint8) for _ in range(2))
    predictions[rng.random(5000) < 0.1] = 255
    result = count_correct(predictions, labels)
    expected = sum(int(p) == int(y) for p, y in zip(predictions.tolist(), labels.tolist(), strict=True))
    assert result == (expected, 5000, predictions.tolist().count(255))
    assert all(type(value) is int for value in result)


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (ids(1, 2), ids(1, 2, 3)),
        (ids(), ids()),
        (ids(1).astype(np.int64), ids(1)),
        (ids(1), np.array([1.0], dtype=np.float32)),
        (ids(1).reshape(1, 1), ids(1).reshape(1, 1)),
        (ids(255), ids(255)),
        ([1], ids(1)),
    ],
)
def test_anything_but_two_equally_long_rows_of_bytes_is_an_error(predictions, labels) -> None:
    with pytest.raises(ValueError, match="expected|a label is 255"):
        count_correct(predictions, labels)


def test_passing_is_exact_at_the_mark_for_every_size() -> None:
    for total in range(1, 2001):
        least = next(c for c in range(total + 1) if Fraction(c, total) >= Fraction(48, 100))
        assert passes(least, total, 48)
        assert least == 0 or not passes(least - 1, total, 48)


def test_exactly_48_percent_passes_though_its_float32_is_below() -> None:
    assert float(np.float32(0.48)) < 0.48
    assert passes(4800, 10_000, 48) and not passes(4799, 10_000, 48)
    assert passes(0, 5, 0) and passes(5, 5, 100) and not passes(4, 5, 100)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_an_impossible_count_is_an_error(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        passes(correct, total, 48)
