"""`explain`: the whole chain from a student's hand-ins to the grade, in lines of text; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.intake.deadlines import EXTENSIONS, both, zoned
from autograder.intake.roster import read_rows
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades
from autograder.records.standing import board, parts
from autograder.records.withdraw import summary

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.records.rows import Submission
    from autograder.records.standing import Board


def explain(course: Course, course_dir: Path, student: str, exercise_id: str) -> list[str]:
    """Hand-ins with times and hashes, quota and deadline, verdicts and versions, flags, and why which of them counts.

    Raises:
        CourseError: no record, no such exercise, or nothing of this student in it.
    """
    exercise = course.exercise(exercise_id)
    with Gradebook(course_dir) as book, book.snapshot():
        grade = grades(exercise, course_dir, book).get(student)
        if grade is None:
            raise RecordsError(f"{student!r} has handed in nothing for {exercise.id}; check the id against the roster")
        found = board(exercise, course_dir, book, final=True)
        lines = [f"{student}, {exercise.id} ({exercise.title})", *_rules(exercise, course_dir, student, found)]
        for row in grade.submissions:
            lines += ["", *_submission(exercise, book, row)]
        return [*lines, "", *_what_counts(exercise, grade, found)]


def _rules(exercise: Exercise, course_dir: Path, student: str, found: Board) -> Iterator[str]:
    path, due = course_dir / EXTENSIONS, exercise.due
    for _, row in read_rows(path, ("student_id", "exercise", "due")) if path.exists() else ():
        if (row["student_id"].strip(), row["exercise"].strip()) == (student, exercise.id):
            due = zoned(row["due"].strip()) or due
    yield f"due {both(due)}{'' if due == exercise.due else f', by an extension; the exercise was due {both(exercise.due)}'}"
    if exercise.quota is not None:
        limits = [(exercise.quota.total, "in all"), (exercise.quota.per_day, "a day (UTC)")]
        yield "quota: " + ", ".join(f"{most} {what}" for most, what in limits if most is not None)
    if found.meta is not None and exercise.hidden_set is not None:
        yield (
            f"hidden set {found.meta['version']}, {found.meta['size']:,} images"
            f"{', a stand-in' if found.meta['standin'] else ''}; passes with {exercise.hidden_set.pass_percent} %"
        )


def _submission(exercise: Exercise, book: Gradebook, row: Submission) -> Iterator[str]:
    told = f", {'in time by an extension' if row.state != 'REJECTED' else 'late'}" if row.late else ""
    yield f"submission {row.id}: received {row.received_at[:19].replace('T', ' ')} UTC{told}, sha256 {row.sha256}"
    yield f"  is {' '.join(filter(None, (row.state, row.code, row.detail)))}{', withdrawn' if row.withdrawn else ''}"
    for event in book.events(row.id):
        detail = " ".join(filter(None, (event.code, event.detail)))
        yield f"  {event.at[:19].replace('T', ' ')} {event.what}{f': {detail}' if detail else ''}"
    for result in book.results(exercise.id):
        if result.submission_id == row.id:
            public, private = parts(result, split=True)
            halves = "" if public == private else f" (public half {public.correct}, private half {private.correct})"
            yield (
                f"  {result.model_file}: {result.correct} of {result.total} right{halves}, hidden set "
                f"{result.dataset_version}, scorer {result.scorer_version}, {result.parameters:,} parameters, "
                f"{'sandboxed' if result.sandboxed else 'UNSAFE'}"
            )
    for notebook in book.notebook_results(row.id):
        yield (
            f"  notebook: {notebook.state} {notebook.points:g} of {notebook.max_points:g}, release "
            f"{notebook.snapshot_sha[:12]}, {'sandboxed' if notebook.sandboxed else 'UNSAFE'}"
        )
        for task, (points, most, message) in notebook.in_order(exercise):
            yield f"    {task}: {points:g} of {most:g}{f', {message}' if message else ''}"
    settled = {decision.flag_id: decision for decision in book.decisions(exercise.id) if decision.flag_id is not None}
    for flag in book.flags(exercise.id, settled=True):
        if flag.submission_id == row.id:
            end = settled.get(flag.id)
            closed = f"; settled by {end.who}: {end.reason}" if end else ""
            yield f"  flag {flag.id} (for staff), {flag.kind} by {flag.who}: {flag.evidence}{closed}"


def _what_counts(exercise: Exercise, grade: Grade, found: Board) -> Iterator[str]:
    yield f"counts: {summary(grade)}"
    if grade.standing:
        tries = [row for row in (found.tries or {})[grade.student] if row.result is not None]
        half = "public half" if found.split else "hidden set"
        yield (
            f"  of {len(tries)} scored submissions the one with the most images of the {half} right "
            f"({grade.standing.public.correct} of {grade.standing.public.total}), the earliest of equals"
            + (", with its count on the private half" if found.split else "")
        )
        place = [row.student for row in found.standings].index(grade.student) + 1
        yield f"  place {place} of {len(found.standings)} on the final board"
    elif exercise.models:
        yield "  no submission has a score on the current hidden set"
    if grade.notebook:
        yield "  of all notebooks the one with the most points, the earliest of equals"
