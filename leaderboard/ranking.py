"""Who leads, by how much, and who passes. Pure functions of counts; integers decide, floats only describe."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

from leaderboard.schema import Entry, Exercise

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # 1.95996...


def passes(correct: int, total: int, pass_percent: int) -> bool:
    """The pass rule, in integers so that no rounding decides: 100 * correct >= pass_percent * total."""
    return 100 * correct >= pass_percent * total


def needed(total: int, pass_percent: int) -> int:
    """Smallest count that `passes`: pass_percent * total / 100, rounded up."""
    return -(-pass_percent * total // 100)


def hundredths(correct: int, total: int) -> int:
    """Accuracy in hundredths of a percent, 0..10000, cut and never rounded.

    Cutting keeps what is read consistent with the rule: a count under a whole-percent mark never looks as if
    it had reached it.
    """
    return 10_000 * correct // total


def wilson(correct: int, total: int) -> tuple[float, float]:
    """95 % Wilson score interval of correct / total, as fractions in [0, 1].

    Source: E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
    JASA 22, 209-212; without continuity correction.
    """
    share = correct / total
    spread = Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    # the formula gives these bounds exactly; floating point misses them by an ulp
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


@dataclass(frozen=True)
class Row:
    """One line of a board. `rank` from 1, `shared` if another row has the same count, bounds in [0, 1]."""

    rank: int
    shared: bool
    user: str
    correct: int
    total: int
    low: float
    high: float
    passed: bool
    submissions: int
    day: date
    sandboxed: bool

    @property
    def hundredths(self) -> int:
        return hundredths(self.correct, self.total)


@dataclass(frozen=True)
class Board:
    """One exercise with its rows in page order: all passing rows, then all others."""

    exercise: Exercise
    rows: tuple[Row, ...]

    @property
    def passing(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.passed)

    @property
    def below(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.passed)

    @property
    def best(self) -> Row | None:
        return self.rows[0] if self.rows else None

    @property
    def unsandboxed(self) -> int:
        return sum(not row.sandboxed for row in self.rows)


def rank(entries: Sequence[Entry], pass_percent: int) -> tuple[Row, ...]:
    """Rows by count, highest first, then arrival, then id; equal counts share the better rank: 1, 2, 2, 4."""
    ordered = sorted(entries, key=lambda entry: (-entry.correct, entry.received_order, entry.user))
    counts = [entry.correct for entry in ordered]
    first_place: dict[int, int] = {}
    size: dict[int, int] = {}
    for place, count in enumerate(counts, start=1):
        first_place.setdefault(count, place)
        size[count] = size.get(count, 0) + 1
    rows = []
    for entry in ordered:
        low, high = wilson(entry.correct, entry.total)
        rows.append(
            Row(
                rank=first_place[entry.correct],
                shared=size[entry.correct] > 1,
                user=entry.user,
                correct=entry.correct,
                total=entry.total,
                low=low,
                high=high,
                passed=passes(entry.correct, entry.total, pass_percent),
                submissions=entry.submissions,
                day=entry.received_day,
                sandboxed=entry.sandboxed,
            )
        )
    return tuple(rows)


def board(exercise: Exercise) -> Board:
    """The ranked board of one exercise."""
    return Board(exercise, rank(exercise.entries, exercise.pass_percent))
