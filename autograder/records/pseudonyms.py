"""Random names for the public page, new each term; the map never leaves the course folder (mode 0600)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

from autograder.errors import RecordsError
from autograder.intake.store import write_atomically

FILE = "pseudonyms.json"
PSEUDONYM = re.compile(r"u[0-9]{4}")
_NUMBERS = 10_000


def pseudonyms(course_dir: Path, term: str, students: Collection[str]) -> dict[str, str]:
    """The pseudonym of every student, drawn when there is none this term, then stable.

    A pseudonym is never equal to a student id, so the two cannot be confused on a page.

    Raises:
        RecordsError: when the map is damaged or unwritable, or the numbers run out.
    """
    path = course_dir / FILE
    try:
        handle = os.open(course_dir / f"{FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RecordsError(f"{path}: {error.strerror}; check --course-dir") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        terms = _load(path)
        users = terms.setdefault(term, {})
        new = sorted(set(students) - set(users))
        users |= zip(new, _draw(len(new), {*users.values(), *users, *students}, path), strict=True)
        if new:
            text = json.dumps({"schema": 1, "terms": terms}, indent=1, sort_keys=True)
            write_atomically(path, f"{text}\n".encode(), mode=0o600)
        return {student: users[student] for student in students}
    finally:
        os.close(handle)


def _draw(count: int, taken: Collection[str], path: Path) -> list[str]:
    free = [name for name in (f"u{number:04d}" for number in range(_NUMBERS)) if name not in taken]
    if count > len(free):
        raise RecordsError(f"{path}: {count} more pseudonyms, only {len(free):,} are free; start a new term")
    return secrets.SystemRandom().sample(free, count)


def _load(path: Path) -> dict[str, dict[str, str]]:
    try:
        data = json.loads(path.read_text("utf-8"))
        terms = data["terms"]
        for users in terms.values():
            if len(set(users.values())) != len(users) or not all(map(PSEUDONYM.fullmatch, users.values())):
                raise ValueError("a pseudonym is malformed or given twice")
        return terms
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordsError(f"{path}: damaged ({error}); put it back from a backup") from None
