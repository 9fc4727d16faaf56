"""`regrade`: everything once more, in a folder of its own, then a report of what would change; only `commit` changes grades.

The rehearsal is a fresh record with the same hand-ins, graded by the same code as ever against the course's store, hidden set
and release. What is committed is committed in one transaction, by new rows: a result where the hidden set or the scorer is
new, a further attempt at a notebook, states with their events. Where the same scorer on the same hidden set says something
else than it did, nothing is committed: that would be two truths under one version.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.grading import notebooks
from autograder.grading.batch import Engine
from autograder.grading.score import SCORER_VERSION, score
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades
from autograder.records.leases import grading
from autograder.records.staff import Regraded
from autograder.records.withdraw import who_decides

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise
    from autograder.grading.autograde import Graded, NotebookResult
    from autograder.records.rows import Notebook, Result, Submission

_SHARED = ("store", "hidden", "source", "snapshot", "release", "bundles")  # of the course folder; only read


@dataclass(frozen=True)
class Change:
    """A student whose grade is another one afterwards; `passes`: whether passing changes, too."""

    student: str
    old: str
    new: str
    passes: bool


@dataclass
class RegradeReport:
    """What changes, how many students stay as they are, and why nothing may be committed."""

    changes: list[Change] = field(default_factory=list)
    same: int = 0
    contradictions: list[str] = field(default_factory=list)
    rows: int = 0  # submissions that got new rows; 0 unless committed


def outdated(exercise: Exercise, course_dir: Path) -> int:
    """How many submissions have a verdict, and only one by another hidden set or scorer than today's."""
    from autograder.records.standing import current_meta

    meta = current_meta(exercise, course_dir)
    if meta is None:
        return 0
    today = f"{meta['version']}/{SCORER_VERSION}"
    with Gradebook(course_dir) as book:
        states = [row.state for row in book.submissions(exercise.id) if row.judged_with != today]
    return sum(state in ("scored", "published", "FAILED") for state in states)


def regrade(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    student: str | None = None,
    commit: bool = False,
    unsafe: bool = False,
    engine: Engine | None = None,
    progress: bool = True,
) -> RegradeReport:
    """Grade all submissions of an exercise again, or those of one student, and compare.

    Raises:
        RecordsError: nothing to regrade, or a contradiction with `commit`; then nothing was changed.
        CourseError: something of ours is missing or broken.
    """
    exercise, course_dir = course.exercise(exercise_id), Path(course_dir).absolute()
    engine = engine or Engine()
    with grading(course_dir) as book, ExitStack() as stack:
        rows = [row for row in book.submissions(exercise.id, student) if row.state != "REJECTED" and not row.withdrawn]
        if not rows:
            raise RecordsError(f"nothing of {student or exercise.id} was graded or could be; run status")
        work = course_dir / "work"
        work.mkdir(mode=0o700, exist_ok=True)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=work, prefix="regrade-")))
        run = _Rehearsal(course, exercise, course_dir, scratch, book, rows)
        run.grade(stack, unsafe, engine, progress)
        report = run.compare()
        if commit and report.contradictions:
            raise RecordsError(f"nothing was committed: {report.contradictions[0]}")
        if commit:
            report.rows = run.commit()
    if commit and exercise.hidden_set is not None:
        score(course, exercise.id, course_dir, unsafe=unsafe, engine=engine, progress=progress)  # the staff's models
    return report


@dataclass
class _Rehearsal:
    course: Course
    exercise: Exercise
    course_dir: Path
    scratch: Path
    book: Gradebook
    rows: list[Submission]
    ran: dict[tuple[str, bytes], Graded] = field(default_factory=dict)  # what nbgrader is to know of each notebook
    save: notebooks.Save | None = None

    def grade(self, stack: ExitStack, unsafe: bool, engine: Engine, progress: bool) -> None:
        """Run it all in the scratch folder."""
        for name in _SHARED:
            if (self.course_dir / name).exists():
                (self.scratch / name).symlink_to(self.course_dir / name)
        with Gradebook(self.scratch, create=True) as fresh:
            for row in self.rows:
                fresh.add_submission(
                    *(row.exercise, row.student, row.sha256, datetime.fromisoformat(row.received_at)),
                    late=row.late,
                    has_models=bool(self.exercise.models),
                )
        options = {"unsafe": unsafe, "engine": engine, "progress": progress}
        if self.exercise.hidden_set is not None and (self.scratch / "hidden" / self.exercise.id).is_dir():
            score(self.course, self.exercise.id, self.scratch, **options)  # type: ignore[arg-type]
        if self.book.notebooks(self.exercise.id):
            made = notebooks.real_grading(self.exercise, self.course_dir, unsafe, engine, stack)
            self.save = made.save

            def kept(name: str, content: bytes) -> NotebookResult | Graded:
                answer = self.ran[name, content] = made.grade(name, content)  # type: ignore[assignment]
                return answer

            local = engine if engine.name != "dask" else Engine("local")
            notebooks.autograde(
                self.course,
                self.exercise.id,
                self.scratch,
                progress=progress,
                engine=local,
                grader=lambda: (kept, made.sandboxed),
            )
        self._read()

    def _read(self) -> None:
        """What the rehearsal says, under the numbers of the record."""
        self.numbers: dict[int, int] = {}  # of the rehearsal -> of the record
        old = {(row.student, row.sha256): row.id for row in self.rows}
        with Gradebook(self.scratch) as fresh:
            found = fresh.submissions(self.exercise.id)
            self.numbers = {row.id: old[row.student, row.sha256] for row in found}
            self.verdicts = {self.numbers[row.id]: row for row in found}
            self.grades = grades(self.exercise, self.scratch, fresh)
            self.results: dict[int, list[Result]] = {}
            for result in fresh.results(self.exercise.id):
                number = self.numbers[result.submission_id]
                self.results.setdefault(number, []).append(replace(result, submission_id=number))
            self.notebooks: dict[int, Notebook] = {
                self.numbers[number]: replace(notebook, submission_id=self.numbers[number])
                for number, notebook in fresh.notebooks(self.exercise.id).items()
            }

    def compare(self) -> RegradeReport:
        """Grades of the record, by whatever version decided them last, against those of the rehearsal."""
        report, chosen = RegradeReport(), {row.id for row in self.rows}
        recorded = [row for row in self.book.results(self.exercise.id) if row.submission_id in chosen]
        last = (recorded[-1].dataset_version, recorded[-1].scorer_version) if recorded else None
        before = grades(self.exercise, self.course_dir, self.book, judged=last)
        for student in sorted({row.student for row in self.rows}):
            old, new = before[student], self.grades[student]
            if self._told(old) == self._told(new):
                report.same += 1
            else:
                passes = old.passed != new.passed
                report.changes.append(Change(student, self._told(old), self._told(new), passes))
        known = {(row.submission_id, row.model_file, row.dataset_version, row.scorer_version): row for row in recorded}
        for number, results in self.results.items():
            for result in results:
                same = known.get((number, result.model_file, result.dataset_version, result.scorer_version))
                bits = (result.correct, result.public_right, result.private_right)
                if same is not None and (same.correct, same.public_right, same.private_right) != bits:
                    report.contradictions.append(self._contradiction(number, same, f"{result.correct} right"))
        for (number, _, version, scorer), row in known.items():
            verdict = self.verdicts[number]
            if verdict.state == "FAILED" and verdict.judged_with == f"{version}/{scorer}":
                report.contradictions.append(self._contradiction(number, row, f"FAILED({verdict.code})"))
        return report

    @staticmethod
    def _contradiction(number: int, old: Result, new: str) -> str:
        return (
            f"submission {number}: {old.model_file} had {old.correct} of {old.total} right, now {new}, by the same scorer "
            f"{old.scorer_version} on the same hidden set {old.dataset_version}; what changed? Raise SCORER_VERSION and "
            "regrade everybody"
        )

    @staticmethod
    def _told(grade: Grade) -> str:
        told = "no score"
        if grade.standing:
            shown = grade.standing.shown
            told = f"{100 * shown.correct / shown.total:.2f} % {'passed' if grade.passed else 'not passed'}"
        elif grade.counts and grade.counts.state == "FAILED":
            told = f"FAILED({grade.counts.code})"
        notebook = grade.notebook
        if notebook is None:
            return told
        points = f"{notebook.points:g}/{notebook.max_points:g} points"
        return f"{told}, {points}" if notebook.state == "graded" else f"{told}, notebook FAILED({notebook.code})"

    def commit(self) -> int:
        """Write what is new in one transaction, then tell nbgrader; how many submissions got rows."""
        known = self.book.results(self.exercise.id)
        keys = {(row.submission_id, row.model_file, row.dataset_version, row.scorer_version) for row in known}
        current, regraded = self.book.notebooks(self.exercise.id), []
        for row in self.rows:
            verdict, results = self.verdicts[row.id], self.results.get(row.id, [])
            new = [r for r in results if (row.id, r.model_file, r.dataset_version, r.scorer_version) not in keys]
            failed = verdict.state == "FAILED" and (row.state, row.code, row.judged_with) != (
                *("FAILED", verdict.code, verdict.judged_with),
            )
            notebook, old = self.notebooks.get(row.id), current.get(row.id)
            if notebook is not None and old is not None and notebook.snapshot_sha == old.snapshot_sha:
                same = (notebook.outcome, notebook.tasks) == (old.outcome, old.tasks)
                notebook = None if same else replace(notebook, attempt=old.attempt + 1)
            if new or failed or notebook or (results and row.state == "FAILED"):
                judged = verdict if new or failed or (results and row.state == "FAILED") else None
                regraded.append(Regraded(row.id, judged, tuple(new), notebook))
        self.book.commit_regrade(regraded, who_decides())
        self._tell_nbgrader({each.submission_id for each in regraded if each.notebook})
        return len(regraded)

    def _tell_nbgrader(self, changed: set[int]) -> None:
        """It knows one notebook per student: the newest."""
        from autograder.intake import store
        from autograder.intake.archive import open_submission

        newest = {row.student: row for row in self.rows}
        for row in newest.values():
            if row.id in changed and self.save is not None:
                files = open_submission(store.get(self.course_dir, row.sha256), self.exercise).files
                if (ran := self.ran.get((row.student, files[self.exercise.notebook]))) is not None:
                    self.save(row.student, ran)
