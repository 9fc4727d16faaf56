"""Boards -> HTML. Numbers and dates become text here; templates only place them, autoescaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leaderboard.ranking import Board, Row, needed, wilson
from leaderboard.schema import Scores

TEMPLATES = Path(__file__).parent / "templates"
# own names: strftime's depend on the locale, and the same input must give the same bytes
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NBSP = "\u00a0"
PLOT_WIDTH = 240  # px; style.css gives the drawing the same width
PLOT_MARGIN = 6
PLOT_STEP = 5  # the axis starts and ends on a multiple of this many percent


def percent(hundredths: int) -> str:
    """4807 -> '48.07 %' with a no-break space."""
    return f"{hundredths // 100}.{hundredths % 100:02d}{NBSP}%"


def thousands(count: int) -> str:
    return f"{count:,}"


def interval(row: Row) -> str:
    """The row's 95 % interval in percent with one decimal: '51.1–53.1'."""
    return f"{100 * row.low:.1f}–{100 * row.high:.1f}"


def day(moment: datetime) -> str:
    return f"{WEEKDAYS[moment.weekday()]}, {moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def clock(moment: datetime) -> str:
    """'15:59:59 UTC+01:00': the time as set, with its offset, so that nobody has to guess the zone."""
    offset = moment.strftime("%z")
    zone = "" if offset == "+0000" else f"{offset[:3]}:{offset[3:5]}"
    return f"{moment:%H:%M:%S} UTC{zone}"


@dataclass(frozen=True)
class Plot:
    """The shared axis of a board's intervals: percent `low`..`high` on PLOT_WIDTH pixels."""

    low: int
    high: int

    @classmethod
    def of(cls, one: Board) -> "Plot":
        """The tightest axis on PLOT_STEP multiples that shows every interval and the pass mark."""
        mark = one.exercise.pass_percent
        least = min([100 * row.low for row in one.rows] + [mark - 1])
        most = max([100 * row.high for row in one.rows] + [mark + 1])
        low = max(0, int(least // PLOT_STEP) * PLOT_STEP)
        high = min(100, -int(-most // PLOT_STEP) * PLOT_STEP)
        return cls(low, high)

    def ticks(self, mark: int) -> tuple[int, ...]:
        """The percentages to write on the axis: the pass mark, and each end that does not collide with it."""
        apart = (self.high - self.low) / 8
        return tuple(v for v in (self.low, mark, self.high) if v == mark or abs(v - mark) >= apart)

    def x(self, value: float) -> str:
        """Pixel position of `value` percent, as short as possible: 500 rows carry two of them each."""
        room = PLOT_WIDTH - 2 * PLOT_MARGIN
        return f"{PLOT_MARGIN + room * (value - self.low) / (self.high - self.low):.1f}".removesuffix(".0")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=percent,
        thousands=thousands,
        interval=interval,
        day=day,
        clock=clock,
        utc=lambda moment: moment.astimezone(UTC),
    )
    return environment


def index_page(scores: Scores, boards: Sequence[Board], digest: str) -> bytes:
    """`index.html`: one line per exercise. `digest`: sha256 (hex) of the scores file."""
    page = _environment().get_template("index.html")
    return page.render(scores=scores, boards=boards, digest=digest).encode()


def exercise_page(scores: Scores, one: Board, digest: str) -> bytes:
    """`<id>.html`: the board of one exercise. `digest`: sha256 (hex) of the scores file."""
    hidden = one.exercise.hidden_set
    mark = None
    if hidden is not None:
        count = needed(hidden.size, one.exercise.pass_percent)
        low, high = wilson(count, hidden.size)
        mark = {"count": count, "low": f"{100 * low:.1f}", "high": f"{100 * high:.1f}"}
    page = _environment().get_template("exercise.html")
    return page.render(
        scores=scores,
        board=one,
        exercise=one.exercise,
        hidden=hidden,
        mark=mark,
        plot=Plot.of(one),
        digest=digest,
    ).encode()
