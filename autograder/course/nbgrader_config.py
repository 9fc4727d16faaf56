"""How we run nbgrader: in this process, quietly, with the course folder as its root and our stub text.

Importing this module imports nbgrader (about two seconds), so others import it inside functions.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader import utils
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
    SaveCells,
)
from traitlets.config import Config

from autograder.course.strip import strip_regions
from autograder.errors import CourseError, RecordsError

TEXT_STUB = "*Write your answer here.*"


@dataclass(frozen=True)
class Session:
    """What a converter needs: its folders, its configuration and a log that goes to a file."""

    coursedir: CourseDirectory
    config: Config
    log: logging.Logger
    log_path: Path
    log_start: int  # where this conversion's lines begin in the log


class NamedStubs(ClearSolutions):
    """nbgrader's solution stripper with our grammar, and stubs that name exercise and task."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if utils.is_solution(cell) and cell.cell_type == "code":
            assignment, name = resources["nbgrader"]["assignment"], cell.metadata.nbgrader["grade_id"]
            cell.source = strip_regions(
                cell.source,
                from_exercise=assignment,
                name=f"{assignment}.ipynb, cell {name}",
                task=name.removeprefix("task_"),
            )
        elif utils.is_solution(cell):
            cell.source = TEXT_STUB
        return cell, resources


@contextmanager
def nbgrader_session(
    course_dir: Path, assignment: str, student: str = "*", log_dir: Path | None = None
) -> Iterator[Session]:
    """Set up one nbgrader conversion; its log is `<course_dir>/logs/nbgrader.log` unless told otherwise."""
    course_dir = Path(course_dir).absolute()
    log_path = (log_dir or course_dir / "logs") / "nbgrader.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log_start = log_path.stat().st_size if log_path.exists() else 0
    handler = logging.FileHandler(log_path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.Logger(f"nbgrader {assignment}", logging.INFO)  # not in the global tree: nothing on the terminal
    log.addHandler(handler)
    config = Config()
    config.CourseDirectory.root = str(course_dir)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.student_id = student
    config.CourseDirectory.db_url = f"sqlite:///{course_dir / 'gradebook.db'}"
    config.ClearSolutions.text_stub = TEXT_STUB
    path = os.environ.get("PATH", "")
    # nbgrader runs `alembic` by name when it creates its database
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy's and traitlets' advice to nbgrader's authors
            yield Session(CourseDirectory(config=config, log=log), config, log, log_path, log_start)
    finally:
        os.environ["PATH"] = path
        handler.close()


def generate_assignment(
    course_dir: Path, exercise_id: str, *, database: bool = True, log_dir: Path | None = None
) -> Path:
    """Let nbgrader turn `source/NN_slug` into `release/NN_slug` and return that folder.

    Args:
        database: also note the cells in the gradebook, which grading needs.

    Raises:
        CourseError: nbgrader refused; the message ends with its last complaint and names the log.
    """
    with nbgrader_session(course_dir, exercise_id, log_dir=log_dir) as session:
        converter = GenerateAssignment(
            coursedir=session.coursedir,
            config=session.config,
            log=session.log,
            force=True,
            no_database=not database,
        )
        # nbgrader's own list without headers and AUTOTEST (which would start a kernel outside the sandbox)
        converter.preprocessors = [
            LockCells,
            NamedStubs,
            ClearOutput,
            CheckCellMetadata,
            ComputeChecksums,
            *([SaveCells] if database else []),  # with the hidden tests, so it stands before they are removed
            ClearHiddenTests,
            ComputeChecksums,
            CheckCellMetadata,
        ]
        try:
            converter.start()
        except NbGraderException as error:
            raise conversion_error(session, f"nbgrader cannot release {exercise_id}") from error
    return Path(course_dir) / "release" / exercise_id


def conversion_error(session: Session, what: str) -> CourseError:
    """Make one line of nbgrader's log: its last exception, with the remedy for the known case."""
    text = session.log_path.read_bytes()[session.log_start :].decode("utf-8", errors="replace")
    # the last line of a traceback, "package.SomeError: why"; lines of the log itself begin with a date
    complaints = re.findall(r"(?m)^[A-Za-z][\w.]*(?:Error|Exception): .*", text)
    why = complaints[-1] if complaints else "no reason given"
    if "because there are submissions associated" in why:
        return RecordsError(f"{what}: {why}; start the term anew with another course folder, or keep the cells")
    return CourseError(f"{what}: {why}; see {session.log_path}")
