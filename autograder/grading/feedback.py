"""`feedback`: for every student what became of each task and why, as nbgrader's page and as a short text.

The graded notebook holds what no student may see: hidden tests, and outputs of code that ran beside them and could have
read them. So the page shows the cells' texts as they were handed in, the checks as they were released, of each check the
message that the record has, and of other cells an error only when it came before the first check; no other output.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.course import build, bundle
from autograder.errors import CourseError
from autograder.records.gradebook import Gradebook
from autograder.records.rows import Notebook, Submission, clean

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise

SUMMARY = "summary.txt"


@dataclass(frozen=True)
class FeedbackReport:
    """Students with feedback, how many of their files changed, and who has none because nothing was graded."""

    students: tuple[str, ...]
    changed: int
    without: tuple[str, ...]


def feedback(course: Course, exercise_id: str, course_dir: Path) -> FeedbackReport:
    """Write `feedback/STUDENT/NN_slug/` for the newest graded notebook of everybody; unchanged files stay untouched.

    Comments and points that staff gave in nbgrader's formgrader are on the page.

    Raises:
        CourseError: the exercise was not released, or nbgrader failed.
    """
    exercise = course.exercise(exercise_id)
    course_dir = Path(course_dir).absolute()
    with Gradebook(course_dir) as book:
        submissions = book.submissions(exercise.id)
        results = book.notebooks(exercise.id)
    newest = {row.student: row for row in submissions if row.id in results and not row.withdrawn}
    best: dict[str, float] = {}
    for row in submissions:
        if row.id in results and not row.withdrawn:
            best[row.student] = max(best.get(row.student, 0.0), results[row.id].points)
    for student, row in newest.items():
        if not (course_dir / "autograded" / student / exercise.id / exercise.notebook).is_file():
            raise CourseError(f"{student}: the graded notebook of submission {row.id} is gone; restore `autograded/`")
    released = build.read_notebook(_released(course_dir, exercise).read_bytes())
    messages = {student: _messages(results[row.id]) for student, row in newest.items()}
    changed = 0
    (course_dir / "work").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=course_dir / "work", prefix="feedback-") as scratch:
        pages = _convert(exercise, course_dir, released, messages, Path(scratch)) if newest else {}
        for student, row in newest.items():
            files = dict(pages[student])
            files[SUMMARY] = _summary(exercise, row, results[row.id], best[student]).encode()
            folder = course_dir / "feedback" / student / exercise.id
            changed += sum([bundle.write_file(folder / name, content) for name, content in sorted(files.items())])
    everybody = {row.student for row in submissions}
    return FeedbackReport(tuple(sorted(newest)), changed, tuple(sorted(everybody - set(newest))))


def _released(course_dir: Path, exercise: Exercise) -> Path:
    path = course_dir / "release" / exercise.id / exercise.notebook
    if not path.is_file():
        raise CourseError(f"{exercise.id} is not released: no {path}; run `release {exercise.id}`")
    return path


def _messages(result: Notebook) -> dict[str, tuple[bool, str]]:
    """Grade id of each check -> (passed, why not)."""
    return {
        build.grade_id("check", name): (points >= most, str(message))
        for name, (points, most, message) in result.tasks.items()
    }


def _summary(exercise: Exercise, row: Submission, result: Notebook, best: float) -> str:
    lines = [
        f"{exercise.id}: {exercise.title}",
        f"handed in {row.received_at[:16].replace('T', ' ')} UTC{', late' if row.late else ''}",
        f"{result.points:g} of {result.max_points:g} points"
        + (f"; an earlier notebook of yours has {best:g}" if best > result.points else ""),
    ]
    if result.code:
        lines.append(f"the notebook could not be graded ({result.code})")
    if result.detail:
        lines.append(clean(result.detail))
    lines.append("")
    width = max(len(part.id) for part in exercise.graded)
    for task in exercise.tasks:
        points, most, message = result.tasks.get(task.id, (0, task.points, ""))
        lines.append(f"{task.id:{width}}  {points:g}/{most:g}  {clean(str(message))}".rstrip())
    lines += [f"{part.id:{width}}  read by a person; see the page" for part in exercise.questions]
    return "\n".join(lines) + "\n"


def without_hidden_tests(
    notebook: Mapping[str, Any], released: Mapping[str, Any], messages: Mapping[str, tuple[bool, str]]
) -> dict[str, Any]:
    """The graded notebook as its student may see it.

    Args:
        released: the notebook that students got.
        messages: grade id of each check -> (passed, why not).
    """
    texts = {cell["id"]: cell["source"] for cell in released["cells"]}
    cells, checked = [], False
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        cell = {**cell}
        if name in messages:
            checked = True
            cell["source"] = texts.get(name, "")
            passed, why = messages[name]
            cell["outputs"] = [_text("passed") if passed else _error("not passed", why)]
        elif cell["cell_type"] == "code":
            errors = [output for output in cell["outputs"] if output["output_type"] == "error" and not checked]
            cell["outputs"] = [_error(output["ename"], output["evalue"]) for output in errors[:1]]
        cells.append(cell)
    return {**notebook, "cells": cells}


def _text(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text + "\n"}


def _error(name: str, why: str) -> dict[str, Any]:
    line = clean(f"{name}: {why}")
    return {"output_type": "error", "ename": clean(name), "evalue": clean(why), "traceback": [line]}


def _convert(
    exercise: Exercise,
    course_dir: Path,
    released: dict[str, Any],
    messages: dict[str, dict[str, tuple[bool, str]]],
    scratch: Path,
) -> dict[str, dict[str, bytes]]:
    """Student -> the files that nbgrader's feedback makes of the notebooks that students may see."""
    from nbgrader.converters import GenerateFeedback
    from nbgrader.converters.base import NbGraderException

    from autograder.course.nbgrader_config import conversion_error, nbgrader_session

    for student in messages:
        source = course_dir / "autograded" / student / exercise.id
        shown = scratch / "shown" / student / exercise.id
        shutil.copytree(source, shown, ignore=shutil.ignore_patterns("*.ipynb"))
        notebook = build.read_notebook((source / exercise.notebook).read_bytes())
        notebook = without_hidden_tests(notebook, released, messages[student])
        (shown / exercise.notebook).write_bytes(build.notebook_bytes(notebook))
    with nbgrader_session(course_dir, exercise.id) as session:
        session.config.CourseDirectory.autograded_directory = str(scratch / "shown")
        session.config.CourseDirectory.feedback_directory = str(scratch / "pages")
        session.config.SanitizeHTML.enabled = True
        session.coursedir.update_config(session.config)
        converter = GenerateFeedback(coursedir=session.coursedir, config=session.config, log=session.log, force=True)
        # what a student wrote into a text cell runs in nobody's browser
        converter.preprocessors = ["nbconvert.preprocessors.sanitize.SanitizeHTML", *converter.preprocessors]
        try:
            converter.start()
        except NbGraderException as error:
            raise conversion_error(session, f"nbgrader cannot write the feedback of {exercise.id}") from error
    return {student: bundle.read_folder(scratch / "pages" / student / exercise.id) for student in messages}
