"""The immutable copies of what was handed in: `store/<sha256[:2]>/<sha256>.zip`, mode 0444, written once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from autograder.errors import RecordsError


def path_of(course_dir: Path, sha256: str) -> Path:
    """Where the submission with this hash lies, whether or not it does."""
    return course_dir / "store" / sha256[:2] / f"{sha256}.zip"


def put(course_dir: Path, data: bytes) -> str:
    """Store `data` under its sha256 and return that; after a crash it is complete or absent.

    Raises:
        RecordsError: when the folder cannot be written.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    path = path_of(course_dir, sha256)
    if not path.exists():
        (course_dir / "store").mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, data, mode=0o444)
    return sha256


def get(course_dir: Path, sha256: str) -> bytes:
    """Read a stored submission.

    Raises:
        RecordsError: when it is gone or no longer has the hash it was stored under.
    """
    path = path_of(course_dir, sha256)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordsError(f"{path}: {error.strerror}; put the store back from a backup") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RecordsError(f"{path}: its content has changed; put the store back from a backup")
    return data


def write_atomically(path: Path, data: bytes, *, mode: int) -> None:
    """Write beside the target, sync, rename, sync the folder.

    Raises:
        RecordsError: when any of it fails; the target is then as it was.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:20]}-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(draft, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if draft:
            with contextlib.suppress(OSError):
                os.unlink(draft)
        raise RecordsError(f"{path}: cannot be written ({error.strerror}); check the folder and the disk") from None
