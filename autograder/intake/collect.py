"""`collect`: take a folder of hand-ins into the record, each in one transaction, nothing in them trusted.

The owner of a hand-in is the name of its file or folder in the drop, never anything inside it. When it
arrived is what `received.csv` of the drop says, else when these bytes were first seen, else now: never a time of
the file.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from autograder.errors import SubmissionError
from autograder.intake import store
from autograder.intake.archive import CLAIM_NAME, Opened, Rejected, max_archive_bytes, open_submission, show
from autograder.intake.deadlines import EXTENSIONS, Deadlines, both, load_deadlines, zoned
from autograder.intake.roster import load_roster, read_rows
from autograder.intake.sources import RECEIVED, Found, scan
from autograder.records.gradebook import Gradebook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autograder.course.manifest import Course, Exercise
    from autograder.intake.roster import Student


@dataclass(frozen=True)
class Collected:
    """One file; `outcome`: queued, REJECTED, unchanged (a replay), unknown (no such student) or ignored."""

    file: str
    student: str
    outcome: str
    code: str = ""
    detail: str = ""


@dataclass(frozen=True)
class CollectReport:
    """What became of every file of the drop, in the order in which they arrived."""

    exercise: str
    rows: tuple[Collected, ...]

    def counts(self) -> Counter[str]:
        """How many files had which outcome."""
        return Counter(row.outcome for row in self.rows)


@dataclass(frozen=True)
class _Arrived:
    found: Found
    received_at: datetime
    is_told: bool  # by received.csv, so that it holds whatever was recorded before


def collect(
    course: Course,
    exercise_id: str,
    drop: Path,
    roster: Path,
    course_dir: Path,
    now: datetime | None = None,
    *,
    source: str = "auto",
    progress: bool = True,
) -> CollectReport:
    """Record every hand-in of `drop` for one exercise.

    Idempotent: what is already recorded stays as it is. A hand-in that is refused is recorded with its reason
    and the rest goes on; one received after its student's deadline is kept and not graded.

    Args:
        now: when hand-ins without a time in `received.csv` were received: the clock's, or when the box of a learning
            platform was closed.
        source: "folder" (`<student>.zip` or `<student>/submission.zip`), "moodle", "canvas", "nbgrader" or "auto".

    Raises:
        CourseError: a bad roster, `received.csv`, `extensions.csv` or drop (then nothing was written), or an
            unwritable record.
    """
    exercise = course.exercise(exercise_id)
    students = load_roster(roster)
    deadlines = load_deadlines(course_dir / EXTENSIONS, course, students)
    order, rows = _arrivals(drop, source, exercise, students, now or datetime.now(UTC))
    course_dir.mkdir(parents=True, exist_ok=True)
    released = _released_notebook(course_dir, exercise)
    with Gradebook(course_dir, create=True) as book:
        console = Console(stderr=True)
        for item in track(order, "collect", console=console, transient=True, disable=not progress):
            found = item.found
            if found.student is not None and found.student in students:
                rows.append(_take(book, exercise, item, found.student, course_dir, released, deadlines))
            else:
                why = found.why or "not in the roster"
                rows.append(Collected(show(found.file), show(found.student or ""), "unknown", detail=why))
    return CollectReport(exercise.id, tuple(rows))


def _take(
    book: Gradebook,
    exercise: Exercise,
    item: _Arrived,
    student: str,
    course_dir: Path,
    released: str,
    deadlines: Deadlines,
) -> Collected:
    """One hand-in: read, keep, check, record."""
    file, limit = item.found.file, max_archive_bytes(exercise)
    read = item.found.read(limit)
    if read is None:
        return Collected(file, student, "ignored", detail="not a regular file that can be read")
    data, sha256, size = read
    received_at = item.received_at
    if not item.is_told:  # collecting the same drop again next week makes nothing late
        received_at = book.first_received(exercise.id, student, sha256) or received_at
    opened: Opened | None = None
    rejected: tuple[str, str] | None = None
    due = deadlines.of(student, exercise)
    if data is not None:
        store.put(course_dir, data)
    if received_at > due:
        rejected = ("late", f"received {both(received_at)}, was due {both(due)}")
    elif data is None:
        rejected = ("too_large", f"the zip has {size:,} bytes, at most {limit:,}; it was not kept")
    else:
        try:
            opened = open_submission(data, exercise)
        except Rejected as error:
            rejected = (error.code, error.detail)
    notes = list(opened.notes) if opened else []
    if rejected is None and received_at > exercise.due:
        notes.append(f"in time by an extension to {both(due)}")
    prints = {name: hashlib.sha256(part).hexdigest() for name, part in opened.files.items()} if opened else {}
    added = book.add_submission(
        exercise.id,
        student,
        sha256,
        received_at,
        late=received_at > exercise.due,
        rejected=rejected,
        # two honest students may claim the same accuracy, or hand in the notebook untouched
        fingerprints={n: value for n, value in prints.items() if n != CLAIM_NAME and value != released},
        notes=notes,
        quota=exercise.quota,
        has_models=bool(exercise.models),
    )
    if not added.created:
        return Collected(file, student, "unchanged", detail=f"is submission {added.submission_id}")
    rejected = rejected or added.refused
    if rejected:
        return Collected(file, student, "REJECTED", *rejected)
    detail = "; ".join(notes)
    if added.same_as:
        detail = f"same content as submission {added.same_as[0][0]} of {added.same_as[0][1]}"
    return Collected(
        file, student, "queued" if exercise.models else "validated", "duplicate" if added.same_as else "", detail
    )


def _arrivals(
    drop: Path, source: str, exercise: Exercise, students: Mapping[str, Student], now: datetime
) -> tuple[list[_Arrived], list[Collected]]:
    """Hand-ins in the order of their arrival, and what of the drop is none."""
    table = drop / RECEIVED if drop.is_dir() else drop.with_name(RECEIVED)
    times = _received(table) if os.path.lexists(table) else {}
    arrived: list[_Arrived] = []
    rows: list[Collected] = []
    for item in scan(drop, source, exercise, students):
        if isinstance(item, Found):
            told = times.pop(item.file, None)
            arrived.append(_Arrived(item, told or now, told is not None))
        else:
            rows.append(Collected(item.file, "", "ignored", detail=item.why))
    if drop.is_dir():  # the table beside a bulk download may be for more than one of them
        rows += [Collected(show(file), "", "ignored", detail=f"in {RECEIVED}, not in the drop") for file in times]
    return sorted(arrived, key=lambda item: (item.received_at, item.found.file)), rows


def _received(path: Path) -> dict[str, datetime]:
    """File name in the drop -> when it was received (aware)."""
    times: dict[str, datetime] = {}
    for line, row in read_rows(path, ("file", "received_at")):
        file, text = row["file"].strip(), row["received_at"].strip()
        moment = zoned(text)
        if moment is None:
            raise SubmissionError(
                f"{path}, line {line}: received_at {text[:60]!r}, expected a time with a zone like "
                "2026-12-16T15:59:59+01:00; correct the row"
            )
        if file in times:
            raise SubmissionError(f"{path}, line {line}: {file[:60]!r} stands there twice; remove one of the rows")
        times[file] = moment
    return times


def _released_notebook(course_dir: Path, exercise: Exercise) -> str:
    """sha256 of the notebook as students got it in the bundle, '' when it was not released from here."""
    try:
        with zipfile.ZipFile(course_dir / "bundles" / f"{exercise.id}.zip") as bundle:
            return hashlib.sha256(bundle.read(f"exercises/{exercise.id}/{exercise.notebook}")).hexdigest()
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""
