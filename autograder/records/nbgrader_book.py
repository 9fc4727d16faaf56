"""nbgrader's own gradebook of the term: what it restores in a notebook, and the points that formgrader and feedback show.

nbgrader's converters would open it eight times per notebook and commit each grade by itself; here a batch opens it once
and each notebook is one transaction, by nbgrader's own rules. Only the coordinator opens it.

Importing this module imports nbgrader (two seconds); other modules import it inside functions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbformat import from_dict, reads
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import CheckCellMetadata, OverwriteCells, OverwriteKernelspec
from sqlalchemy.exc import SQLAlchemyError

from autograder.course.bundle import write_file
from autograder.course.nbgrader_config import nbgrader_session
from autograder.errors import CourseError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from autograder.course.manifest import Exercise
    from autograder.grading.autograde import Graded

_READ_ONLY = 0o444  # nbgrader's mode of what it has graded


def restored(course_dir: Path, exercise: Exercise, released: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Grade id -> cell as nbgrader restores it in every submission: identity, points, checksum, and text if locked.

    Raises:
        CourseError: nbgrader's gradebook does not know the exercise.
    """
    notebook = from_dict(released)
    with nbgrader_session(course_dir, exercise.id) as session:
        about = {"notebook": exercise.id, "assignment": exercise.id, "student": "", "db_url": session.coursedir.db_url}
        try:
            for step in (OverwriteKernelspec, OverwriteCells, CheckCellMetadata):
                notebook, _ = step(log=session.log).preprocess(notebook, {"nbgrader": about})
        except (MissingEntry, SQLAlchemyError) as error:
            raise CourseError(
                f"nbgrader's gradebook does not know {exercise.id}: {error}; run `release {exercise.id}`"
            ) from error
    graded = (cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id"))
    return {cell.metadata["nbgrader"]["grade_id"]: dict(cell) for cell in graded}


@contextlib.contextmanager
def nbgrader_book(course_dir: Path, exercise: Exercise) -> Iterator[NbgraderBook]:
    """Open the gradebook for one batch.

    Raises:
        CourseError: it cannot be opened.
    """
    with nbgrader_session(course_dir, exercise.id) as session:
        try:
            book = Gradebook(session.coursedir.db_url)
        except SQLAlchemyError as error:
            raise CourseError(f"nbgrader's gradebook of {course_dir} cannot be opened: {error}") from error
        with book:
            yield NbgraderBook(Path(course_dir).absolute(), exercise, book)


class NbgraderBook:
    """Where a graded notebook goes: `submitted/`, `autograded/` and the gradebook, as nbgrader lays them out."""

    def __init__(self, course_dir: Path, exercise: Exercise, book: Gradebook) -> None:
        self._course_dir, self._exercise, self._book = course_dir, exercise, book

    def save(self, student: str, graded: Graded) -> None:
        """Store the notebook before and after it ran, and its points; a later call replaces what an earlier one stored.

        Raises:
            CourseError: the gradebook cannot be written.
        """
        name = Path(student) / self._exercise.id
        for place, content in (("submitted", graded.submitted), ("autograded", graded.autograded)):
            folder = self._course_dir / place / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_file(folder / self._exercise.notebook, content)
        self._copy_images(folder)
        os.chmod(folder / self._exercise.notebook, _READ_ONLY)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SQLAlchemy's advice to nbgrader's authors
                self._save_grades(student, reads(graded.autograded.decode(), as_version=4))
        except (SQLAlchemyError, MissingEntry) as error:
            self._book.db.rollback()
            raise CourseError(f"nbgrader's gradebook cannot take the points of {student}: {error}") from error

    def _copy_images(self, folder: Path) -> None:
        source = self._course_dir / "source" / self._exercise.id
        for path in source.rglob("*"):
            if path.is_file() and path.suffix != ".ipynb":
                target = folder / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def _save_grades(self, student: str, notebook: NotebookNode) -> None:
        book, exercise = self._book, self._exercise.id
        try:
            stored = book.find_submission_notebook(exercise, exercise, student)
        except MissingEntry:
            book.update_or_create_student(student)
            book.update_or_create_submission(exercise, student)
            stored = book.find_submission_notebook(exercise, exercise, student)
        cells = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
        for grade in stored.grades:
            if (cell := cells.get(grade.name)) is not None:
                grade.auto_score, _ = utils.determine_grade(cell)
                grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        for comment in stored.comments:
            if (cell := cells.get(comment.name)) is not None:
                untouched = cell.metadata["nbgrader"].get("checksum") == utils.compute_checksum(cell)
                comment.auto_comment = "No response." if untouched and not utils.is_task(cell) else None
        book.db.commit()
