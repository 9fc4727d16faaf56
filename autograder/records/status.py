"""`status`: where every submission is and why, for staff; reads the record, changes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.errors import RecordsError
from autograder.records.gradebook import Gradebook
from autograder.records.standing import current_meta

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.records.rows import Submission

_STYLES = {
    "scored": "green",
    "published": "green",
    "REJECTED": "yellow",
    "FAILED": "red",
    "ERROR": "bold red",
}


def status(
    course: Course,
    course_dir: Path,
    exercise_id: str | None = None,
    student: str | None = None,
    console: Console | None = None,
) -> None:
    """Print a table per exercise with submissions; with `student` also everything that happened to theirs.

    Raises:
        CourseError: no record, an unknown exercise, or a student without submissions.
    """
    console = console or Console()
    exercises = [course.exercise(exercise_id)] if exercise_id else list(course.exercises)
    with Gradebook(course_dir) as book, book.snapshot():
        if student is not None and not book.submissions(student=student):
            raise RecordsError(f"{student!r} has handed in nothing; check the id against the roster")
        for exercise in exercises:
            if exercise_id or book.submissions(exercise.id, student):
                _exercise(console, exercise, course_dir, book, student)
        if student is not None:
            _audit(console, book, student)


def _state(submission: Submission) -> tuple[str, str]:
    """What the table calls it, and in which colour."""
    if submission.withdrawn:
        return f"{submission.state}, withdrawn", "dim"
    return submission.state, _STYLES.get(submission.state, "")


def _exercise(console: Console, exercise: Exercise, course_dir: Path, book: Gradebook, student: str | None) -> None:
    table = Table(title=Text(f"{exercise.id}  {exercise.title}"))
    for name in ("#", "student", "received (UTC)", "state", "notebook", "accuracy", "flags", "reason"):
        table.add_column(name, overflow="fold")
    notebooks, submissions = book.notebooks(exercise.id), book.submissions(exercise.id, student)
    meta = current_meta(exercise, course_dir)
    results = {}
    for row in book.results(exercise.id):
        if meta is None or row.dataset_version == meta["version"]:
            results[row.submission_id, row.model_file] = row
    for submission in submissions:
        notebook = notebooks.get(submission.id)
        reasons = [" ".join(filter(None, (submission.code, submission.detail)))]
        points = ""
        if notebook:
            points = f"{notebook.points:g}/{notebook.max_points:g}" if notebook.state == "graded" else notebook.state
            reasons.append(
                " ".join(filter(None, ("notebook:" if notebook.code else "", notebook.code, notebook.detail)))
            )
        scores = [results[key] for key in ((submission.id, model.file) for model in exercise.models) if key in results]
        accuracy = ", ".join(
            f"{100 * score.correct / score.total:.2f} %{'' if score.sandboxed else ' (unsafe)'}" for score in scores
        )
        cells = (str(submission.id), submission.student, submission.received_at[:19].replace("T", " "))
        table.add_row(
            *map(Text, cells),
            Text(*_state(submission)),
            *map(Text, (points, accuracy, " ".join(submission.flags), "; ".join(filter(None, reasons)))),
        )
    console.print(table)
    totals = Counter(submission.state for submission in submissions)
    graded = sum(submission.id in notebooks for submission in submissions)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(totals.items())) or "none"
    console.print(Text(f"{len(submissions)} submissions: {counts}; {graded} notebooks graded"))


def _audit(console: Console, book: Gradebook, student: str) -> None:
    table = Table(title=Text(f"what happened to the submissions of {student}"))
    for name in ("when (UTC)", "#", "what", "code", "detail"):
        table.add_column(name, overflow="fold")
    for event in book.audit(student):
        cells = (
            event.at[:19].replace("T", " "),
            str(event.submission_id),
            event.what,
            event.code,
            event.detail,
        )
        table.add_row(*map(Text, cells))
    console.print(table)
