"""What counts: each student's grade in an exercise, a function of the record, the manifest and the hidden set's version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.records.gradebook import Gradebook
from autograder.records.rows import Notebook, Submission
from autograder.records.standing import Standing, board

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise


@dataclass(frozen=True)
class Grade:
    """One student in one exercise.

    `counts` is the submission that counts: the one that the final board ranks, with its count on the private half of the
    hidden set (the deadline over or not: staff may know), else the newest that was not rejected, else the newest.
    `notebook` is the one with the most points of any submission: the two are graded apart. What was withdrawn counts
    for neither.
    """

    student: str
    submissions: tuple[Submission, ...]
    counts: Submission | None = None
    standing: Standing | None = None
    notebook: Notebook | None = None
    passed: bool | None = None  # None: no score

    @property
    def flags(self) -> tuple[str, ...]:
        """Kinds of the open flags of all submissions."""
        return tuple(sorted({flag for row in self.submissions for flag in row.flags}))

    @property
    def state(self) -> str:
        """Of the submission that counts, `withdrawn` when none is left, `none` when there never was one."""
        return self.counts.state if self.counts else "withdrawn" if self.submissions else "none"

    @property
    def points(self) -> float:
        """Of the notebook, 0 without one."""
        return self.notebook.points if self.notebook else 0.0


def grades(
    exercise: Exercise,
    course_dir: Path,
    book: Gradebook,
    students: Iterable[str] = (),
    *,
    judged: tuple[str, str] | None = None,
) -> dict[str, Grade]:
    """Everybody's grade: `students` in their order, then whoever else handed something in.

    Args:
        judged: (dataset version, scorer version) of the results to go by; today's when None.
    Raises:
        HiddenSetError: the hidden set's meta.json is damaged.
    """
    from autograder.grading.accuracy import passes

    standings = {row.student: row for row in board(exercise, course_dir, book, final=True, judged=judged).standings}
    notebooks = book.notebooks(exercise.id)
    handed_in: dict[str, list[Submission]] = {}
    for submission in book.submissions(exercise.id):
        handed_in.setdefault(submission.student, []).append(submission)
    found = {}
    for student in [*students, *sorted(set(handed_in) - set(students))]:
        everything = handed_in.get(student, [])
        valid = [row for row in everything if not row.withdrawn]
        score, passed = standings.get(student), None
        if score and exercise.hidden_set:
            passed = passes(score.shown.correct, score.shown.total, exercise.hidden_set.pass_percent)
        notebook = _best([notebooks[row.id] for row in valid if row.id in notebooks])
        found[student] = Grade(student, tuple(everything), _counting(valid, score), score, notebook, passed)
    return found


def _counting(submissions: list[Submission], standing: Standing | None) -> Submission | None:
    """The submission that counts, of one student's in the order they were received."""
    chosen = [row for row in submissions if standing and row.id == standing.submission.id]
    chosen = chosen or [row for row in submissions if row.state != "REJECTED"] or submissions
    return chosen[-1] if chosen else None


def _best(notebooks: list[Notebook]) -> Notebook | None:
    """The graded notebook with the most points, the earliest of equals; a failed one if none was graded."""
    return max(notebooks, key=lambda row: (row.state == "graded", row.points), default=None)
