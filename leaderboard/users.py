"""A page for each pseudonym: where it stands on each board, its history as a drawing, its submissions and verdicts.

A large class has tens of thousands of histories, so everything that all histories of a board share (the HTML, axis and
labels, positions, the text of a count) is made once per board. What is filled in differs by user, and is made of digits,
days, pseudonyms and our own words only: the schema allows nothing else, and words of the file itself are escaped.
"""

from collections.abc import Callable, Sequence
from functools import cache

from markupsafe import escape

from leaderboard import text
from leaderboard.pages import BLANK, page_name, page_of, template
from leaderboard.plots import BOTTOM, HEIGHT, Axis, percent_axis, score_ticks
from leaderboard.ranking import Board, Row, hundredths
from leaderboard.schema import Attempt, Scores

VERDICTS = {
    ("scored", True): "scored, improved",
    ("scored", False): "scored, no clear improvement",
    ("waiting", False): "waiting to be scored",
}


def submitters(boards: Sequence[Board]) -> list[str]:
    """Every pseudonym that handed anything in, sorted."""
    return sorted({user for one in boards for user, tries in one.exercise.histories.items() if tries})


def user_page(scores: Scores, boards: Sequence[Board], digest: str) -> Callable[[str], bytes]:
    """A function that makes the page of a pseudonym."""
    frame = template("user.html").render(user="\0u", sections="\0s", scores=scores, digest=digest, root="../", here="")
    head, tail = frame.split("\0s")
    makers = [(one.exercise.histories, _sections(one)) for one in boards]

    def page(user: str) -> bytes:
        sections = [make(user, tries) for histories, make in makers if (tries := histories.get(user))]
        return "".join([head.replace("\0u", user), *sections, tail.replace("\0u", user)]).encode()

    return page


def _sections(one: Board) -> Callable[[str, Sequence[Attempt]], str]:
    """A function that makes the section of a user on this board."""
    exercise = one.exercise
    total, mark = exercise.public, exercise.pass_percent
    stood = sorted(t.stood for mine in exercise.histories.values() for t in mine if t.stood is not None)
    y = Axis.up(0, 1)
    if stood:
        # a few models at chance would press all others flat: the lowest 5 % are drawn at the lower edge
        floor = hundredths(stood[len(stood) // 20], total) / 100
        y = percent_axis([floor, hundredths(stood[-1], total) / 100, mark])
    ground = template("plots.html").module.ground  # type: ignore[attr-defined]
    drawing = ground(score_ticks(y, mark, least=bool(stood) and 100 * stood[0] < y.low * total), y.at(mark))
    macro = template("history.html").module.section  # type: ignore[attr-defined]
    rows, summary = {row.entry.user: row for row in one.rows}, _summaries(one)

    @cache
    def letter(chart: bool, misses: bool) -> str:
        """The section with `%s` for each value."""
        made = macro(exercise.id, exercise.id[:2], exercise.title, drawing, chart, misses, BLANK)
        return str(made).replace("%", "%%").replace(BLANK, "%s")

    @cache
    def shown(count: int) -> tuple[str, str]:
        """(accuracy, height in the drawing) of a count on the public part."""
        score = hundredths(count, total)
        return text.percent(score), y.at(max(y.low, score / 100))

    def section(user: str, tries: Sequence[Attempt]) -> str:
        row = rows.get(user)
        lines, line, dots, missed, moves, last = "", "", "", "", 0, "–"
        for number, (x, one_try) in enumerate(zip(_positions(len(tries)), tries, strict=True), 1):
            stood, verdict = one_try.stood, one_try.verdict
            if stood is not None:
                last, height = shown(stood)
                line += f"H{x}V{height}" if line else f"M{x} {height}"
                if one_try.moved:
                    moves += 1
                    dots += f"M{x} {height}h0"
            if verdict == "failed" or verdict == "refused":
                missed += f"M{x} {HEIGHT - BOTTOM}m-4 -4l8 8m0 -8l-8 8"
            kind, words = _verdict(verdict, one_try.code, one_try.moved, one_try.counts)
            score = "–" if stood is None else last
            lines += f'{kind}<th scope="row">{number}<td>{text.iso(one_try.day)}<td>{words}<td>{score}\n'
        href = f"{page_name(one, page_of(row))}#{user}" if row else page_name(one, 1)
        values = [href, *summary(row)]
        if line:
            many = "s" * (len(tries) > 1)
            values += [f"score after {len(tries)} submission{many}, {moves} of which moved it, now {last}", line, dots]
            if missed:
                values.append(missed)
        return letter(bool(line), bool(line and missed)) % (*values, lines)

    return section


@cache
def _verdict(verdict: str, code: str, moved: bool, counts: bool) -> tuple[str, str]:
    """(start of the table row, verdict in words), escaped; there are few different ones."""
    words = VERDICTS.get((verdict, moved), verdict)
    said = str(escape(f"{words}: {code.replace('_', ' ')}" if code else words))
    return ('<tr class="counts">', f"{said} <b>counts</b>") if counts else ("<tr>", said)


@cache
def _positions(count: int) -> tuple[str, ...]:
    """Where `count` submissions stand along the drawing, evenly."""
    x = Axis.across(1, count)
    return tuple(x.at(number) for number in range(1, count + 1))


def _summaries(one: Board) -> Callable[[Row | None], tuple[str, str, str]]:
    """A function that makes (class, headline, sentences) about where a user stands."""
    exercise, hidden = one.exercise, one.exercise.hidden_set
    on_private = bool(hidden and hidden.split and exercise.phase == "final")
    standin = " Stand-in data, not the real images." if hidden and hidden.standin else ""

    @cache
    def band(first: int, last: int) -> str:
        among = f", in the band of ranks {first:,} to {last:,}" if first != last else ""
        return f" of {len(one.rows):,}{among}. 95{text.NBSP}% interval "

    def summary(row: Row | None) -> tuple[str, str, str]:
        if row is None:
            return "under", "No valid score yet", ""
        entry, place, first, last, low, high, passed, score, change = row
        said = (
            f"Rank {text.thousands(place)}{band(first, last)}{text.interval((low, high))}. "
            f"{entry.parameters:,} parameters, {text.kilobytes(entry.model_bytes)}."
        )
        if change and entry.before:
            before = text.percent(hundredths(entry.before.correct, entry.total))
            said += f" Before {before}, gain {text.change(change)} percentage points."
        if on_private:
            public = text.percent(hundredths(entry.public_correct, exercise.public))
            said += f" This is on the private half; on the public half it was {public}."
        said += standin
        if not entry.sandboxed:
            said += " Not sandboxed: computed without isolation."
        kind, verdict = ("over", "passed") if passed else ("under", "below the mark")
        return kind, f"{text.percent(score)}, {verdict}", said

    return summary
