"""Unpack tar and zip archives without trusting the names in them."""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from exercise_code.data.errors import DatasetError


def unpack(archive: Path, kind: str, into: Path, wanted: Callable[[str], Path | None]) -> None:
    """Extract the wanted members of a tar or zip file.

    Args:
        kind: "tar" (any compression) or "zip".
        wanted: member name -> path below `into`, or None for a member to leave out.

    Raises:
        DatasetError: unreadable archive, or a member that is a link or would land outside `into`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     archive = Path(folder, "photos.zip")
    ...     with zipfile.ZipFile(archive, "w") as zipped:
    ...         zipped.writestr("photos/cat.png", b"pixels")
    ...         zipped.writestr("photos/notes.txt", b"words")
    ...     unpack(archive, "zip", Path(folder), lambda name: Path(name) if name.endswith(".png") else None)
    ...     [path.name for path in Path(folder, "photos").iterdir()]
    ['cat.png']
    """
    try:
        for name, stream in _members(archive, kind):
            _refuse_escape(archive, name)
            relative = wanted(str(PurePosixPath(name)))
            if relative is None:
                continue
            path = into / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        RuntimeError,
    ) as problem:
        raise DatasetError(f"{archive}: expected a {kind} archive, got {problem}. Delete it and repeat.") from problem


def _members(archive: Path, kind: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and byte stream of every file; opening a stream reads nothing yet."""
    if kind == "zip":
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if not entry.is_dir():
                    yield entry.filename, zipped.open(entry)
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if member.isdir():
                _refuse_escape(archive, member.name)
                continue
            if not member.isfile():
                raise DatasetError(f"{archive}: expected plain files, got a link or device {member.name!r}. Refused.")
            stream = tarred.extractfile(member)
            if stream is not None:  # never for a plain file
                yield member.name, stream


def _refuse_escape(archive: Path, name: str) -> None:
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise DatasetError(f"{archive}: expected names inside the archive, got {name!r}. The archive is refused.")
