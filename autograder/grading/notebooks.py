"""`autograde`: every collected notebook without points on the current release, whatever the others do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from autograder.errors import CourseError, RecordsError
from autograder.intake import store
from autograder.intake.archive import Rejected, open_submission
from autograder.records.gradebook import Gradebook
from autograder.records.lock import coordinator
from autograder.records.rows import Notebook, Submission, clean

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.grading.autograde import NotebookResult

GIVE_UP_AFTER = 3  # errors of ours in a row: then it is the machine, not one notebook
Grader = Callable[[str, bytes], "NotebookResult"]  # (student id, notebook) -> points or a reason


@dataclass
class AutogradeReport:
    """(student, points, max points) and (student, code, detail) of one run; `kept` were graded before."""

    graded: list[tuple[str, float, float]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    kept: int = 0


def autograde(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    unsafe: bool = False,
    progress: bool = True,
    grader: Callable[[], tuple[Grader, bool]] | None = None,
) -> AutogradeReport:
    """Grade the notebook of every submission that was not rejected; a release that changed is graded anew.

    Args:
        unsafe: run notebooks without any isolation; every such result is stamped `sandboxed = 0`.
        grader: makes (grade one, is it sandboxed); the real one when None.

    A notebook that our side cannot grade is left as it is and the others go on, up to three in a row.

    Raises:
        CourseError: something of ours is missing or broken; what was graded stays.
    """
    exercise = course.exercise(exercise_id)
    report = AutogradeReport()
    with coordinator(course_dir), Gradebook(course_dir) as book:
        release = release_digest(course_dir, exercise)
        grade, sandboxed = grader() if grader else _real_grader(course, exercise, course_dir, unsafe)
        done = book.notebooks(exercise.id)
        waiting = []
        for row in book.submissions(exercise.id):
            if row.id in done and done[row.id].snapshot_sha == release:
                report.kept += 1
            elif row.state != "REJECTED":
                waiting.append(row)
        console, in_a_row = Console(stderr=True), 0
        broken: list[tuple[Submission, Exception]] = []
        for row in track(waiting, "autograde", console=console, transient=True, disable=not progress):
            try:
                notebook = _one(exercise, course_dir, row, grade, release, sandboxed)
            except Exception as error:
                broken, in_a_row = [*broken, (row, error)], in_a_row + 1
                if in_a_row == GIVE_UP_AFTER:
                    break
                continue
            in_a_row = 0
            book.add_notebook_result(notebook)
            if notebook.state == "graded":
                report.graded.append((row.student, notebook.points, notebook.max_points))
            else:
                report.failed.append((row.student, notebook.code, clean(notebook.detail)))
    if broken:
        row, first = broken[0]
        if not isinstance(first, CourseError | OSError):
            raise first  # a bug, which keeps its traceback
        raise RecordsError(
            f"{len(broken)} notebooks could not be graded, nobody was marked for it; the first is submission "
            f"{row.id} of {row.student}: {first}; run autograde again"
        ) from first
    return report


def release_digest(course_dir: Path, exercise: Exercise) -> str:
    """sha256 over what a notebook is graded with: the source with its hidden tests, and the package snapshot.

    Raises:
        RecordsError: when the exercise was not released from this course folder.
    """
    source = course_dir / "source" / exercise.id / exercise.notebook
    snapshot = course_dir / "snapshot" / exercise.id
    if not source.is_file() or not snapshot.is_dir():
        raise RecordsError(f"{exercise.id} was not released into {course_dir}; run release {exercise.id} first")
    digest = hashlib.sha256(source.read_bytes())
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"\0{path.relative_to(snapshot).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _real_grader(course: Course, exercise: Exercise, course_dir: Path, unsafe: bool) -> tuple[Grader, bool]:
    from autograder.grading.autograde import autograde_one
    from autograder.grading.sandbox import Sandbox

    sandbox = Sandbox.unsafe() if unsafe else Sandbox.detect()
    return (
        lambda student, notebook: autograde_one(course, exercise, course_dir, student, notebook, sandbox),
        sandbox.is_safe,
    )


def _one(
    exercise: Exercise, course_dir: Path, row: Submission, grade: Grader, release: str, sandboxed: bool
) -> Notebook:
    """Grade one; a submission that no longer opens (a limit was lowered) is the only failure made here."""
    suspicions: tuple[str, ...] = ()
    points, tasks = 0.0, {}
    try:
        files = open_submission(store.get(course_dir, row.sha256), exercise).files
        result = grade(row.student, files[exercise.notebook])
        points, state, code, detail = float(result.points), result.state, result.code or "", result.detail
        tasks = {name: [task.points, task.max_points, clean(task.message)] for name, task in result.per_task.items()}
        suspicions = result.suspicions
    except Rejected as error:
        state, code, detail = "FAILED", error.code, error.detail
    return Notebook(
        submission_id=row.id,
        snapshot_sha=release,
        points=points,
        max_points=float(exercise.max_points),
        tasks=tasks,
        state=state,
        code=code,
        detail=detail,
        sandboxed=sandboxed,
        suspicions=suspicions,
    )
