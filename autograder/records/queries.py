"""What can be asked of the record; `gradebook.Gradebook` opens it and lends `_read`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from autograder.records.rows import Baseline, Best, Event, Notebook, Prediction, Result, Submission


@dataclass(frozen=True)
class Newest:
    """The one row of a query for the newest or oldest time; None when there is none."""

    at: str | None


class Queries:
    """Reads only; each returns frozen rows."""

    def _read(self, kind: type, query: str, *values: object) -> list:
        raise NotImplementedError

    def submission(self, submission_id: int) -> Submission:
        """One submission by its number."""
        return self._read(Submission, "SELECT * FROM submission_now WHERE id = ?", submission_id)[0]

    def submissions(self, exercise: str | None = None, student: str | None = None) -> list[Submission]:
        """All, or those of an exercise or student, in the order they were received."""
        query = "SELECT * FROM submission_now WHERE ?1 IS NULL OR exercise = ?1 ORDER BY exercise, received_at, id"
        return [row for row in self._read(Submission, query, exercise) if student in (None, row.student)]

    def first_received(self, exercise: str, student: str, sha256: str) -> datetime | None:
        """When a student's zip with this hash was first recorded, whatever became of it; None for a new one."""
        query = "SELECT min(received_at) AS at FROM submission WHERE (exercise, student, sha256) = (?, ?, ?)"
        at = self._read(Newest, query, exercise, student, sha256)[0].at
        return datetime.fromisoformat(at) if at else None

    def predictions(self, submission_id: int, judged_with: str) -> dict[str, Prediction]:
        """Stored predictions of one submission, by model file."""
        query = "SELECT * FROM prediction WHERE submission_id = ? AND judged_with = ?"
        return {row.model_file: row for row in self._read(Prediction, query, submission_id, judged_with)}

    def results(self, exercise: str) -> list[Result]:
        """Every result of an exercise, oldest first."""
        query = (
            "SELECT r.* FROM result AS r JOIN submission AS s ON s.id = submission_id WHERE exercise = ? ORDER BY r.id"
        )
        return self._read(Result, query, exercise)

    def baselines(self, exercise: str, dataset_version: str, scorer_version: str) -> list[Baseline]:
        """Scores of the staff's own models, oldest first."""
        query = "SELECT * FROM baseline WHERE (exercise, dataset_version, scorer_version) = (?, ?, ?) ORDER BY id"
        return self._read(Baseline, query, exercise, dataset_version, scorer_version)

    def best(self, exercise: str, model_file: str, dataset_version: str, scorer_version: str) -> list[Best]:
        """Each student's best result, in rank order: most correct, then received first."""
        query = (
            "SELECT * FROM best WHERE (exercise, model_file, dataset_version, scorer_version) = (?, ?, ?, ?) "
            "ORDER BY correct DESC, received_at, submission_id"
        )
        return self._read(Best, query, exercise, model_file, dataset_version, scorer_version)

    def notebooks(self, exercise: str) -> dict[int, Notebook]:
        """The newest notebook result of each submission, by its number."""
        query = (
            "SELECT n.* FROM notebook_result AS n JOIN submission AS s ON s.id = submission_id "
            "WHERE exercise = ? ORDER BY n.id"
        )
        return {row.submission_id: row for row in self._read(Notebook, query, exercise)}

    def notebook_results(self, submission_id: int) -> list[Notebook]:
        """Every notebook result of one submission, oldest first."""
        return self._read(Notebook, "SELECT * FROM notebook_result WHERE submission_id = ? ORDER BY id", submission_id)

    def events(self, submission_id: int) -> list[Event]:
        """The audit of one submission, oldest first."""
        return self._read(Event, "SELECT * FROM event WHERE submission_id = ? ORDER BY id", submission_id)

    def audit(self, student: str) -> list[Event]:
        """Everything that ever happened to a student's submissions, oldest first."""
        query = (
            "SELECT e.* FROM event AS e JOIN submission AS s ON s.id = submission_id WHERE student = ? ORDER BY e.id"
        )
        return self._read(Event, query, student)

    def newest(self) -> str:
        """When the newest submission or result was recorded, as UTC text; empty for an empty record."""
        query = (
            "SELECT max(at) AS at FROM "
            "(SELECT created_at AS at FROM submission UNION ALL SELECT created_at FROM result "
            "UNION ALL SELECT created_at FROM baseline)"
        )
        return self._read(Newest, query)[0].at or ""
