"""What leaves the record: `scores.json` under pseudonyms for the page, `grades.csv` with names for staff.

Both are functions of the record, the manifest and the pseudonyms: exporting twice gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.intake.store import write_atomically
from autograder.records.gradebook import Gradebook
from autograder.records.pseudonyms import pseudonyms
from autograder.records.rows import Best, Notebook, Submission

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.intake.roster import Student

SCORES = "scores.json"
COLUMNS = [
    *("student_id", "name", "exercise", "submissions"),
    *("notebook_points", "notebook_max", "notebook_code", "notebook_detail"),
    *("correct", "total", "passed", "state", "code", "detail", "flags", "sandboxed"),
]
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # spreadsheets fold the full-width ones


def scores_bytes(course: Course, course_dir: Path, book: Gradebook) -> bytes:
    """`scores.json` as canonical bytes: sorted keys, UTF-8, times from the record, never from the clock."""
    from autograder.grading.score import SCORER_VERSION

    newest = book.newest()
    scores = {
        "schema": 1,
        "course": {"name": course.name, "term": course.term},
        "generated_at": f"{newest[:19]}Z" if newest else None,
        "scorer_version": SCORER_VERSION,
        "exercises": [
            _board(course, exercise, course_dir, book) for exercise in course.exercises if exercise.hidden_set
        ],
    }
    return f"{json.dumps(scores, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()


def export_grades(course: Course, course_dir: Path, roster: Mapping[str, Student], out: Path) -> int:
    """Write `grades.csv`, a row per student and exercise; how many rows.

    A row shows the submission that counts: the one with the best accuracy, else the newest that was not
    rejected, else the newest. Notebook points are the highest of any submission: the two are graded apart.

    Raises:
        RecordsError: when there is no record, or `out` cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    count = 0
    with Gradebook(course_dir) as book, book.snapshot():
        for exercise in course.exercises:
            for row in _grades(exercise, course_dir, roster, book):
                writer.writerow({key: safe_cell(value) for key, value in row.items()})
                count += 1
    write_atomically(out, text.getvalue().encode("utf-8"), mode=0o600)
    return count


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet runs as a formula: a leading apostrophe where the text could start one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA) else text


def best_of(exercise: Exercise, course_dir: Path, book: Gradebook) -> tuple[Mapping[str, Any] | None, list[Best]]:
    """The hidden set's meta and each student's best result on it in rank order; an exercise is ranked by its
    first model. Without a hidden set: (None, []).
    """
    from autograder.grading import hidden_set
    from autograder.grading.score import SCORER_VERSION

    if exercise.hidden_set is None or not (course_dir / "hidden" / exercise.id / "meta.json").is_file():
        return None, []
    meta = hidden_set.load_meta(course_dir, exercise.id)
    return meta, book.best(exercise.id, exercise.models[0].file, meta["version"], SCORER_VERSION)


def _board(course: Course, exercise: Exercise, course_dir: Path, book: Gradebook) -> dict[str, Any]:
    meta, best = best_of(exercise, course_dir, book)
    students = [row.student for row in best]
    users = pseudonyms(course_dir, course.term, students) if students else {}
    arrived = sorted(best, key=lambda row: (row.received_at, row.submission_id))
    order = {row.student: number for number, row in enumerate(arrived, 1)}
    tries = [row.student for row in book.submissions(exercise.id) if row.state != "REJECTED"]
    return {
        "id": exercise.id,
        "title": exercise.title,
        "due": exercise.due.isoformat(),
        "pass_percent": exercise.hidden_set.pass_percent if exercise.hidden_set else 0,
        "hidden_set": {key: meta[key] for key in ("version", "size", "source", "standin")} if meta else None,
        "entries": [
            {
                "user": users[row.student],
                "correct": row.correct,
                "total": row.total,
                "submissions": tries.count(row.student),
                "received_day": row.received_at[:10],
                "received_order": order[row.student],
                "parameters": row.parameters,
                "model_bytes": row.model_bytes,
                "sandboxed": row.sandboxed,
                "flags": list(row.flags),
            }
            for row in best
        ],
    }


def _grades(
    exercise: Exercise, course_dir: Path, roster: Mapping[str, Student], book: Gradebook
) -> list[dict[str, object]]:
    from autograder.grading.accuracy import passes

    best = {row.student: row for row in best_of(exercise, course_dir, book)[1]}
    notebooks = book.notebooks(exercise.id)
    handed_in: dict[str, list[Submission]] = {}
    for submission in book.submissions(exercise.id):
        handed_in.setdefault(submission.student, []).append(submission)
    rows = []
    for student in [*roster, *sorted(set(handed_in) - set(roster))]:
        mine = handed_in.get(student, [])
        score, counts = best.get(student), counting(mine, best.get(student))
        points = best_notebook([notebooks[row.id] for row in mine if row.id in notebooks])
        passed = ""
        if score and exercise.hidden_set:
            passed = "yes" if passes(score.correct, score.total, exercise.hidden_set.pass_percent) else "no"
        values = {
            "student_id": student,
            "name": roster[student].name if student in roster else "",
            "exercise": exercise.id,
            "submissions": len(mine),
            "notebook_points": f"{points.points:g}" if points else "",
            "notebook_max": exercise.max_points,
            "notebook_code": points.code if points else "",
            "notebook_detail": points.detail if points else "",
            "correct": score.correct if score else "",
            "total": score.total if score else "",
            "passed": passed,
            "state": counts.state if counts else "none",
            "code": counts.code if counts else "",
            "detail": counts.detail if counts else "",
            "flags": " ".join(counts.flags) if counts else "",
            "sandboxed": ("yes" if score.sandboxed else "no") if score else "",
        }
        rows.append(values)
    return rows


def counting(submissions: list[Submission], best: Best | None) -> Submission | None:
    """The submission that counts, of one student's in the order they were received."""
    chosen = [row for row in submissions if best and row.id == best.submission_id]
    chosen = chosen or [row for row in submissions if row.state != "REJECTED"] or submissions
    return chosen[-1] if chosen else None


def best_notebook(notebooks: list[Notebook]) -> Notebook | None:
    """The graded notebook with the most points, the earliest of equals; a failed one if none was graded."""
    return max(notebooks, key=lambda row: (row.state == "graded", row.points), default=None)
