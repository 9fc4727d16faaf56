"""Grades in the forms that Moodle and Canvas import; what students must not see there yet is refused.

Moodle's grading worksheet (an assignment's "Offline grading worksheet") is read by the columns Identifier ("Participant
12345", the number that is also in the names of a bulk download, and another one in each assignment), Grade and Last
modified (grade); Canvas' gradebook by ID, by the names of the assignments' columns, and by the row of points possible. Both
as in the importers' own source: mod/assign/feedback/offline/importgradeslib.php of Moodle, lib/gradebook_importer.rb of
Canvas. Empty cells change nothing in either.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError, SubmissionError
from autograder.intake.roster import read_rows
from autograder.intake.store import write_atomically
from autograder.records.export import safe_cell
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades
from autograder.records.standing import is_over, last_deadline

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.intake.roster import Student

QUANTITIES = ("points", "passed", "accuracy")
MOODLE = (
    *("Identifier", "Full name", "Status", "Grade", "Maximum grade", "Grade can be changed"),
    *("Last modified (submission)", "Last modified (grade)", "Feedback comments"),
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_NEVER = "-"  # what Moodle writes for a time that there is not
_PARTICIPANT = re.compile(r"\D*([0-9]{1,18})")


@dataclass
class Exported:
    """How many rows were written, and who is not among them with the reason."""

    rows: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What to write: `points` of the notebook, 1 or 0 for `passed`, or `accuracy` in percent.

    zero_missing: 0 for whoever has none, instead of an empty cell that leaves the platform's as it is.
    """

    quantity: str = "points"
    zero_missing: bool = False

    def most(self, exercise: Exercise) -> int:
        """Points possible."""
        return {"points": exercise.max_points, "passed": 1, "accuracy": 100}[self.quantity]

    def cell(self, grade: Grade) -> str:
        """The grade as both platforms read it: a point as decimal sign, no thousands."""
        value: float | None = None
        if self.quantity == "points":
            value = grade.notebook.points if grade.notebook else None
        elif grade.standing:
            shown = grade.standing.shown
            value = float(bool(grade.passed)) if self.quantity == "passed" else 100 * shown.correct / shown.total
        if value is None:
            return "0" if self.zero_missing else ""
        return f"{round(value, 2):g}"


def export_moodle(
    course: Course,
    course_dir: Path,
    exercise_id: str,
    roster: Mapping[str, Student],
    out: Path,
    asked: Asked,
    worksheet: Path | None = None,
) -> Exported:
    """Write a grading worksheet for one assignment.

    Args:
        worksheet: Moodle's own of this assignment, to be filled in: all of its columns stay as they are but the grade and
            the comments. Without it, rows are made from the roster's column `moodle_id`.
    Raises:
        CourseError: no record, an unreadable worksheet, something that students must not see yet, an unwritable `out`.
    """
    exercise = course.exercise(exercise_id)
    found = _grades(exercise, course_dir, roster, asked)
    done, rows = Exported(), []
    if worksheet is None:
        for student in roster.values():
            if not student.moodle_id:
                done.left_out.append(f"{student.id}: no moodle_id in the roster")
                continue
            grade = found[student.id]
            row = dict.fromkeys(MOODLE, _NEVER) | {"Identifier": f"Participant {student.moodle_id}"}
            row |= {"Full name": student.name, "Grade can be changed": "Yes", "Status": _status(grade)}
            rows.append(row | _moodle_cells(exercise, grade, asked))
        columns: Iterable[str] = MOODLE
    else:
        columns, rows = _filled(worksheet, exercise, roster, found, asked, done)
    done.rows = _write(out, columns, rows)
    return done


def export_canvas(
    course: Course,
    course_dir: Path,
    exercise_ids: Iterable[str],
    roster: Mapping[str, Student],
    out: Path,
    asked: Asked,
    assignment: str = "",
) -> Exported:
    """Write a gradebook with a column per exercise, named as its title; Canvas asks which assignment is meant when it
    knows none of this name.

    Args:
        assignment: of a single exercise, the column's name in Canvas, best with its number: "Grid search (4711)".
    Raises:
        CourseError: no record, something that students must not see yet, or an unwritable `out`.
    """
    exercises = [course.exercise(each) for each in exercise_ids]
    if assignment and len(exercises) != 1:
        raise RecordsError("--assignment names the column of one exercise; name the exercise, too")
    names = [assignment or exercise.title for exercise in exercises]
    if len(set(names)) != len(names):
        raise RecordsError("two exercises have the same title, Canvas could not tell their columns apart; export one")
    found = [_grades(exercise, course_dir, roster, asked) for exercise in exercises]
    done, columns = Exported(), (*CANVAS, *names)
    possible = [str(asked.most(exercise)) for exercise in exercises]
    rows = [dict(zip(columns, ("    Points Possible", "", "", "", "", *possible), strict=True))]
    for student in roster.values():
        if not student.canvas_id:
            done.left_out.append(f"{student.id}: no canvas_id in the roster")
            continue
        cells = [asked.cell(each[student.id]) for each in found]
        rows.append(dict(zip(columns, (student.name, student.canvas_id, "", "", "", *cells), strict=True)))
    done.rows = _write(out, columns, rows) - 1
    return done


def _grades(exercise: Exercise, course_dir: Path, roster: Mapping[str, Student], asked: Asked) -> dict[str, Grade]:
    if asked.quantity not in QUANTITIES:
        raise RecordsError(f"--what {asked.quantity!r}: expected one of {', '.join(QUANTITIES)}")
    with Gradebook(course_dir) as book, book.snapshot():
        if asked.quantity != "points":
            if exercise.hidden_set is None:
                raise RecordsError(f"{exercise.id} scores no model, so it has only points; say --what points")
            if not is_over(last_deadline(exercise, course_dir), book.submissions(exercise.id)):
                raise RecordsError(
                    f"{exercise.id} can still be handed in, and counts on the private half would show on the "
                    "platform; export them after the last deadline"
                )
        return grades(exercise, course_dir, book, roster)


def _status(grade: Grade) -> str:
    """Moodle's words for it."""
    if grade.counts is None or grade.counts.state == "REJECTED":
        return "No submission"
    return "Submitted for grading - Graded" if grade.notebook else "Submitted for grading"


def _moodle_cells(exercise: Exercise, grade: Grade, asked: Asked) -> dict[str, str]:
    return {
        "Grade": asked.cell(grade),
        "Maximum grade": str(asked.most(exercise)),
        "Feedback comments": _comment(exercise, grade) if asked.quantity == "points" else "",
    }


def _comment(exercise: Exercise, grade: Grade) -> str:
    """What the student may read: points per task with the checks' messages, or why nothing was graded."""
    if grade.notebook and grade.notebook.state == "graded":
        return "; ".join(
            f"{task} {got:g}/{most:g}{f': {why}' if why else ''}"
            for task, (got, most, why) in grade.notebook.in_order(exercise)
        )
    if grade.notebook:
        return f"{grade.notebook.code} {grade.notebook.detail}".strip()
    if grade.counts and grade.counts.state == "REJECTED":
        return f"{grade.counts.code}: {grade.counts.detail}"
    return ""


def _filled(
    worksheet: Path,
    exercise: Exercise,
    roster: Mapping[str, Student],
    found: Mapping[str, Grade],
    asked: Asked,
    done: Exported,
) -> tuple[list[str], list[dict[str, str]]]:
    """Moodle's rows with our cells; who is not found stays as the row is."""
    numbers = {row.moodle_id: row.id for row in roster.values() if row.moodle_id}
    named: dict[str, list[str]] = {}
    for student in roster.values():
        named.setdefault(student.name.casefold(), []).append(student.id)
    rows = []
    for _, row in read_rows(worksheet, ("Identifier", "Full name", "Grade", "Last modified (grade)")):
        number = _PARTICIPANT.fullmatch(row["Identifier"].strip())
        same = named.get(row["Full name"].strip().casefold(), [])
        owner = same[0] if len(same) == 1 else numbers.get(number[1] if number else "")
        if owner is None:
            who = "several students" if same else "nobody in the roster"
            done.left_out.append(f"{row['Identifier']}, {row['Full name']}: {who} of this name")
        else:
            cells = {name: text for name, text in _moodle_cells(exercise, found[owner], asked).items() if name in row}
            row |= {name: text for name, text in cells.items() if text and name != "Maximum grade"}
        rows.append(row)
    if not rows:
        raise SubmissionError(f"{worksheet}: no rows below the header; download the worksheet again")
    return list(rows[0]), rows


def _write(out: Path, columns: Iterable[str], rows: list[dict[str, str]]) -> int:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\r\n")
    writer.writerow({name: _cell(name) for name in columns})
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_atomically(out, text.getvalue().encode("utf-8"), mode=0o600)
    return len(rows)


def _cell(text: str) -> str:
    return text if text == _NEVER else safe_cell(text)
