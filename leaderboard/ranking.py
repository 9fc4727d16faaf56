"""Who leads, who is tied with whom, and who passes. Integers decide, floats only describe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

from leaderboard.schema import Attempt, Entry, Exercise, LeaderboardError
from leaderboard.statistics import gain, paired_tie, unpaired_tie, wilson


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


class Row(NamedTuple):
    """One line of a board. `place` from 1; `first`..`last` is its rank band; `low`, `high` in [0, 1].

    `hundredths` is its accuracy in hundredths of a percent; `change` is (gain, low, high) of the ranked model over the one before it, in [-1, 1]; None without one.
    """

    entry: Entry
    place: int
    first: int
    last: int
    low: float
    high: float
    passed: bool
    hundredths: int
    change: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Line:
    """A baseline: a count of the staff's model, or with `entry` None plain chance. Accuracy in hundredths of percent."""

    name: str
    hundredths: int
    interval: tuple[float, float] | None
    passed: bool
    parameters: int | None
    model_bytes: int | None
    sandboxed: bool


@dataclass(frozen=True)
class Board:
    """One exercise with its rows in rank order (so all passing rows come first) and its baselines, best first."""

    exercise: Exercise
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]

    @cached_property
    def passed(self) -> int:
        return sum(row.passed for row in self.rows)

    @property
    def best(self) -> Row | None:
        return self.rows[0] if self.rows else None

    @cached_property
    def unsandboxed(self) -> int:
        return sum(not row.entry.sandboxed for row in self.rows)

    @cached_property
    def records(self) -> tuple[tuple[date, str, int], ...]:
        """What `records` says of its histories."""
        return tuple(records(self.exercise.histories))

    @property
    def newest(self) -> date | None:
        """Day of the newest submission of any kind."""
        return max((one.day for mine in self.exercise.histories.values() for one in mine), default=None)


def board(exercise: Exercise) -> Board:
    """The ranked board of one exercise."""
    return Board(exercise, rank(exercise), _lines(exercise))


def rank(exercise: Exercise) -> tuple[Row, ...]:
    """Rows by count, highest first, then arrival, then id, in rank bands.

    A band begins with the first row that is significantly worse than the first of the band above; the rows after it
    belong to it as long as the paired test against that first row (the intervals, where pairs are not known) finds no
    difference at 5 %.
    """
    ordered = sorted(exercise.entries, key=lambda one: (-one.correct, one.received_order, one.user or ""))
    starts = _band_starts(ordered)
    ends = [*starts[1:], len(ordered)]
    rows = []
    for start, end in zip(starts, ends, strict=False):
        for at in range(start, end):
            one = ordered[at]
            low, high = wilson(one.correct, one.total)
            change = None
            if one.before:
                before = one.before
                bounds = gain(before.gained, before.lost, one.total)
                change = ((before.gained - before.lost) / one.total, *bounds)
            passed = passes(one.correct, one.total, exercise.pass_percent)
            score = hundredths(one.correct, one.total)
            rows.append(Row(one, at + 1, start + 1, end, low, high, passed, score, change))
    return tuple(rows)


def _band_starts(ordered: Sequence[Entry]) -> list[int]:
    starts: list[int] = []
    for at, one in enumerate(ordered):
        if not starts or not _tied(ordered[starts[-1]], one):
            starts.append(at)
    return starts


def _tied(first: Entry, one: Entry) -> bool:
    if one.against_leader is None:
        return unpaired_tie(first.correct, one.correct, one.total)
    only_first, only_this = one.against_leader
    if only_first - only_this != first.correct - one.correct:
        raise LeaderboardError(
            f"expected against_leader of {one.user} to differ by {first.correct - one.correct} (the counts of the two), "
            f"got {only_first - only_this}; export scores.json again"
        )
    return paired_tie(only_first, only_this)


def _lines(exercise: Exercise) -> tuple[Line, ...]:
    lines = [
        Line(
            one.name,
            hundredths(one.correct, one.total),
            wilson(one.correct, one.total),
            passes(one.correct, one.total, exercise.pass_percent),
            one.parameters,
            one.model_bytes,
            one.sandboxed,
        )
        for one in exercise.baselines
    ]
    if exercise.hidden_set:
        classes = exercise.hidden_set.classes
        # a guess that looks at nothing is right with probability 1 / classes whatever the labels are
        lines.append(Line("chance", 10_000 // classes, None, exercise.pass_percent * classes <= 100, None, None, True))
    return tuple(sorted(lines, key=lambda line: -line.hundredths))


def records(histories: Mapping[str, Sequence[Attempt]]) -> Iterator[tuple[date, str, int]]:
    """(day, user, count) of each submission that took the lead on the public part, oldest first, one per day."""
    tops: dict[date, tuple[int, str]] = {}  # day -> (-count, user) of its best
    for user, mine in histories.items():
        for one in mine:
            if one.moved and one.stood is not None:
                top = tops.get(one.day)
                if top is None or (-one.stood, user) < top:
                    tops[one.day] = (-one.stood, user)
    best = -1
    for day, (below, user) in sorted(tops.items()):
        if -below > best:
            best = -below
            yield day, user, best
