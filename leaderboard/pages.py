"""Boards -> HTML and the feed. Numbers and dates become text here; templates only place them, autoescaped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from leaderboard import text
from leaderboard.plots import Intervals, histogram, pareto, progress
from leaderboard.ranking import Board, Line, Row, hundredths, needed
from leaderboard.schema import Scores
from leaderboard.statistics import wilson

TEMPLATES = Path(__file__).parent / "templates"
BLANK = "\0"  # where a value is filled in; no text of a scores file can hold it
PAGE_ROWS = 500  # rows on one page of a board; a page of so many stays under 150 kB
Bar = Callable[[float, float], str]  # draws an interval given in [0, 1]
BAR_WIDTH = 180  # px; style.css gives the drawing of an interval the same width


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
        percent=text.percent,
        thousands=text.thousands,
        kilobytes=text.kilobytes,
        interval=text.interval,
        change=text.change,
        day=text.day,
        clock=text.clock,
        utc=text.utc,
        accuracy=lambda counts: text.percent(hundredths(*counts)),
    )
    return environment


def template(name: str) -> Template:
    """A template of the site by its file name."""
    return _environment().get_template(name)


@dataclass(frozen=True)
class Link:
    """One page of a board: its rows `first`..`last`, counted from 1."""

    number: int
    first: int
    last: int
    href: str


@dataclass(frozen=True)
class Page:
    """What one page of a board shows: groups (kind, table rows) in page order, kind "mark" is the pass mark."""

    number: int
    count: int
    size: int
    links: tuple[Link, ...]
    groups: tuple[tuple[str, Markup], ...]


def page_name(one: Board, number: int) -> str:
    """File name of the page `number` (from 1) of a board."""
    return f"{one.exercise.id}{f'-{number}' if number > 1 else ''}.html"


def page_of(row: Row) -> int:
    """Number of the page that a row is on."""
    return (row.place - 1) // PAGE_ROWS + 1


def index_page(scores: Scores, boards: Sequence[Board], digest: str) -> bytes:
    """`index.html`: one line per exercise. `digest`: sha256 (hex) of the scores file."""
    return template("index.html").render(scores=scores, boards=boards, digest=digest, root="", here="index").encode()


def about_page(scores: Scores, boards: Sequence[Board], digest: str) -> bytes:
    """`about.html`: the rules, and what the current boards were scored on."""
    return template("about.html").render(scores=scores, boards=boards, digest=digest, root="", here="about").encode()


def exercise_pages(scores: Scores, one: Board, digest: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each page of a board; charts are on the first."""
    exercise, layout = one.exercise, template("exercise.html")
    mark = None
    if exercise.hidden_set is not None:
        count = needed(exercise.shown, exercise.pass_percent)
        low, high = wilson(count, exercise.shown)
        mark = {"count": count, "low": f"{100 * low:.1f}", "high": f"{100 * high:.1f}"}
    charts = [chart for chart in (histogram(one), progress(one), pareto(one)) if chart]
    plot = Intervals.of(one, BAR_WIDTH)
    for page in _pages(one, lru_cache(10_000)(plot.bar)):
        content = layout.render(
            scores=scores,
            board=one,
            exercise=exercise,
            hidden=exercise.hidden_set,
            mark=mark,
            plot=plot,
            charts=charts if page.number == 1 else (),
            page=page,
            digest=digest,
            root="",
            here="",
        )
        yield page_name(one, page.number), content.encode()


def _pages(one: Board, bar: Bar) -> Iterator[Page]:
    rows, lines = one.rows, list(one.lines)
    starts = range(0, max(1, len(rows)), PAGE_ROWS)
    links = tuple(
        Link(number, start + 1, min(start + PAGE_ROWS, len(rows)), page_name(one, number))
        for number, start in enumerate(starts, 1)
    )
    for link in links:
        start, end = link.first - 1, link.last
        passing = min(max(one.passed, start), end)
        over = _merged(rows[start:passing], lines, passed=True, rest=passing == one.passed)
        under = _merged(rows[passing:end], lines, passed=False, rest=end == len(rows))
        gains = one.exercise.before_model is not None
        groups = [("over", _rows(over, bar, gains))]
        if start < one.passed <= end or (one.passed == 0 and start == 0):
            groups.append(("mark", Markup("")))
        groups.append(("under", _rows(under, bar, gains)))
        yield Page(link.number, len(links), PAGE_ROWS, links, tuple(groups))


@cache
def _row_letter(user: bool, start: str, band: bool, bar: bool, unsafe: bool, gains: bool) -> str:
    """A row of this kind with `%s` for each value."""
    made = template("row.html").module.row(user, start, band, bar, unsafe, gains, BLANK)  # type: ignore[attr-defined]
    return str(made).replace("%", "%%").replace(BLANK, "%s")


def _rows(rows: Sequence[Row | Line], bar: Bar, gains: bool) -> Markup:
    """Table rows; all values are numbers, days, names of a-z, 0-9 and _, or our own words, so none needs escaping."""
    return Markup("".join(_row(row, bar, gains) if isinstance(row, Row) else _line(row, bar, gains) for row in rows))


def _row(row: Row, bar: Bar, gains: bool) -> str:
    one, place, first, last, low, high, passed, score, change = row
    user, band = one.user, first != last
    values = [user, str(place)] if user else [str(place)]
    if band:
        values.append(f"{first}–{last}")
    values += (user, user, text.percent(score)) if user else ("opted out", text.percent(score))
    if not gains:
        values.append(bar(low, high))
    values += text.interval((low, high)), "passed" if passed else "below"
    if user:
        values += f"{one.parameters:,}", text.kilobytes(one.model_bytes)
        values += str(one.submissions), text.iso(one.received_day)
    else:
        values += ["–"] * 4
    if gains:
        values.append(text.percent(hundredths(one.before.correct, one.total)) if one.before else "–")
        values.append(text.change(change) if change else "–")
    start = "first" if first == place else ""
    return _row_letter(user is not None, start, band, not gains, not one.sandboxed, gains) % tuple(values)


def _line(line: Line, bar: Bar, gains: bool) -> str:
    bounds = line.interval
    drawn = bounds is not None and not gains
    values = ["baseline", line.name.replace("_", " "), text.percent(line.hundredths)]
    if bounds is not None and not gains:
        values.append(bar(*bounds))
    values += [text.interval(bounds) if bounds else "by calculation", "passes" if line.passed else "below"]
    values.append("–" if line.parameters is None else text.thousands(line.parameters))
    values.append("–" if line.model_bytes is None else text.kilobytes(line.model_bytes))
    values += ["–"] * (4 if gains else 2)
    return _row_letter(False, "base", False, drawn, not line.sandboxed, gains) % tuple(values)


def _merged(rows: Sequence[Row], lines: list[Line], *, passed: bool, rest: bool) -> tuple[Row | Line, ...]:
    """Rows with the baselines that fall among them, each taken out of `lines`; with `rest` also those after them."""
    merged: list[Row | Line] = []
    for row in rows:
        while lines and lines[0].passed == passed and lines[0].hundredths > row.hundredths:
            merged.append(lines.pop(0))
        merged.append(row)
    while rest and lines and lines[0].passed == passed:
        merged.append(lines.pop(0))
    return tuple(merged)
