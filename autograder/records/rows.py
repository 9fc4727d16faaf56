"""Rows of `records.db` as frozen dataclasses, and the two text forms that every row keeps to."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from autograder.course.manifest import Exercise


@dataclass(frozen=True)
class Submission:
    """One row per (exercise, student, sha256 of the zip); `flags`, the kinds of its open ones, are for staff only."""

    id: int
    exercise: str
    student: str
    sha256: str
    received_at: str
    late: bool
    state: str
    code: str
    detail: str
    flags: tuple[str, ...]
    judged_with: str
    errors: int
    held_by: str
    created_at: str
    withdrawn: bool = False


@dataclass(frozen=True)
class Added:
    """What `add_submission` did; `created` is False for a replay, `same_as` has (submission id, student), `refused` is
    (code, detail) when the quota was used up.
    """

    submission_id: int
    created: bool
    same_as: tuple[tuple[int, str], ...] = ()
    refused: tuple[str, str] | None = None


@dataclass(frozen=True)
class Result:
    """The score of one model: `correct` of `total`, where a non-finite row counts as wrong.

    `public_right` and `private_right` hold a bit per image of each half of the hidden set, 1 = right, packed as by
    `accuracy.split_right`; empty where a result was recorded without them. They never leave the record.
    """

    submission_id: int
    model_file: str
    dataset_version: str
    scorer_version: str
    correct: int
    total: int
    non_finite: int
    parameters: int
    model_bytes: int
    sandboxed: bool
    public_right: bytes = b""
    private_right: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Best(Result):
    """A row of the view `best`: the student's highest count, the earliest of equals."""

    exercise: str
    student: str
    received_at: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """The score of one of the staff's own models, under the same rules as a student's; `sha256` is the file's."""

    exercise: str
    name: str
    sha256: str
    dataset_version: str
    scorer_version: str
    correct: int
    total: int
    parameters: int
    model_bytes: int
    sandboxed: bool
    public_right: bytes
    private_right: bytes


@dataclass(frozen=True)
class Prediction:
    """Where a submission stands between `predicted` and `scored`: the hash of the stored class ids."""

    submission_id: int
    model_file: str
    judged_with: str
    sha256: str
    parameters: int
    sandboxed: bool


@dataclass(frozen=True)
class Notebook:
    """Points of one notebook; `tasks` maps a task id to [points, max_points, message]."""

    submission_id: int
    snapshot_sha: str
    points: float
    max_points: float
    tasks: dict[str, list]
    state: str
    code: str
    detail: str
    sandboxed: bool
    suspicions: tuple[str, ...] = ()
    attempt: int = 0

    def in_order(self, exercise: Exercise) -> list[tuple[str, list]]:
        """Tasks in the order of the exercise, then those that it no longer has."""
        order = [task.id for task in exercise.tasks]
        return sorted(self.tasks.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))

    @property
    def outcome(self) -> tuple[str, float, str]:
        """What a student would see change."""
        return self.state, self.points, self.code


@dataclass(frozen=True)
class Event:
    """One line of the audit."""

    id: int
    submission_id: int
    at: str
    what: str
    code: str
    detail: str


def utc_text(moment: datetime) -> str:
    """The fixed-width UTC text that the tables hold, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clean(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters: whoever shows it need not fear control characters."""
    line = " ".join(text.split())[: 2 * limit]
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def build(kind: type, row: sqlite3.Row) -> object:
    """A row as its dataclass; further columns of the query are left out."""
    values = {field.name: row[field.name] for field in fields(kind)}
    for name in values.keys() & {"late", "sandboxed", "withdrawn"}:
        values[name] = bool(values[name])
    for name in values.keys() & {"flags", "suspicions"}:
        values[name] = tuple(json.loads(values[name]))
    if "tasks" in values:
        values["tasks"] = json.loads(values["tasks"])
    return kind(**values)
