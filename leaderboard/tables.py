"""The same boards for machines: `leaderboard.json` and one CSV per exercise, without what is for staff."""

import csv
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from leaderboard.ranking import Board, Line, Row, hundredths, needed
from leaderboard.schema import Scores

JSON_SCHEMA = 2
ROW_COLUMNS = (
    *("rank", "band_first", "band_last", "user", "correct", "total", "accuracy_percent"),
    *("interval_low_percent", "interval_high_percent", "passed", "parameters", "model_bytes"),
    *("submissions", "last_improvement", "before_percent", "gain_points", "gain_low_points", "gain_high_points"),
    "sandboxed",
)
BOARD_COLUMNS = ("standin", "phase")
# whole numbers or empty, which the csv module writes as they are
COUNTS = {*("rank", "band_first", "band_last", "correct", "total", "parameters", "model_bytes", "submissions")}
# what a spreadsheet takes for a formula or a command, with the full-width forms that some fold to ASCII
FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def published(row: Row) -> dict[str, Any]:
    """What is published of one row; of who opted out only place and score."""
    one = row.entry
    before = hundredths(one.before.correct, one.total) / 100 if one.before else None
    gain = [round(100 * value, 2) for value in row.change] if row.change else [None] * 3
    named = one.user is not None
    return {
        "rank": row.place,
        "band_first": row.first,
        "band_last": row.last,
        "user": one.user,
        "correct": one.correct,
        "total": one.total,
        "accuracy_percent": row.hundredths / 100,
        "interval_low_percent": round(100 * row.low, 2),
        "interval_high_percent": round(100 * row.high, 2),
        "passed": row.passed,
        "parameters": one.parameters if named else None,
        "model_bytes": one.model_bytes if named else None,
        "submissions": one.submissions if named else None,
        "last_improvement": one.received_day.isoformat() if named else None,
        "before_percent": before,
        "gain_points": gain[0],
        "gain_low_points": gain[1],
        "gain_high_points": gain[2],
        "sandboxed": one.sandboxed,
    }


def _baseline(line: Line) -> dict[str, Any]:
    low, high = line.interval or (None, None)
    return {
        "name": line.name,
        "accuracy_percent": line.hundredths / 100,
        "interval_low_percent": None if low is None else round(100 * low, 2),
        "interval_high_percent": None if high is None else round(100 * high, 2),
        "passed": line.passed,
        "parameters": line.parameters,
        "model_bytes": line.model_bytes,
        "sandboxed": line.sandboxed,
        "measured": line.interval is not None,
    }


def exercise_json(one: Board, rows: Sequence[dict[str, Any]]) -> bytes:
    """One board as a JSON object. `rows`: what is `published` of its rows."""
    exercise, hidden = one.exercise, one.exercise.hidden_set
    return to_json(
        {
            "id": exercise.id,
            "title": exercise.title,
            "due": exercise.due.isoformat(),
            "phase": exercise.phase,
            "pass_percent": exercise.pass_percent,
            "pass_correct": needed(exercise.shown, exercise.pass_percent) if hidden else None,
            "images": exercise.shown,
            "hidden_set": hidden.model_dump() if hidden else None,
            "participants": len(one.rows),
            "passed": one.passed,
            "baselines": [_baseline(line) for line in one.lines],
            "entries": rows,
        }
    )


def leaderboard_json(scores: Scores, exercises: Sequence[bytes], digest: str) -> bytes:
    """All boards as UTF-8 JSON. `exercises`: the `exercise_json` of each; `digest`: sha256 of the scores file, hex."""
    document = {
        "schema": JSON_SCHEMA,
        "course": scores.course.model_dump(),
        "generated_at": scores.generated_at.isoformat() if scores.generated_at else None,
        "scorer_version": scores.scorer_version,
        "input_sha256": digest,
        "exercises": [],
    }
    # the exercises are bytes already, and take the place of the empty list at the end
    return b"".join([to_json(document).removesuffix(b"]}"), b",".join(exercises), b"]}\n"])


@lru_cache(100_000, typed=True)  # most cells of a large class are one of few values
def safe_cell(value: object) -> str:
    """`value` as a CSV cell that no spreadsheet runs: text like a formula gets a leading apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.2f}"
    text = str(value)
    return f"'{text}" if text[:1] in tuple("\t\r\n") or text.lstrip().startswith(FORMULA_STARTS) else text


def board_csv(one: Board, rows: Sequence[dict[str, Any]]) -> bytes:
    """One board as UTF-8 CSV (RFC 4180 line ends), header first, percentages with two decimals.

    `rows`: what is `published` of its rows.
    """
    hidden = one.exercise.hidden_set
    same = [safe_cell(bool(hidden and hidden.standin)), safe_cell(one.exercise.phase)]
    columns = [[row[name] for row in rows] for name in ROW_COLUMNS]
    cells = [
        column if name in COUNTS else map(safe_cell, column) for name, column in zip(ROW_COLUMNS, columns, strict=True)
    ]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*ROW_COLUMNS, *BOARD_COLUMNS])
    writer.writerows((*row, *same) for row in zip(*cells, strict=True))
    return out.getvalue().encode()
