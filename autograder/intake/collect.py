"""`collect`: take a folder of hand-ins into the record, each in one transaction, nothing in them trusted.

The owner of a hand-in is the name of its file or folder in the drop, never anything inside it. When it
arrived is what `received.csv` of the drop says, else now: never a time of the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from autograder.errors import SubmissionError
from autograder.intake import store
from autograder.intake.archive import CLAIM_NAME, Opened, Rejected, max_archive_bytes, open_submission, show
from autograder.intake.roster import load_roster, read_rows
from autograder.records.gradebook import Gradebook

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise

RECEIVED = "received.csv"
ZIP_IN_FOLDER = "submission.zip"


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
class _Found:
    file: str  # relative to the drop, with /
    student: str
    path: Path
    received_at: datetime


def collect(
    course: Course,
    exercise_id: str,
    drop: Path,
    roster: Path,
    course_dir: Path,
    now: datetime | None = None,
    *,
    progress: bool = True,
) -> CollectReport:
    """Record every hand-in of `drop` (`<student>.zip` or `<student>/submission.zip`) for one exercise.

    Idempotent: what is already recorded stays as it is. A hand-in that is refused is recorded with its reason
    and the rest goes on; one received after the exercise is due is kept and not graded.

    Raises:
        CourseError: a bad roster, `received.csv` or drop (then nothing was written), or an unwritable record.
    """
    exercise = course.exercise(exercise_id)
    students = load_roster(roster)
    found, rows = _scan(drop, now or datetime.now(UTC))
    course_dir.mkdir(parents=True, exist_ok=True)
    released = _released_notebook(course_dir, exercise)
    with Gradebook(course_dir, create=True) as book:
        order = sorted(found, key=lambda item: (item.received_at, item.file))
        console = Console(stderr=True)
        for item in track(order, "collect", console=console, transient=True, disable=not progress):
            if item.student in students:
                rows.append(_take(book, exercise, item, course_dir, released))
            else:
                rows.append(Collected(show(item.file), show(item.student), "unknown", detail="not in the roster"))
    return CollectReport(exercise.id, tuple(rows))


def _take(book: Gradebook, exercise: Exercise, item: _Found, course_dir: Path, released: str) -> Collected:
    """One hand-in: read, keep, check, record."""
    limit = max_archive_bytes(exercise)
    read = _read(item.path, limit)
    if read is None:
        return Collected(item.file, item.student, "ignored", detail="not a regular file that can be read")
    data, sha256, size = read
    opened: Opened | None = None
    rejected: tuple[str, str] | None = None
    late = item.received_at > exercise.due
    if data is not None:
        store.put(course_dir, data)
    if late:
        rejected = (
            "late",
            f"received {item.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, was due {_utc(exercise)}",
        )
    elif data is None:
        rejected = ("too_large", f"the zip has {size:,} bytes, at most {limit:,}; it was not kept")
    else:
        try:
            opened = open_submission(data, exercise)
        except Rejected as error:
            rejected = (error.code, error.detail)
    prints = {name: hashlib.sha256(part).hexdigest() for name, part in opened.files.items()} if opened else {}
    added = book.add_submission(
        exercise.id,
        item.student,
        sha256,
        item.received_at,
        late=late,
        rejected=rejected,
        # two honest students may claim the same accuracy, or hand in the notebook untouched
        fingerprints={n: value for n, value in prints.items() if n != CLAIM_NAME and value != released},
        notes=opened.notes if opened else (),
    )
    if not added.created:
        return Collected(item.file, item.student, "unchanged", detail=f"is submission {added.submission_id}")
    if rejected:
        return Collected(item.file, item.student, "REJECTED", *rejected)
    detail = "; ".join(opened.notes) if opened else ""
    if added.same_as:
        detail = f"same content as submission {added.same_as[0][0]} of {added.same_as[0][1]}"
    return Collected(item.file, item.student, "queued", "duplicate" if added.same_as else "", detail)


def _utc(exercise: Exercise) -> str:
    return f"{exercise.due.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _scan(drop: Path, now: datetime) -> tuple[list[_Found], list[Collected]]:
    """What is in the drop, and what of it is not a hand-in."""
    if not drop.is_dir():
        raise SubmissionError(f"{drop}: expected a folder with <student_id>.zip or <student_id>/{ZIP_IN_FOLDER}")
    try:
        entries = sorted(drop.iterdir())
    except OSError as error:
        raise SubmissionError(f"{drop}: {error.strerror}; the drop folder cannot be read") from None
    times = _received(drop / RECEIVED) if os.path.lexists(drop / RECEIVED) else {}
    found: list[_Found] = []
    rows: list[Collected] = []
    for path in entries:
        file = student = path.name
        if path.name == RECEIVED:
            continue
        if path.is_symlink():
            rows.append(Collected(show(file), "", "ignored", detail="a link; expected the file itself"))
        elif path.is_dir():
            file, path = f"{file}/{ZIP_IN_FOLDER}", path / ZIP_IN_FOLDER
            if os.path.lexists(path):
                found.append(_Found(file, student, path, times.pop(file, now)))
            else:
                rows.append(Collected(show(student), "", "ignored", detail=f"a folder without {ZIP_IN_FOLDER}"))
        elif path.suffix == ".zip":
            found.append(_Found(file, path.stem, path, times.pop(file, now)))
        else:
            rows.append(Collected(show(file), "", "ignored", detail="not a .zip file"))
    rows += [Collected(show(file), "", "ignored", detail=f"in {RECEIVED}, not in the drop") for file in times]
    return found, rows


def _received(path: Path) -> dict[str, datetime]:
    """File name in the drop -> when it was received (aware)."""
    times: dict[str, datetime] = {}
    for line, row in read_rows(path, ("file", "received_at")):
        file, text = row["file"].strip(), row["received_at"].strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.utcoffset() is None:
            raise SubmissionError(
                f"{path}, line {line}: received_at {text[:60]!r}, expected a time with a zone like "
                "2026-12-16T15:59:59+01:00; correct the row"
            )
        if file in times:
            raise SubmissionError(f"{path}, line {line}: {file[:60]!r} stands there twice; remove one of the rows")
        times[file] = moment
    return times


def _read(path: Path, limit: int) -> tuple[bytes | None, str, int] | None:
    """(bytes, sha256, size), without the bytes above `limit`; None for anything but a plain readable file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        digest, size, parts = hashlib.sha256(), 0, []
        for part in _parts(file):
            digest.update(part)
            size += len(part)
            if size <= limit:
                parts.append(part)
    return (b"".join(parts) if size <= limit else None), digest.hexdigest(), size


def _parts(file) -> Iterator[bytes]:
    while part := file.read(1 << 20):
        yield part


def _released_notebook(course_dir: Path, exercise: Exercise) -> str:
    """sha256 of the notebook as students got it in the bundle, '' when it was not released from here."""
    try:
        with zipfile.ZipFile(course_dir / "bundles" / f"{exercise.id}.zip") as bundle:
            return hashlib.sha256(bundle.read(f"exercises/{exercise.id}/{exercise.notebook}")).hexdigest()
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""
