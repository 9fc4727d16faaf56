"""The same boards for machines: `leaderboard.json` and one CSV per exercise, without what is for staff."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from leaderboard.ranking import Board, Row, needed
from leaderboard.schema import Scores

JSON_SCHEMA = 1
CSV_COLUMNS = (
    "rank",
    "user",
    "correct",
    "total",
    "accuracy_percent",
    "interval_low_percent",
    "interval_high_percent",
    "passed",
    "submissions",
    "received_day",
    "sandboxed",
    "standin",
)
# what a spreadsheet takes for a formula or a command, with the full-width forms that some fold to ASCII
FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _numbers(row: Row) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "user": row.user,
        "correct": row.correct,
        "total": row.total,
        "accuracy_percent": row.hundredths / 100,
        "interval_low_percent": round(100 * row.low, 2),
        "interval_high_percent": round(100 * row.high, 2),
        "passed": row.passed,
        "submissions": row.submissions,
        "received_day": row.day.isoformat(),
        "sandboxed": row.sandboxed,
    }


def leaderboard_json(scores: Scores, boards: Sequence[Board], digest: str) -> bytes:
    """All boards as UTF-8 JSON with sorted keys; `digest` is the sha256 of the scores file, hex."""
    exercises = []
    for one in boards:
        exercise, hidden = one.exercise, one.exercise.hidden_set
        exercises.append(
            {
                "id": exercise.id,
                "title": exercise.title,
                "due": exercise.due.isoformat(),
                "pass_percent": exercise.pass_percent,
                "pass_correct": needed(hidden.size, exercise.pass_percent) if hidden else None,
                "hidden_set": hidden.model_dump() if hidden else None,
                "participants": len(one.rows),
                "passed": len(one.passing),
                "entries": [_numbers(row) for row in one.rows],
            }
        )
    document = {
        "schema": JSON_SCHEMA,
        "course": scores.course.model_dump(),
        "generated_at": scores.generated_at.isoformat() if scores.generated_at else None,
        "scorer_version": scores.scorer_version,
        "input_sha256": digest,
        "exercises": exercises,
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def safe_cell(value: object) -> str:
    """`value` as a CSV cell that no spreadsheet runs: text like a formula gets a leading apostrophe."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.2f}"
    text = str(value)
    return f"'{text}" if text[:1] in tuple("\t\r\n") or text.lstrip().startswith(FORMULA_STARTS) else text


def board_csv(one: Board) -> bytes:
    """One board as UTF-8 CSV (RFC 4180 line ends), header first, percentages with two decimals."""
    hidden = one.exercise.hidden_set
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for row in one.rows:
        cells = _numbers(row) | {"standin": bool(hidden and hidden.standin)}
        writer.writerow([safe_cell(cells[column]) for column in CSV_COLUMNS])
    return out.getvalue().encode()
