"""The roster: who is in the course. Ids come from here and from the owner of a drop, never from a hand-in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import SubmissionError

STUDENT_ID = re.compile(r"[a-z][a-z0-9_-]{1,31}")
MAX_FILE_BYTES = 10_000_000
LMS_COLUMNS = ("moodle_id", "canvas_id")


@dataclass(frozen=True)
class Student:
    """One row of the roster; `id` matches `STUDENT_ID`, `name` is printable text of 1 to 200 characters.

    The two others are digits, or empty: a participant's number in Moodle, a user's in Canvas.
    """

    id: str
    name: str
    moodle_id: str = ""
    canvas_id: str = ""


def load_roster(path: Path) -> dict[str, Student]:
    """Read `student_id,name` and, where there are such columns, `moodle_id` and `canvas_id` (others are left out);
    id -> student, in the order of the file.

    Raises:
        SubmissionError: an unreadable file, a malformed row or an id given twice, with the line number.
    """
    students: dict[str, Student] = {}
    lines: dict[str, int] = {}
    numbers: set[tuple[str, str]] = set()
    for line, row in read_rows(path, ("student_id", "name")):
        student_id, name = row["student_id"].strip(), row["name"].strip()
        if not STUDENT_ID.fullmatch(student_id):
            raise SubmissionError(
                f"{path}, line {line}: student_id {student_id[:60]!r}, expected a lower-case letter and then "
                "1 to 31 of a-z 0-9 _ -; correct the row"
            )
        if not name or len(name) > 200 or not name.isprintable():
            raise SubmissionError(
                f"{path}, line {line}: name {name[:60]!r}, expected 1 to 200 printable characters; correct the row"
            )
        if student_id in students:
            raise SubmissionError(
                f"{path}, line {line}: {student_id} is in line {lines[student_id]} too; remove one of them"
            )
        elsewhere = {column: row.get(column, "").strip() for column in LMS_COLUMNS}
        for column, number in elsewhere.items():
            if number and not re.fullmatch("[0-9]{1,18}", number):
                raise SubmissionError(f"{path}, line {line}: {column} {number[:60]!r}, expected digits or nothing")
            if number and (column, number) in numbers:
                raise SubmissionError(f"{path}, line {line}: {column} {number} stands there twice; correct one of them")
            numbers.add((column, number))
        students[student_id], lines[student_id] = Student(student_id, name, **elsewhere), line
    if not students:
        raise SubmissionError(f"{path}: no students below the header; add one row per student")
    return students


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, each with its line number; blank lines are skipped.

    Raises:
        SubmissionError: when the file cannot be read, is not UTF-8 CSV, or lacks one of `columns`.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SubmissionError(f"{path}: over {MAX_FILE_BYTES:,} bytes, expected a small CSV file")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SubmissionError(f"{path}: {error.strerror}; expected a CSV file") from None
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 CSV") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in columns:
            if header.count(name) != 1:
                raise SubmissionError(
                    f"{path}, line 1: expected a header with {','.join(columns)}, found {','.join(header)[:100]!r}"
                )
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise SubmissionError(f"{path}, line {reader.line_num}: {len(row)} columns, expected {len(header)}")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise SubmissionError(f"{path}, line {reader.line_num}: {error}; correct the row") from None
