"""Geometry of the drawings: boards and histories -> coordinates and SVG paths, which templates/plots.html places.

Coordinates are rounded, so a drawing of 5,000 entries stays small and the same on every machine.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from leaderboard.ranking import Board, hundredths
from leaderboard.text import percent, short_day, thousands

WIDTH, HEIGHT = 480, 176  # the viewBox of every chart
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 14, 28  # room for the labels
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # widths of bins and distances of ticks, in percent
MOST_BINS = 24


@dataclass(frozen=True)
class Axis:
    """Maps low..high to start..end, in pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> str:
        """Position of `value`, at most one decimal: a board carries hundreds of them."""
        room = self.high - self.low
        share = (value - self.low) / room if room else 0.5
        return f"{self.start + share * (self.end - self.start):.1f}".removesuffix(".0")

    @classmethod
    def across(cls, low: float, high: float) -> "Axis":
        return cls(low, high, LEFT, WIDTH - RIGHT)

    @classmethod
    def up(cls, low: float, high: float) -> "Axis":
        return cls(low, high, HEIGHT - BOTTOM, TOP)


@dataclass(frozen=True)
class Tick:
    """A label at a position along an axis; `mark` is the pass mark."""

    at: str
    text: str
    mark: bool = False


@dataclass(frozen=True)
class Chart:
    """One drawing. `paths` are (class, d), `x`, `y` ticks; `text` says in words what it shows."""

    title: str
    text: str
    paths: tuple[tuple[str, str], ...]
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    mark_x: str = ""
    mark_y: str = ""


@dataclass(frozen=True)
class Intervals:
    """The shared axis of a board's intervals: percent low..high on `width` pixels."""

    low: int
    high: int
    width: int

    MARGIN = 6

    @classmethod
    def of(cls, one: Board, width: int) -> "Intervals":
        """The tightest axis on whole steps that shows every interval and the pass mark."""
        mark = one.exercise.pass_percent
        least = min([100 * row.low for row in one.rows] + [mark - 1])
        most = max([100 * row.high for row in one.rows] + [mark + 1])
        step = 5 if most - least > 10 else 1
        low = max(0, int(least // step) * step)
        high = min(100, -int(-most // step) * step)
        return cls(low, high, width)

    def ticks(self, mark: int) -> tuple[int, ...]:
        """The percentages to write on the axis: the pass mark, and each end that does not collide with it."""
        apart = (self.high - self.low) / 6
        return tuple(v for v in (self.low, mark, self.high) if v == mark or abs(v - mark) >= apart)

    def x(self, value: float) -> int:
        room = self.width - 2 * self.MARGIN
        return self.MARGIN + round(room * (value - self.low) / (self.high - self.low))

    def bar(self, low: float, high: float) -> str:
        """The path of one interval given in [0, 1]; at least two pixels, so that it can be seen."""
        start = self.x(100 * low)
        return f"M{start} 9h{max(2, self.x(100 * high) - start)}"


def histogram(one: Board) -> Chart | None:
    """How many users have which accuracy, in bins that have the pass mark as an edge; None without rows."""
    if not one.rows:
        return None
    mark = one.exercise.pass_percent
    scores = [row.hundredths / 100 for row in one.rows]
    least, most = min([*scores, mark]), max([*scores, mark])
    width = next((step for step in STEPS if (most - least) / step <= MOST_BINS - 2), STEPS[-1])
    bins = Counter(math.floor((score - mark) / width + 1e-9) for score in scores)
    first, last = min([*bins, -1]), max([*bins, 0])
    x, y = Axis.across(mark + first * width, mark + (last + 1) * width), Axis.up(0, max(bins.values()))
    under: list[str] = []
    over: list[str] = []
    for number, count in sorted(bins.items()):
        left, right = mark + number * width, mark + (number + 1) * width
        bar = f"M{x.at(left)} {y.at(0)}V{y.at(count)}H{x.at(right)}V{y.at(0)}z"
        (over if number >= 0 else under).append(bar)
    ticks = [Tick(x.at(mark), f"{mark} %", True)]
    ticks += [
        Tick(x.at(end), f"{end:g} %")
        for end in (max(0.0, x.low), min(100.0, x.high))
        if abs(end - mark) > (x.high - x.low) / 7
    ]
    middle = percent(sorted(row.hundredths for row in one.rows)[len(one.rows) // 2])
    return Chart(
        "Scores",
        f"{thousands(len(one.rows))} users in bins of {width:g} %: {thousands(one.passed)} reach the pass mark of "
        f"{mark} %, {thousands(len(one.rows) - one.passed)} do not; half of all are at {middle} or above.",
        (("under", "".join(under)), ("over", "".join(over))),
        tuple(ticks),
        (Tick(y.at(max(bins.values())), thousands(max(bins.values()))), Tick(y.at(0), "0")),
        mark_x=x.at(mark),
    )


def progress(one: Board) -> Chart | None:
    """The best count on the public part, day by day, up to the deadline; None before the first score."""
    steps = list(one.records)
    if not steps:
        return None
    total, mark = one.exercise.public, one.exercise.pass_percent
    start, due = steps[0][0], one.exercise.due.date()
    end = max(one.newest or start, due, steps[-1][0])
    scores = [hundredths(count, total) / 100 for _, _, count in steps]
    x, y = Axis.across(0, (end - start).days), percent_axis([*scores, mark])
    path = f"M{x.at(0)} {y.at(scores[0])}"
    for (moment, _, _), score in zip(steps[1:], scores[1:], strict=True):
        path += f"H{x.at((moment - start).days)}V{y.at(score)}"
    path += f"H{x.at((max(one.newest or start, steps[-1][0]) - start).days)}"
    dots = "".join(f"M{x.at((m - start).days)} {y.at(s)}h0" for (m, _, _), s in zip(steps, scores, strict=True))
    deadline = f"M{x.at((due - start).days)} {TOP}V{HEIGHT - BOTTOM}" if start <= due else ""
    moment, user, count = steps[-1]
    return Chart(
        "Best over time",
        f"Leads on the public part so far: {thousands(len(steps))}, the last by {user} on {moment} with "
        f"{percent(hundredths(count, total))}. The dashed line is the deadline.",
        (("due", deadline), ("line", path), ("dots", dots)),
        _day_ticks(x, start, due, end),
        score_ticks(y, mark),
        mark_y=y.at(mark),
    )


def pareto(one: Board) -> Chart | None:
    """Accuracy against parameters; the line joins the models that no smaller one beats. None without rows."""
    rows = [row for row in one.rows if row.entry.user and row.entry.parameters > 0]
    if not rows or not one.exercise.pareto:
        return None
    models = [(math.log10(row.entry.parameters), row.hundredths / 100) for row in rows]
    staff = [(math.log10(line.parameters), line.hundredths / 100, line.name) for line in one.lines if line.parameters]
    sizes = [size for size, *_ in models] + [size for size, *_ in staff]
    low, high = math.floor(10 * min(sizes) - 0.5) / 10, math.ceil(10 * max(sizes) + 0.5) / 10
    mark = one.exercise.pass_percent
    x = Axis.across(low, high)
    y = percent_axis([score for _, score in models] + [score for _, score, _ in staff] + [mark])
    grid = 1 if len(models) <= 500 else 4  # px; where dots cover each other, fewer of them look the same
    cells = {
        (grid * round(float(x.at(size)) / grid), grid * round(float(y.at(score)) / grid)) for size, score in models
    }
    dots = [f"M{across} {up}h0" for across, up in sorted(cells)]
    front, best = "", -1.0
    for size, score in sorted(models, key=lambda model: (model[0], -model[1])):
        if score > best:
            front += f"H{x.at(size)}V{y.at(score)}" if front else f"M{x.at(size)} {y.at(score)}"
            best = score
    squares = "".join(f"M{x.at(size)} {y.at(score)}h0" for size, score, _ in staff)
    powers = range(math.ceil(low), math.floor(high) + 1)
    ends = () if powers else (low, high)
    small = min(rows, key=lambda row: (row.entry.parameters, -row.entry.correct))
    return Chart(
        "Accuracy against parameters",
        f"Each dot is a model, further left is smaller; the smallest is {small.entry.user}'s with "
        f"{thousands(small.entry.parameters)} parameters and {percent(small.hundredths)}. The line joins the models "
        f"that no smaller one reaches{'; squares are baselines' if staff else ''}.",
        (("front", f"{front}H{WIDTH - RIGHT}"), ("dots", "".join(dots)), ("staff", squares)),
        tuple(Tick(x.at(p), thousands(round(10**p))) for p in (*powers, *ends)),
        score_ticks(y, mark),
        mark_y=y.at(mark),
    )


def percent_axis(scores: Sequence[float]) -> Axis:
    """An axis over all scores, its ends on a multiple of a step."""
    least, most = min(scores), max(scores)
    step = next((step for step in STEPS if (most - least) / step <= 6), STEPS[-1])
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step
    return Axis.up(max(0.0, low), min(100.0, high if high > low else low + step))


def score_ticks(y: Axis, mark: int, *, least: bool = False) -> tuple[Tick, ...]:
    """The pass mark and the ends of a percent axis; `least`: lower scores are drawn at the lower end."""
    apart = (y.high - y.low) / 6
    ends = [(y.low, f"{'≤' if least else ''}{y.low:g} %"), (y.high, f"{y.high:g} %")]
    return (Tick(y.at(mark), f"{mark} %", True), *(Tick(y.at(at), text) for at, text in ends if abs(at - mark) > apart))


def _day_ticks(x: Axis, start: date, due: date, end: date) -> tuple[Tick, ...]:
    """The first day and the deadline, or the last day where the deadline lies before all scores."""
    last = due if start < due else end
    days = [start] if last == start else [start, last]
    return tuple(Tick(x.at((one - start).days), short_day(one)) for one in days)
