"""`publish`: the record -> `scores.json` -> the static site; refuses when a real name would get out."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.errors import RecordsError
from autograder.intake.roster import Student, load_roster
from autograder.intake.store import write_atomically
from autograder.records.export import SCORES, scores_bytes
from autograder.records.gradebook import Gradebook

if TYPE_CHECKING:
    from autograder.course.manifest import Course


@dataclass(frozen=True)
class Published:
    """Where the page is, what it was built from, and how many submissions became `published` now."""

    out: Path
    scores: Path
    entries: int
    newly_published: int


def publish(course: Course, course_dir: Path, roster: Path, out: Path) -> Published:
    """Export the scores, check them against the roster, build the site into `out`, then mark what it shows.

    A rerun after a crash at any point gives the same site.

    Raises:
        CourseError: no record, a bad roster, a real id or name in the scores, a site that cannot be built.
    """
    from leaderboard.build import build
    from leaderboard.schema import LeaderboardError

    students = load_roster(roster)
    with Gradebook(course_dir) as book:
        with book.snapshot():
            data = scores_bytes(course, course_dir, book)
            everyone = book.submissions()
        known = [*students.values(), *(Student(row.student, "") for row in everyone)]
        refuse_names(data, known)
        scores = course_dir / SCORES
        write_atomically(scores, data, mode=0o644)
        try:
            build(scores, out)
        except LeaderboardError as error:
            raise RecordsError(f"the page was not built: {error}") from error
        marked = book.publish(row.id for row in everyone if row.state == "scored")
    entries = sum(len(board["entries"]) for board in json.loads(data)["exercises"])
    return Published(out, scores, entries, marked)


def refuse_names(scores: bytes, students: Iterable[Student]) -> None:
    """Refuse scores that hold a student's id, or a name of a student.

    Ids and one-word names are looked for as whole words in all that is not the manifest's own text (a course
    may be called "Deep Learning" while a student is called Deep); names of several words everywhere.

    Raises:
        RecordsError: for the first that is found.
    """
    data = json.loads(scores)
    everything = list(_texts(data))
    del data["course"]
    for board in data["exercises"]:
        del board["id"], board["title"]
    varying = list(_texts(data))
    for student in students:
        for word in filter(None, (_fold(student.id), _fold(student.name))):
            pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
            if any(pattern.search(text) for text in (everything if " " in word else varying)):
                raise RecordsError(
                    f"the scores contain {word!r}, an id or a name from the roster; nothing was published, "
                    "look for it in what scores.json is made of (course.toml, the hidden set's meta.json)"
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield _fold(value)


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
