"""Until when each student may hand in: the exercise's due date, or an extension granted to that student.

Extensions are rows `student_id,exercise,due` in a CSV file of the course folder, so that granting one leaves a trace
and needs no change to the course. Times carry a zone and are compared as instants; the comparison is `<=`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import SubmissionError
from autograder.intake.roster import read_rows

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise

EXTENSIONS = "extensions.csv"


@dataclass(frozen=True)
class Deadlines:
    """(student id, exercise id) -> the later time that was granted, aware."""

    extensions: Mapping[tuple[str, str], datetime]

    def of(self, student: str, exercise: Exercise) -> datetime:
        """The last instant at which this student's hand-in is in time."""
        return self.extensions.get((student, exercise.id), exercise.due)


def load_deadlines(path: Path, course: Course, students: Collection[str]) -> Deadlines:
    """Read the extensions; a file that is not there grants none.

    Raises:
        SubmissionError: a row for nobody, for no exercise, without a zone, not later than the due date, or given
            twice; with the line number.
    """
    found: dict[tuple[str, str], datetime] = {}
    if not path.exists():
        return Deadlines(found)
    for line, row in read_rows(path, ("student_id", "exercise", "due")):
        student, exercise, text = (row[name].strip() for name in ("student_id", "exercise", "due"))
        where = f"{path}, line {line}"
        if student not in students:
            raise SubmissionError(f"{where}: {student[:60]!r} is not in the roster; correct the row")
        if exercise not in course.ids:
            raise SubmissionError(f"{where}: no exercise {exercise[:60]!r}; it has: {', '.join(course.ids)}")
        due = zoned(text)
        if due is None:
            raise SubmissionError(
                f"{where}: due {text[:60]!r}, expected a time with a zone like 2026-12-20T15:59:59+01:00; correct the row"
            )
        if due <= course.exercise(exercise).due:
            raise SubmissionError(
                f"{where}: {both(due)} is not later than the exercise's own due date, {both(course.exercise(exercise).due)}"
            )
        if (student, exercise) in found:
            raise SubmissionError(f"{where}: {student} has an extension for {exercise} already; remove one of the rows")
        found[student, exercise] = due
    return Deadlines(found)


def zoned(text: str) -> datetime | None:
    """An ISO time that says its zone, None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.utcoffset() is not None else None


def both(moment: datetime) -> str:
    """The instant in UTC and, where it was written in another zone, there too: people mean one or the other."""
    utc = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return utc if not moment.utcoffset() else f"{utc} ({moment:%Y-%m-%d %H:%M:%S} {moment:%z})"
