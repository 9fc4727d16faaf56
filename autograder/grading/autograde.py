"""Autograde one notebook: nbgrader outside, the student's kernel in the sandbox, points from a trusted step.

A notebook that cannot be graded at all is FAILED with a code and gets zeros, also in nbgrader's gradebook.
A kernel that dies on the way costs the tasks not yet checked; the notebook is FAILED only when no check ran
to its end, or when it was over its whole time (what was checked before keeps its points). What is not the
student's fault raises and is to be repeated. Answers in words are none of these points: nbgrader's gradebook marks
each as waiting for a person (as 0 when the cell is untouched), and its formgrader shows them. nbgrader changes the
working directory while it runs, so grade in parallel with processes, not with threads.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.course import build, bundle
from autograder.course.manifest import Course, Exercise
from autograder.errors import CourseError, SubmissionError
from autograder.grading import sanitise
from autograder.grading.sandbox import Sandbox

if TYPE_CHECKING:
    from autograder.grading.execute import SandboxedExecute

_STRINGS = re.compile(r"""f?("[^"]*"|'[^']*')""")
_PIECE = 16  # characters of a hidden test that no message may repeat
_STUDENT = re.compile(r"[a-z][a-z0-9_-]{1,31}")


@dataclass(frozen=True)
class TaskResult:
    """Points of one task, 0 or `max_points`, and why."""

    points: float
    max_points: int
    message: str


@dataclass(frozen=True)
class NotebookResult:
    """Outcome for one notebook; `code` is None when graded, `detail` may be empty."""

    points: float
    max_points: int
    per_task: dict[str, TaskResult]
    state: str  # "graded" or "FAILED"
    code: str | None
    detail: str
    snapshot_sha256: str
    suspicions: tuple[str, ...] = ()  # for staff to look at; no points depend on them


def autograde_one(
    course: Course,
    exercise: Exercise,
    course_dir: Path,
    student_id: str,
    notebook_bytes: bytes,
    sandbox: Sandbox,
) -> NotebookResult:
    """Grade one submitted notebook; running it again gives the same single grade.

    Raises:
        SubmissionError: not a student id.
        SandboxError: the kernel could not be started; not the student's fault.
        CourseError: the exercise was not released, or nbgrader failed.
    """
    if not _STUDENT.fullmatch(student_id):
        raise SubmissionError(f"student id {student_id!r}: expected lower-case letters, digits, _ or -")
    course_dir = Path(course_dir).absolute()
    source = _released_file(course_dir / "source" / exercise.id / exercise.notebook, exercise)
    released = _released_file(course_dir / "release" / exercise.id / exercise.notebook, exercise)
    snapshot = course_dir / "snapshot" / exercise.id
    names = {build.grade_id("check", task.id) for task in exercise.tasks}
    checks = {cell["id"]: cell["source"] for cell in source["cells"] if cell["id"] in names}
    refused: sanitise.Refused | None = None
    try:
        prepared = sanitise.prepare(notebook_bytes, released, checks)
    except sanitise.Refused as refusal:
        refused, prepared = refusal, sanitise.nothing(released)
    texts = {cell["id"]: cell["source"] for cell in released["cells"]}
    answers = {build.grade_id("check", task.id): build.grade_id("task", task.id) for task in exercise.tasks}
    stubs = {check: texts[answer] for check, answer in answers.items() if answer in texts}
    execute = _convert(exercise, course_dir, student_id, prepared, checks, stubs, snapshot, sandbox)
    digest = bundle.digest(bundle.read_folder(snapshot))
    return _result(exercise, execute, prepared, refused, digest, _hidden_code(checks, released))


def _released_file(path: Path, exercise: Exercise) -> dict[str, Any]:
    try:
        return build.read_notebook(path.read_bytes())
    except OSError as error:
        raise CourseError(f"{exercise.id} is not released: no {path}; run `release {exercise.id}`") from error


def _convert(
    exercise: Exercise,
    course_dir: Path,
    student_id: str,
    prepared: sanitise.Prepared,
    checks: dict[str, str],
    stubs: dict[str, str],
    snapshot: Path,
    sandbox: Sandbox,
) -> SandboxedExecute:
    """Run nbgrader's autograde on the clean notebook; return its execution step, which holds the verdicts."""
    from nbgrader.converters import Autograde
    from nbgrader.converters.base import NbGraderException
    from nbgrader.preprocessors import CheckCellMetadata, LimitOutput, SaveAutoGrades

    from autograder.course.nbgrader_config import conversion_error, nbgrader_session
    from autograder.grading.execute import SandboxedExecute
    from autograder.grading.kernel import kernel_limits

    folder = course_dir / "submitted" / student_id / exercise.id
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / exercise.notebook).write_bytes(build.notebook_bytes(prepared.notebook))
    with nbgrader_session(course_dir, exercise.id, student_id) as session:
        execute = SandboxedExecute(
            sandbox=sandbox,
            snapshot=snapshot,
            checks=checks,
            missing=prepared.missing,
            limits=kernel_limits(exercise.notebook_timeout_s),
            stubs=stubs,
            timeout=exercise.cell_timeout_s,
            log=session.log,
        )
        converter = Autograde(coursedir=session.coursedir, config=session.config, log=session.log, force=True)
        converter.autograde_preprocessors = [execute, LimitOutput, SaveAutoGrades, CheckCellMetadata]
        try:
            converter.start()
        except NbGraderException as error:
            if execute.failure is not None:
                raise execute.failure from error
            raise conversion_error(session, f"nbgrader cannot grade {student_id}") from error
    return execute


def _hidden_code(checks: Mapping[str, str], released: Mapping[str, Any]) -> frozenset[str]:
    """Pieces of the hidden tests' code, blanks taken out; the messages of their assertions are meant to be read.

    What the released notebook shows anyway, the name of a function for example, is no secret.
    """
    shown = {cell["id"]: set(map(str.strip, cell["source"].splitlines())) for cell in released["cells"]}
    pieces: set[str] = set()
    for name, text in checks.items():
        for line in map(str.strip, text.splitlines()):
            if line not in shown.get(name, ()) and not line.startswith("#"):
                code = "".join(_STRINGS.sub("\0", line).split())
                pieces |= {code[at : at + _PIECE] for at in range(len(code) - _PIECE + 1)}
    public = "".join("".join(cell["source"] for cell in released["cells"]).split())
    return frozenset(piece for piece in pieces if "\0" not in piece and piece not in public)


def _without(message: str, hidden: frozenset[str]) -> str:
    """The message, unless the student's code has put a hidden test into it."""
    code = "".join(message.split())
    if any(code[at : at + _PIECE] in hidden for at in range(len(code) - _PIECE + 1)):
        return f"{message.partition(':')[0]}: (the text is left out, it repeats the check)"
    return message


def _result(
    exercise: Exercise,
    execute: SandboxedExecute,
    prepared: sanitise.Prepared,
    refused: sanitise.Refused | None,
    snapshot_sha256: str,
    hidden: frozenset[str],
) -> NotebookResult:
    per_task = {}
    for task in exercise.tasks:
        name = build.grade_id("check", task.id)
        if refused is not None:
            per_task[task.id] = TaskResult(0.0, task.points, refused.detail)
        else:
            verdict = execute.verdicts[name]
            points = float(task.points) if verdict.passed else 0.0
            per_task[task.id] = TaskResult(points, task.points, _without(verdict.message, hidden))
    code, details = None, list(prepared.notes)
    if refused is not None:
        code, details = refused.code, [refused.detail]
    elif execute.stop is not None:
        details.insert(0, execute.stop.message)
        if execute.stop.code == "timeout" or not any(verdict.ran for verdict in execute.verdicts.values()):
            code = execute.stop.code
    return NotebookResult(
        points=sum(task.points for task in per_task.values()),
        max_points=exercise.max_points,
        per_task=per_task,
        state="graded" if code is None else "FAILED",
        code=code,
        detail="; ".join(details),
        snapshot_sha256=snapshot_sha256,
        suspicions=execute.suspicions,
    )
