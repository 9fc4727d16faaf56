"""Where hand-ins come from: our own drop folder, a bulk download of Moodle or Canvas, nbgrader's exchange.

Whatever the source, the owner is the name that the system behind it gave to the hand-in, mapped through the
roster, and never anything inside it. Names and folders are only compared, never used as paths to write to.
"""

from __future__ import annotations

import hashlib
import io
import os
import pwd
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from autograder.errors import SubmissionError
from autograder.intake.archive import CLAIM_NAME, show, size_limits

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise
    from autograder.intake.roster import Student

FORMATS = ("folder", "moodle", "canvas", "nbgrader")
RECEIVED = "received.csv"
ZIP_IN_FOLDER = "submission.zip"
_MOODLE = re.compile(r"(?:.*/)?(?P<name>[^/]*)_(?P<number>[0-9]{1,18})_assignsubmission_file_?/?(?P<file>[^/]*)")
_CANVAS = re.compile(r"(?:.*/)?[^/_]+_(?:LATE_)?(?P<user>[0-9]{1,18})_(?P<attachment>[0-9]{1,18})_(?P<file>[^/]+)")
_EXCHANGE = re.compile(r"(?P<user>[^/+]+)\+(?P<exercise>[^/+]+)\+(?P<time>[^/+]+)(?:\+[^/]*)?")
_MAX_ENTRIES = 200_000

Read = tuple[bytes | None, str, int]  # the bytes (None above the limit), sha256, size
_Rank = tuple[int, str]  # of several zips of one person the highest counts


@dataclass(frozen=True)
class Found:
    """A hand-in: `file` as it is shown, the student's id or None with the reason `why`, and how to read it."""

    file: str
    student: str | None
    read: Callable[[int], Read | None]
    why: str = ""


@dataclass(frozen=True)
class Other:
    """Something in the drop that is no hand-in."""

    file: str
    why: str


@dataclass(frozen=True)
class _Entry:
    name: str  # relative to the drop, with /
    read: Callable[[int], Read | None]


def scan(drop: Path, kind: str, exercise: Exercise, students: Mapping[str, Student]) -> list[Found | Other]:
    """Everything in a drop, in a fixed order.

    Args:
        kind: one of `FORMATS`, or "auto".
    Raises:
        SubmissionError: the drop cannot be read, or `kind` is none of these.
    """
    if kind not in (*FORMATS, "auto"):
        raise SubmissionError(f"format {kind!r}: expected auto, {', '.join(FORMATS)}")
    is_zip = drop.is_file()
    if not is_zip and not drop.is_dir():
        raise SubmissionError(f"{drop}: expected a folder with <student_id>.zip or <student_id>/{ZIP_IN_FOLDER}")
    try:
        if kind == "auto":
            kind = _detect(drop, exercise)
        if kind == "folder":
            if is_zip:
                raise SubmissionError(f"{drop}: expected a folder; for a bulk download say --format moodle or canvas")
            return list(_folder(drop))
        if kind == "nbgrader":
            if is_zip:
                raise SubmissionError(f"{drop}: expected nbgrader's inbound or submitted folder, got a file")
            return list(_nbgrader(drop, exercise, students))
        entries = list(_zip_entries(drop) if is_zip else _tree_entries(drop))
    except OSError as error:
        raise SubmissionError(f"{drop}: {error.strerror}; the drop cannot be read") from None
    return list(_moodle(entries, students) if kind == "moodle" else _canvas(entries, students))


def read_file(path: Path, limit: int) -> Read | None:
    """(bytes, sha256, size), without the bytes above `limit`; None for anything but a plain readable file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return _read(file, limit)


def _read(file: IO[bytes], limit: int) -> Read:
    digest, size, parts = hashlib.sha256(), 0, []
    while part := file.read(1 << 20):
        digest.update(part)
        size += len(part)
        if size <= limit:
            parts.append(part)
    return (b"".join(parts) if size <= limit else None), digest.hexdigest(), size


def _detect(drop: Path, exercise: Exercise) -> str:
    """The format that the names speak for."""
    if drop.is_file():
        names = [entry.name for entry in _zip_entries(drop)]
    else:
        names = [path.name for path in sorted(drop.iterdir())]
        if any(_EXCHANGE.fullmatch(name) for name in names):
            return "nbgrader"
        if any((drop / name / exercise.id / exercise.notebook).is_file() for name in names):
            return "nbgrader"
    if any("_assignsubmission_" in name for name in names):
        return "moodle"
    if any(_CANVAS.fullmatch(name) for name in names):
        return "canvas"
    if drop.is_file():
        raise SubmissionError(f"{drop}: neither a Moodle nor a Canvas bulk download; unzip it, or say --format")
    return "folder"


def _folder(drop: Path) -> Iterator[Found | Other]:
    """`<student>.zip` or `<student>/submission.zip`."""
    for path in sorted(drop.iterdir()):
        file = student = path.name
        if path.name == RECEIVED:
            continue
        if path.is_symlink():
            yield Other(show(file), "a link; expected the file itself")
        elif path.is_dir():
            inner = path / ZIP_IN_FOLDER
            if os.path.lexists(inner):
                yield Found(f"{file}/{ZIP_IN_FOLDER}", student, _reader(inner))
            else:
                yield Other(show(student), f"a folder without {ZIP_IN_FOLDER}")
        elif path.suffix == ".zip":
            yield Found(file, path.stem, _reader(path))
        else:
            yield Other(show(file), "not a .zip file")


def _reader(path: Path) -> Callable[[int], Read | None]:
    return lambda limit: read_file(path, limit)


def _tree_entries(drop: Path) -> Iterator[_Entry]:
    """Plain files of an unzipped download, links not followed."""
    for folder, folders, files in os.walk(drop):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if name != RECEIVED and not path.is_symlink():
                yield _Entry(path.relative_to(drop).as_posix(), _reader(path))


def _zip_entries(drop: Path) -> Iterator[_Entry]:
    try:
        with zipfile.ZipFile(drop) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise SubmissionError(
            f"{drop}: expected a folder of hand-ins or a bulk download as zip, which this is not ({error})"
        ) from None
    if len(infos) > _MAX_ENTRIES:
        raise SubmissionError(f"{drop}: {len(infos):,} entries, at most {_MAX_ENTRIES:,}")
    for info in infos:
        yield _Entry(info.filename, _zip_reader(drop, info))


def _zip_reader(drop: Path, info: zipfile.ZipInfo) -> Callable[[int], Read | None]:
    def read(limit: int) -> Read | None:
        damaged = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)
        with suppress(*damaged), zipfile.ZipFile(drop) as archive, archive.open(info) as file:
            return _read(file, limit)
        return None

    return read


def _moodle(entries: Iterable[_Entry], students: Mapping[str, Student]) -> Iterator[Found | Other]:
    """`Full Name_12345_assignsubmission_file_/submission.zip`, or the same in one name; 12345 is the participant."""
    numbers = {row.moodle_id: row.id for row in students.values() if row.moodle_id}
    names: dict[str, list[str]] = {}
    for row in students.values():
        names.setdefault(_fold(row.name), []).append(row.id)
    per_person: dict[str, list[tuple[_Rank, Found]]] = {}
    for entry in entries:
        found = _MOODLE.fullmatch(entry.name)
        if found is None or not found["file"].casefold().endswith(".zip"):
            yield Other(show(entry.name), "not a .zip file of an assignment")
            continue
        called = names.get(_fold(found["name"]), [])
        student, why = numbers.get(found["number"]), ""
        if student is None and len(called) == 1:
            student = called[0]
        elif student is None:
            why = "several students are called so" if called else "nobody in the roster is called so"
            why += f"; put the participant's number {found['number']} into the roster's column moodle_id"
        rank = (int(found["file"] == ZIP_IN_FOLDER), entry.name)
        per_person.setdefault(found["number"], []).append((rank, Found(entry.name, student, entry.read, why)))
    yield from _one_each(per_person)


def _canvas(entries: Iterable[_Entry], students: Mapping[str, Student]) -> Iterator[Found | Other]:
    """`bauerann_LATE_4711_998877_submission.zip`: 4711 is the user, 998877 the attachment; a higher one is newer."""
    ids = {row.canvas_id: row.id for row in students.values() if row.canvas_id}
    per_person: dict[str, list[tuple[_Rank, Found]]] = {}
    for entry in entries:
        found = _CANVAS.fullmatch(entry.name)
        if found is None or not found["file"].casefold().endswith(".zip"):
            yield Other(show(entry.name), "not a .zip file of an assignment")
            continue
        student = ids.get(found["user"])
        why = "" if student else f"no student has canvas_id {found['user']} in the roster"
        rank = (int(found["attachment"]), entry.name)
        per_person.setdefault(found["user"], []).append((rank, Found(entry.name, student, entry.read, why)))
    yield from _one_each(per_person)


def _one_each(per_person: Mapping[str, list[tuple[_Rank, Found]]]) -> Iterator[Found | Other]:
    """The one hand-in of each person, and what else was uploaded."""
    for group in per_person.values():
        *others, (_, counts) = sorted(group, key=lambda pair: pair[0])
        for _, other in others:
            yield Other(show(other.file), "there is a newer or better named zip of the same person")
        yield counts


def _nbgrader(drop: Path, exercise: Exercise, students: Mapping[str, Student]) -> Iterator[Found | Other]:
    """`inbound/<user>+<exercise>+<time>+<random>/` or `submitted/<user>/<exercise>/`, files beside each other.

    The time in the name is written by the student's own process, so it only tells which of one's own is the last.
    """
    newest: dict[str, tuple[str, Path]] = {}
    for path in sorted(drop.iterdir()):
        if path.is_symlink() or not path.is_dir():
            yield Other(show(path.name), "not a folder")
            continue
        found = _EXCHANGE.fullmatch(path.name)
        user, folder, time = path.name, path / exercise.id, ""
        if found is not None:
            user, folder, time = found["user"], path, found["time"]
            if found["exercise"] != exercise.id:
                continue
        elif folder.is_symlink() or not folder.is_dir():
            continue
        earlier = newest.get(user)
        if earlier is not None:
            older = min(earlier, (time, folder))
            yield Other(show(older[1].name), f"there is a newer one of {user}")
        newest[user] = max(earlier, (time, folder)) if earlier else (time, folder)
    for user, (_, folder) in sorted(newest.items()):
        owner = ""
        with suppress(KeyError, OSError):
            owner = pwd.getpwuid(folder.stat().st_uid).pw_name
        why = ""
        if owner != user and owner in students:
            why = f"the folder belongs to {owner}"
        yield Found(show(folder.relative_to(drop).as_posix()), None if why else user, _packer(folder, exercise), why)


def _packer(folder: Path, exercise: Exercise) -> Callable[[int], Read | None]:
    """Reads the expected files of a folder as if they had come in one zip; the same files give the same bytes."""

    def read(limit: int) -> Read | None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for name, most in size_limits(exercise).items():
                got = read_file(folder / name, most)
                if got is not None and got[0] is None:
                    return None, got[1], got[2]
                if got is not None and got[0] is not None:
                    target.writestr(zipfile.ZipInfo(name), got[0])
                elif name == CLAIM_NAME:  # nbgrader's own submit does not make one
                    target.writestr(zipfile.ZipInfo(name), f'{{"schema":1,"exercise":"{exercise.id}","claimed":{{}}}}')
        return _read(io.BytesIO(buffer.getvalue()), limit)

    return read


def _fold(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
