"""The record of every submission: the one module that opens `records.db`.

Each method that writes is one `BEGIN IMMEDIATE` transaction, and each change of state appends to `event` in
it, so a process may be killed at any instant. Results are inserted or ignored under their key, never changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.records import schema
from autograder.records.claims import Claims
from autograder.records.rows import (
    Added,
    Baseline,
    Notebook,
    Prediction,
    Result,
    build,
    clean,
    utc_text,
)
from autograder.records.staff import Raised, StaffRecord

if TYPE_CHECKING:
    from autograder.course.manifest import Quota

DATABASE = "records.db"
BUSY_TIMEOUT_S = 30
DUPLICATE = "duplicate"
SUSPECT = "suspect_notebook"
COLLECT, AUTOGRADE = "collect", "autograde"  # who raised a flag
_CONFLICT = {
    "result": "(submission_id, model_file, dataset_version, scorer_version) DO NOTHING",
    "baseline": "(exercise, name, sha256, dataset_version, scorer_version) DO NOTHING",
    "notebook_result": "(submission_id, snapshot_sha, attempt) DO NOTHING",
    "prediction": "(submission_id, model_file, judged_with) DO UPDATE SET "
    "sha256 = excluded.sha256, parameters = excluded.parameters, sandboxed = excluded.sandboxed, "
    "created_at = excluded.created_at",
}


class Gradebook(Claims, StaffRecord):
    """`records.db` of one course folder; use as a context manager."""

    def __init__(self, course_dir: Path, *, create: bool = False) -> None:
        """Open the record, or with `create` make an empty one first.

        Raises:
            RecordsError: when there is none, it cannot be read, or it has another schema version.
        """
        self.path = course_dir / DATABASE
        if not self.path.exists():
            if not create:
                raise RecordsError(f"{self.path}: no such record; run collect first, or check --course-dir")
            _create(self.path)
        self._db = _connect(self.path)
        try:
            with self._errors():
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                kind = self._db.execute("PRAGMA application_id").fetchone()[0]
            if kind != schema.APPLICATION_ID:
                raise RecordsError(f"{self.path}: not a record of this course; move the file away")
            if version != schema.SCHEMA_VERSION:
                raise RecordsError(
                    f"{self.path}: schema version {version}, expected {schema.SCHEMA_VERSION}; "
                    "use the autograder that wrote it, or a new --course-dir"
                )
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()

    def add_submission(
        self,
        exercise: str,
        student: str,
        sha256: str,
        received_at: datetime,
        *,
        late: bool = False,
        rejected: tuple[str, str] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        notes: Iterable[str] = (),
        quota: Quota | None = None,
        has_models: bool = True,
    ) -> Added:
        """Record one hand-in, up to `queued` or to `REJECTED` with (code, detail).

        Without models there is nothing to score: such a hand-in ends `validated`.

        The student's own same bytes again are a replay: nothing changes, unless they were refused and now are not. If
        another student's submission has the same bytes or shares a file of `fingerprints` (name -> sha256), both are
        flagged. The quota is counted and used up in the same transaction, so that it is exact for any number of
        processes.
        """
        now, prints = utc_text(datetime.now(UTC)), dict(fingerprints or {})
        with self._write():
            row = self._db.execute(
                "SELECT id, state FROM submission WHERE (exercise, student, sha256) = (?, ?, ?) "
                "ORDER BY state = 'REJECTED', id LIMIT 1",
                (exercise, student, sha256),
            ).fetchone()
            refused = None
            if quota is not None and rejected is None and (row is None or row["state"] == "REJECTED"):
                rejected = refused = self._over(quota, exercise, student, utc_text(received_at)[:10])
            if row and (row["state"] != "REJECTED" or rejected):
                return Added(row["id"], False)
            new = self._db.execute(
                "INSERT INTO submission (exercise, student, sha256, received_at, late, state, created_at) "
                "VALUES (?, ?, ?, ?, ?, 'received', ?) RETURNING id",
                (exercise, student, sha256, utc_text(received_at), int(late), now),
            ).fetchone()["id"]
            self._event(new, "received", detail="; ".join(notes))
            self._db.executemany("INSERT INTO file VALUES (?, ?, ?)", [(new, *pair) for pair in prints.items()])
            if rejected:
                self._move(new, "REJECTED", *rejected)
            else:
                self._move(new, "validated")
                if has_models:
                    self._move(new, "queued")
            same = self._db.execute(
                "SELECT s.id, s.student, group_concat(f.name, ', ') AS files FROM submission AS s "
                "LEFT JOIN file AS f ON f.submission_id = s.id AND f.sha256 IN (SELECT value FROM json_each(?1)) "
                "WHERE s.exercise = ?2 AND s.student <> ?3 AND (s.sha256 = ?4 OR f.sha256 IS NOT NULL) "
                "GROUP BY s.id ORDER BY s.id",
                (json.dumps(sorted(prints.values())), exercise, student, sha256),
            ).fetchall()
            for other in same:
                evidence = (
                    f"submission {other['id']} of {other['student']} and submission {new} of {student}: "
                    f"the same {other['files'] or 'zip'}"
                )
                self._flag(Raised(new, DUPLICATE, evidence, other["id"]), COLLECT, "")
            return Added(new, True, tuple((other["id"], other["student"]) for other in same), refused)

    def _over(self, quota: Quota, exercise: str, student: str, day: str) -> tuple[str, str] | None:
        """Why one more hand-in of this UTC day is refused; what was refused at intake has not counted."""
        total, today = self._db.execute(
            "SELECT count(*), count(*) FILTER (WHERE substr(received_at, 1, 10) = ?) FROM submission "
            "WHERE (exercise, student) = (?, ?) AND state <> 'REJECTED'",
            (day, exercise, student),
        ).fetchone()
        if quota.total is not None and total >= quota.total:
            return "quota", f"{total} hand-ins were taken, at most {quota.total} are"
        if quota.per_day is not None and today >= quota.per_day:
            return "quota", f"{today} hand-ins of {day} (UTC) were taken, at most {quota.per_day} a day are"
        return None

    def set_state(
        self,
        submission_id: int,
        state: str,
        code: str = "",
        detail: str = "",
        *,
        judged_with: str | None = None,
    ) -> None:
        """Move a submission along `schema.TRANSITIONS`.

        Raises:
            RecordsError: when the transition does not exist.
        """
        with self._write():
            self._move(submission_id, state, code, detail, judged_with)

    def set_predicted(self, predictions: Iterable[Prediction]) -> None:
        """Commit `predicted` together with the hashes of the stored predictions, all of one submission."""
        rows = list(predictions)
        with self._write():
            for row in rows:
                self._insert("prediction", row)
            self._move(rows[0].submission_id, "predicted", judged_with=rows[0].judged_with)

    def set_scored(self, results: Iterable[Result]) -> int:
        """Commit the results and `scored` of one submission together; how many result rows were new."""
        rows = list(results)
        with self._write():
            new = sum(self._insert("result", row) for row in rows)
            self._move(
                rows[0].submission_id,
                "scored",
                judged_with=f"{rows[0].dataset_version}/{rows[0].scorer_version}",
            )
            return new

    def add_result(self, result: Result) -> bool:
        """Insert one result, or ignore it where its key exists; True when it is new."""
        with self._write():
            return self._insert("result", result)

    def add_baseline(self, baseline: Baseline) -> bool:
        """Insert the score of one of the staff's models, or ignore it where its key exists; True when it is new."""
        with self._write():
            return self._insert("baseline", baseline)

    def add_notebook_result(self, notebook: Notebook) -> bool:
        """Insert the points of a notebook, or ignore them if the same release was graded; True when new."""
        with self._write():
            return self._add_notebook(notebook)

    def _add_notebook(self, notebook: Notebook) -> bool:
        new = self._insert("notebook_result", notebook)
        if new:
            self._event(notebook.submission_id, f"notebook {notebook.state}", notebook.code, notebook.detail)
            if notebook.suspicions:
                flag = Raised(notebook.submission_id, SUSPECT, "; ".join(notebook.suspicions))
                self._flag(flag, AUTOGRADE, notebook.snapshot_sha[:12])
        return new

    def publish(self, submission_ids: Iterable[int]) -> int:
        """Mark those of these submissions that are still `scored` as published; how many."""
        count = 0
        with self._write():
            for submission_id in submission_ids:
                if self.submission(submission_id).state == "scored":
                    self._move(submission_id, "published")
                    count += 1
        return count

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see the record at one instant, whatever other processes write meanwhile."""
        with self._errors():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def _move(
        self, submission_id: int, state: str, code: str = "", detail: str = "", judged_with: str | None = None
    ) -> None:
        row = self._db.execute("SELECT state FROM submission WHERE id = ?", (submission_id,)).fetchone()
        if row is None or state not in schema.TRANSITIONS[row["state"]]:
            was = row["state"] if row else "not recorded"
            raise RecordsError(f"submission {submission_id} is {was} and cannot become {state}; run status")
        self._db.execute(
            "UPDATE submission SET state = ?, code = ?, detail = ?, judged_with = coalesce(?, judged_with), "
            "errors = errors + ?, held_by = CASE ? WHEN 'predicted' THEN held_by ELSE '' END WHERE id = ?",
            (state, code, clean(detail), judged_with, int(state == "ERROR"), state, submission_id),
        )
        self._event(submission_id, state, code, detail)

    def _event(self, submission_id: int, what: str, code: str = "", detail: str = "") -> None:
        self._db.execute(
            "INSERT INTO event (submission_id, at, what, code, detail) VALUES (?, ?, ?, ?, ?)",
            (submission_id, utc_text(datetime.now(UTC)), what, code, clean(detail)),
        )

    def _insert(self, table: str, row: Result | Baseline | Notebook | Prediction) -> bool:
        """Insert a dataclass as a row with `created_at`; True when a row was written."""
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        values = {key: int(value) if isinstance(value, bool) else value for key, value in values.items()}
        if isinstance(row, Notebook):
            values |= {"tasks": json.dumps(row.tasks, sort_keys=True), "detail": clean(row.detail)}
            values["suspicions"] = json.dumps([clean(text) for text in row.suspicions])
        values["created_at"] = utc_text(datetime.now(UTC))
        marks = ", ".join("?" * len(values))
        # not INSERT OR IGNORE: that would also swallow a broken CHECK
        done = self._db.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) ON CONFLICT {_CONFLICT[table]}",
            tuple(values.values()),
        )
        return done.rowcount == 1

    def _read(self, kind: type, query: str, *values: object) -> list:
        with self._errors():
            return [build(kind, row) for row in self._db.execute(query, values)]

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if (
                    self.holder
                    and not self._db.execute("SELECT 1 FROM lease WHERE holder = ?", (self.holder,)).fetchone()
                ):
                    raise RecordsError(
                        "this run was silent for so long that it lost its lease to another; run it again"
                    )
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RecordsError(f"{self.path}: {error}; check the disk and that no other program uses it") from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        db.row_factory = sqlite3.Row
        for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL"):
            db.execute(f"PRAGMA {pragma}")
        return db
    except sqlite3.Error as error:
        raise RecordsError(f"{path}: {error}; check that it is a readable SQLite file") from None


def _create(path: Path) -> None:
    """Make the database under another name and link it into place: nobody ever sees half a schema."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-record-") as folder:
            draft = Path(folder) / DATABASE
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(f"BEGIN;{schema.SQL}COMMIT;")
            finally:
                db.close()
            draft.chmod(0o600)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
    except (OSError, sqlite3.Error) as error:
        raise RecordsError(f"{path}: cannot be created ({error}); check the folder and the disk") from None
