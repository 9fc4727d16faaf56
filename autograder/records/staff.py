"""What staff, and programs for staff, add to the record: flags with evidence, the measurements behind them, decisions.

All three tables are append-only. A flag is a reason to look, it changes no grade; a decision says that a submission no
longer counts, that it counts again, or that a flag was looked into. `gradebook.Gradebook` lends `_read` and `_write`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autograder.errors import RecordsError
from autograder.records.queries import Queries
from autograder.records.rows import Notebook, Result, Submission, clean, utc_text

if TYPE_CHECKING:
    import sqlite3

TABLES = ("flag", "measurement", "decision")
SQL = """
CREATE TABLE flag (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    other_id INTEGER REFERENCES submission (id),  -- of a pair, which has a row for each side
    kind TEXT NOT NULL,
    basis TEXT NOT NULL,                          -- versions of what it was computed from
    evidence TEXT NOT NULL,
    who TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX flag_once ON flag (submission_id, coalesce(other_id, 0), kind, basis);
CREATE TABLE measurement (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    what TEXT NOT NULL,
    basis TEXT NOT NULL,
    content TEXT NOT NULL,                        -- JSON
    created_at TEXT NOT NULL,
    UNIQUE (submission_id, what, basis)
) STRICT;
CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    submission_id INTEGER NOT NULL REFERENCES submission (id),
    flag_id INTEGER REFERENCES flag (id),
    what TEXT NOT NULL CHECK (what IN ('withdrawn', 'restored', 'settled')),
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX decision_by_submission ON decision (submission_id);
CREATE VIEW open_flag AS SELECT * FROM flag WHERE id NOT IN (SELECT flag_id FROM decision WHERE flag_id IS NOT NULL);
CREATE VIEW withdrawn AS SELECT submission_id FROM (
    SELECT submission_id, what, row_number() OVER (PARTITION BY submission_id ORDER BY id DESC) AS place
    FROM decision WHERE flag_id IS NULL
) WHERE place = 1 AND what = 'withdrawn';
CREATE VIEW submission_now AS SELECT s.*,
    (SELECT json_group_array(kind) FROM
        (SELECT DISTINCT kind FROM open_flag WHERE submission_id = s.id ORDER BY kind)) AS flags,
    s.id IN (SELECT submission_id FROM withdrawn) AS withdrawn
FROM submission AS s;
"""


@dataclass(frozen=True)
class Flag:
    """A reason for a person to look at a submission, of itself or together with another one; for staff only."""

    id: int
    submission_id: int
    other_id: int | None
    kind: str
    basis: str
    evidence: str
    who: str
    created_at: str


@dataclass(frozen=True)
class Raised:
    """A flag to be: on one submission, or on both of a pair."""

    submission_id: int
    kind: str
    evidence: str
    other_id: int | None = None


@dataclass(frozen=True)
class Measurement:
    """Something that was found out about a submission, as JSON text."""

    id: int
    submission_id: int
    what: str
    basis: str
    content: str
    created_at: str


@dataclass(frozen=True)
class Decision:
    """What a person decided: `withdrawn` or `restored` about a submission, `settled` about a flag."""

    id: int
    submission_id: int
    flag_id: int | None
    what: str
    reason: str
    who: str
    created_at: str


@dataclass(frozen=True)
class Regraded:
    """What a regrade adds to a submission: a verdict (`scored` or `FAILED`) with new results, a notebook, or both."""

    submission_id: int
    verdict: Submission | None
    results: tuple[Result, ...]
    notebook: Notebook | None


class StaffRecord(Queries):
    """The staff's part of the record."""

    _db: sqlite3.Connection

    def _write(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError

    def _event(self, submission_id: int, what: str, code: str = "", detail: str = "") -> None:
        raise NotImplementedError

    def _move(
        self, submission_id: int, state: str, code: str = "", detail: str = "", judged_with: str | None = None
    ) -> None:
        raise NotImplementedError

    def _insert(self, table: str, row: Any) -> bool:
        raise NotImplementedError

    def _add_notebook(self, notebook: Notebook) -> bool:
        raise NotImplementedError

    def flags(self, exercise: str, *, settled: bool = False) -> list[Flag]:
        """Flags of an exercise, oldest first, those that are `settled` only when asked for."""
        query = (
            f"SELECT f.* FROM {'flag' if settled else 'open_flag'} AS f JOIN submission AS s ON s.id = submission_id "
            "WHERE exercise = ? ORDER BY f.id"
        )
        return self._read(Flag, query, exercise)

    def decisions(self, exercise: str) -> list[Decision]:
        """What people decided about an exercise's submissions, oldest first."""
        query = "SELECT d.* FROM decision AS d JOIN submission AS s ON s.id = submission_id WHERE exercise = ? ORDER BY d.id"
        return self._read(Decision, query, exercise)

    def measurements(self, exercise: str, what: str, basis: str) -> dict[int, Any]:
        """Submission -> what was measured of it, parsed."""
        query = (
            "SELECT m.* FROM measurement AS m JOIN submission AS s ON s.id = submission_id "
            "WHERE (exercise, what, basis) = (?, ?, ?) ORDER BY m.id"
        )
        return {
            row.submission_id: json.loads(row.content) for row in self._read(Measurement, query, exercise, what, basis)
        }

    def add_measurements(self, what: str, basis: str, found: Mapping[int, object]) -> None:
        """Keep what was measured of each submission; what is known already stays as it is."""
        now = utc_text(datetime.now(UTC))
        with self._write():
            self._db.executemany(
                "INSERT INTO measurement (submission_id, what, basis, content, created_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (submission_id, what, basis) DO NOTHING",
                [(number, what, basis, json.dumps(value, sort_keys=True), now) for number, value in found.items()],
            )

    def add_flags(self, raised: Iterable[Raised], *, who: str, basis: str = "") -> int:
        """Raise flags; one that the same basis raised before stays as it is, also when it was settled. How many rows."""
        with self._write():
            return sum(self._flag(flag, who, basis) for flag in raised)

    def decide(self, submission_id: int, what: str, reason: str, who: str, flag_id: int | None = None) -> None:
        """Append a decision.

        Raises:
            RecordsError: no such submission, or it is so already.
        """
        with self._write():
            if not self._db.execute("SELECT 1 FROM submission WHERE id = ?", (submission_id,)).fetchone():
                raise RecordsError(f"submission {submission_id}: there is none; run status for the numbers")
            if flag_id is None and (what == "withdrawn") == self.submission(submission_id).withdrawn:
                is_so = "is withdrawn already" if what == "withdrawn" else "is not withdrawn"
                raise RecordsError(f"submission {submission_id} {is_so}; nothing was changed")
            self._db.execute(
                "INSERT INTO decision (submission_id, flag_id, what, reason, who, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (submission_id, flag_id, what, clean(reason), who, utc_text(datetime.now(UTC))),
            )
            self._event(submission_id, what, who, reason)

    def commit_regrade(self, regraded: Iterable[Regraded], who: str) -> None:
        """Write everything that a regrade found, or nothing."""
        with self._write():
            for row in regraded:
                if row.verdict is not None:
                    number, verdict = row.submission_id, row.verdict
                    was = self.submission(number).state
                    if was != "queued":
                        self._move(number, "queued", detail=f"regrade by {who}, was {was}")
                    self._move(number, "running")
                    if verdict.state == "FAILED":
                        self._move(number, "FAILED", verdict.code, verdict.detail, verdict.judged_with)
                    else:
                        self._move(number, "predicted", judged_with=verdict.judged_with)
                        for result in row.results:
                            self._insert("result", result)
                        self._move(number, "scored", judged_with=verdict.judged_with)
                if row.notebook is not None:
                    self._event(row.submission_id, "notebook regraded", who)
                    self._add_notebook(row.notebook)

    def settle(self, flag_id: int, reason: str, who: str) -> list[Flag]:
        """Say that a flag, on both sides of a pair, was looked into; the flags that this closes.

        Raises:
            RecordsError: no such flag, or it is settled.
        """
        found = self._read(
            Flag,
            "SELECT o.* FROM open_flag AS o JOIN flag AS f ON f.id = ? AND o.kind = f.kind AND o.basis = f.basis AND "
            "((o.submission_id, o.other_id) IS (f.submission_id, f.other_id) OR "
            "(o.submission_id, o.other_id) IS (f.other_id, f.submission_id)) ORDER BY o.id",
            flag_id,
        )
        if not found:
            raise RecordsError(f"flag {flag_id}: there is no open one with this number; run integrity for the list")
        for flag in found:
            self.decide(flag.submission_id, "settled", reason, who, flag.id)
        return found

    def _flag(self, flag: Raised, who: str, basis: str) -> int:
        new = 0
        sides = [(flag.submission_id, flag.other_id)]
        if flag.other_id is not None:
            sides.append((flag.other_id, flag.submission_id))
        for one, other in sides:
            done = self._db.execute(
                "INSERT INTO flag (submission_id, other_id, kind, basis, evidence, who, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (one, other, flag.kind, basis, clean(flag.evidence), who, utc_text(datetime.now(UTC))),
            )
            if done.rowcount == 1:
                self._event(one, f"flag {flag.kind}", detail=flag.evidence)
                new += 1
        return new
