"""Writes of the one holder of the lease: which row is worked on, and what goes back into the queue.

`gradebook.Gradebook` opens the record and lends `_write` and `_move`; when a lease may be taken is `leases`' matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.records.queries import Queries

if TYPE_CHECKING:
    import sqlite3

    from autograder.records.rows import Submission


class Claims(Queries):
    """Claims of submissions and the lease under which they are made."""

    holder = ""  # of the lease that this connection writes under; "" for writers that need none
    _db: sqlite3.Connection

    def _write(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError

    def _move(self, submission_id: int, state: str, code: str = "", detail: str = "") -> None:
        raise NotImplementedError

    def take_lease(self, holder: str, until: str, is_void: Callable[[str, str], bool]) -> None:
        """Write under a lease from now on.

        Args:
            until: UTC text.
            is_void: whether the lease (holder, until) of somebody else may be taken away.
        Raises:
            RecordsError: another one is valid.
        """
        with self._write():
            for row in self._db.execute("SELECT holder, until FROM lease").fetchall():
                if not is_void(row["holder"], row["until"]):
                    host, process, _ = row["holder"].rsplit(":", 2)
                    raise RecordsError(
                        f"another grading run works on this record (process {process} on {host}, its lease is valid "
                        f"until {row['until'][:19]} UTC); wait until it ends"
                    )
            self._db.execute("DELETE FROM lease")
            self._db.execute("INSERT INTO lease VALUES (?, ?)", (holder, until))
        self.holder = holder

    def renew_lease(self, holder: str, until: str) -> None:
        """Prolong a lease that has not been taken away."""
        with self._write():
            self._db.execute("UPDATE lease SET until = ? WHERE holder = ?", (until, holder))

    def drop_lease(self) -> None:
        """Give the lease back; what this connection writes later needs none."""
        with self._write():
            self._db.execute("DELETE FROM lease WHERE holder = ?", (self.holder,))
        self.holder = ""

    def claim(self, exercise: str) -> Submission | None:
        """The next submission to score: one already predicted, else the next queued one, now `running`."""
        with self._write():
            row = self._db.execute(
                "SELECT * FROM submission WHERE exercise = ? AND held_by = '' AND state IN ('predicted', 'queued') "
                "ORDER BY state = 'queued', errors, received_at, id LIMIT 1",
                (exercise,),
            ).fetchone()
            if row is None:
                return None
            if row["state"] == "queued":
                self._move(row["id"], "running")
            self._db.execute("UPDATE submission SET held_by = ? WHERE id = ?", (self.holder or "-", row["id"]))
            return self.submission(row["id"])

    def recover(self, exercise: str, judged_with: str | None = None) -> int:
        """Queue what a crash or an error of ours left, or what other versions judged; how many rows.

        Only for the holder of the lease: nobody else can then be running one of them.
        """
        with self._write():
            rows = self._db.execute(
                "SELECT id, state FROM submission WHERE exercise = :exercise AND "
                "(state IN ('running', 'ERROR') OR state IN ('predicted', 'scored', 'published', 'FAILED') "
                "AND :with <> '' AND judged_with <> :with)",
                {"exercise": exercise, "with": judged_with or ""},
            ).fetchall()
            for row in rows:
                self._move(row["id"], "queued", detail=f"again, was {row['state']}")
            self._db.execute("UPDATE submission SET held_by = '' WHERE exercise = ? AND held_by <> ''", (exercise,))
            return len(rows)

    def give_back(self, submission_id: int, why: str) -> None:
        """Put a claimed submission that is not going to be judged now back where it was claimed."""
        with self._write():
            if self.submission(submission_id).state in ("running", "ERROR"):
                self._move(submission_id, "queued", detail=why)
            self._db.execute("UPDATE submission SET held_by = '' WHERE id = ?", (submission_id,))
