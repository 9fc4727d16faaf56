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

from autograder.errors import RecordsError
from autograder.intake.store import write_atomically
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades
from autograder.records.pseudonyms import pseudonyms
from autograder.records.standing import Standing, Try, board

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.intake.roster import Student

SCORES = "scores.json"
OPT_OUT = "opt_out.txt"
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
        "schema": 2,
        "course": {"name": course.name, "term": course.term},
        "generated_at": f"{newest[:19]}Z" if newest else None,
        "scorer_version": SCORER_VERSION,
        "exercises": [
            _board(course, exercise, course_dir, book) for exercise in course.exercises if exercise.hidden_set
        ],
    }
    return f"{json.dumps(scores, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()


def export_grades(
    course: Course, course_dir: Path, roster: Mapping[str, Student], out: Path, only: str | None = None
) -> int:
    """Write `grades.csv`, a row per student and exercise, or for `only` one exercise; how many rows.

    What a row shows is `grades.Grade`; flags are those of all submissions of the student.

    Raises:
        CourseError: there is no record, no such exercise, or `out` cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    count = 0
    with Gradebook(course_dir) as book, book.snapshot():
        for exercise in [course.exercise(only)] if only else course.exercises:
            for grade in grades(exercise, course_dir, book, roster).values():
                row = _row(exercise, grade, roster[grade.student].name if grade.student in roster else "")
                writer.writerow({key: safe_cell(value) for key, value in row.items()})
                count += 1
    write_atomically(out, text.getvalue().encode("utf-8"), mode=0o600)
    return count


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet runs as a formula: a leading apostrophe where the text could start one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA) else text


def opted_out(course_dir: Path) -> frozenset[str]:
    """Students who are on no page: `<course_dir>/opt_out.txt`, one id per line. Their row stays, without a pseudonym,
    so that everybody else's rank is true.

    Raises:
        RecordsError: the file is there and cannot be read.
    """
    try:
        lines = (course_dir / OPT_OUT).read_text("utf-8").split()
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise RecordsError(f"{course_dir / OPT_OUT}: {error}; expected one student id per line") from None
    return frozenset(lines)


def _board(course: Course, exercise: Exercise, course_dir: Path, book: Gradebook) -> dict[str, Any]:
    found = board(exercise, course_dir, book)
    look, spec, meta = exercise.board, exercise.hidden_set, found.meta
    assert look is not None and spec is not None
    hidden = None
    if meta:
        hidden = {key: meta[key] for key in ("version", "size", "source", "standin")}
        hidden |= {"classes": meta["num_classes"], "split": found.split}
    away = opted_out(course_dir)
    tries = {student: mine for student, mine in (found.tries or {}).items() if student not in away}
    users = pseudonyms(course_dir, course.term, list(tries)) if tries else {}
    arrived = sorted(found.standings, key=lambda row: (row.submission.received_at, row.submission.id))
    order = {row.student: number for number, row in enumerate(arrived, 1)}
    counted = {row.student: row.submission.id for row in found.standings}
    return {
        "id": exercise.id,
        "title": exercise.title,
        "due": exercise.due.isoformat(),
        "pass_percent": spec.pass_percent,
        "phase": "final" if found.final else "public",
        "rank_model": look.rank,
        "before_model": look.before,
        "pareto": look.pareto,
        "hidden_set": hidden,
        "baselines": [
            {
                "name": row.name,
                "correct": part.correct,
                "total": part.total,
                "parameters": row.parameters,
                "model_bytes": row.model_bytes,
                "sandboxed": row.sandboxed,
            }
            for row, part in found.baselines
        ],
        "entries": [
            _entry(row, users.get(row.student), found.tries or {}, order[row.student]) for row in found.standings
        ],
        "histories": {
            users[student]: [_attempt(row, row.submission.id == counted.get(student)) for row in mine]
            for student, mine in tries.items()
        },
    }


def _entry(row: Standing, user: str | None, tries: Mapping[str, tuple[Try, ...]], order: int) -> dict[str, Any]:
    change = row.shown.against(row.before) if row.before else None
    return {
        "user": user,
        "correct": row.shown.correct,
        "total": row.shown.total,
        "public_correct": row.public.correct,
        "submissions": sum(one.submission.state != "REJECTED" for one in tries[row.student]),
        "received_day": row.submission.received_at[:10],
        "received_order": order,
        "parameters": row.result.parameters,
        "model_bytes": row.result.model_bytes,
        "sandboxed": row.result.sandboxed,
        "against_leader": list(row.against_leader) if row.against_leader else None,
        "before": (
            {"correct": row.before.correct, "gained": change[0], "lost": change[1]} if row.before and change else None
        ),
    }


def _attempt(row: Try, counts: bool) -> dict[str, Any]:
    state = row.submission.state
    verdict = {"REJECTED": "refused", "FAILED": "failed"}.get(state, "scored" if row.result else "waiting")
    return {
        "day": row.submission.received_at[:10],
        "verdict": verdict,
        "code": row.submission.code if verdict in ("refused", "failed") else "",
        "stood": row.stood,
        "moved": row.moved,
        "counts": counts,
    }


def _row(exercise: Exercise, grade: Grade, name: str) -> dict[str, object]:
    score, counts, notebook = grade.standing, grade.counts, grade.notebook
    return {
        "student_id": grade.student,
        "name": name,
        "exercise": exercise.id,
        "submissions": len(grade.submissions),
        "notebook_points": f"{notebook.points:g}" if notebook else "",
        "notebook_max": exercise.max_points,
        "notebook_code": notebook.code if notebook else "",
        "notebook_detail": notebook.detail if notebook else "",
        "correct": score.shown.correct if score else "",
        "total": score.shown.total if score else "",
        "passed": "" if grade.passed is None else "yes" if grade.passed else "no",
        "state": grade.state,
        "code": counts.code if counts else "",
        "detail": counts.detail if counts else "",
        "flags": " ".join(grade.flags),
        "sandboxed": ("yes" if score.result.sandboxed else "no") if score else "",
    }
