"""Decisions of staff: a submission no longer counts, or counts again; a flag was looked into. Results stay as they are."""

from __future__ import annotations

import contextlib
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades

if TYPE_CHECKING:
    from autograder.course.manifest import Course


def who_decides() -> str:
    """The login name of whoever runs this, for the record."""
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return f"uid {os.getuid()}"


def withdraw(
    course: Course, course_dir: Path, submission_id: int, reason: str, *, undo: bool = False, who: str = ""
) -> str:
    """Append the decision; what now counts for the student, as lines of text.

    Raises:
        RecordsError: no reason, no such submission, or it is so already.
    """
    if not reason.strip():
        raise RecordsError("--reason is empty; say who asked for it and why, it is kept in the record")
    with Gradebook(course_dir) as book:
        book.decide(submission_id, "restored" if undo else "withdrawn", reason, who or who_decides())
        row = book.submission(submission_id)
        grade = grades(course.exercise(row.exercise), course_dir, book)[row.student]
    what = "counts again" if undo else "is withdrawn, its results stay in the record"
    return f"submission {row.id} of {row.student} ({row.exercise}) {what}\nnow counts: {summary(grade)}"


def settle_flag(course: Course, exercise_id: str, course_dir: Path, flag_id: int, reason: str, who: str = "") -> str:
    """Close a flag, on both sides of a pair.

    Raises:
        RecordsError: no reason, or no such open flag in this exercise.
    """
    if not reason.strip():
        raise RecordsError("--reason is empty; say what was found out, it is kept in the record")
    with Gradebook(course_dir) as book:
        if flag_id not in {flag.id for flag in book.flags(course.exercise(exercise_id).id)}:
            raise RecordsError(f"flag {flag_id} of {exercise_id}: there is no open one with this number")
        closed = book.settle(flag_id, reason, who or who_decides())
    numbers = " and ".join(str(flag.id) for flag in closed)
    return f"settled: {closed[0].kind} ({numbers})"


def summary(grade: Grade) -> str:
    """What a student's grade is made of, in one line."""
    told = []
    if grade.standing:
        shown, number = grade.standing.shown, grade.standing.submission.id
        verdict = "passed" if grade.passed else "not passed"
        told.append(f"model of submission {number}, {shown.correct} of {shown.total} right, {verdict}")
    elif grade.counts:
        told.append(f"submission {grade.counts.id}, {grade.counts.state} {grade.counts.code}".rstrip())
    if grade.notebook:
        told.append(
            f"notebook of submission {grade.notebook.submission_id}, {grade.notebook.points:g} of "
            f"{grade.notebook.max_points:g} points"
        )
    return "; ".join(told) or "nothing"
