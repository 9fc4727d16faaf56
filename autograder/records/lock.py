"""One grading run at a time per course folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from autograder.errors import RecordsError


@contextlib.contextmanager
def coordinator(course_dir: Path) -> Iterator[None]:
    """Hold the course's one grading lock; it falls with the process, however that ends.

    Raises:
        RecordsError: when another grading run holds it.
    """
    path = course_dir / "lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RecordsError(f"{path}: {error.strerror}; expected a course folder, run collect first") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise RecordsError(
                f"another grading run works on {course_dir} (process {holder}); wait until it ends"
            ) from None
        with contextlib.suppress(OSError):  # only told to whoever finds it held; a full disk must not stop a reader
            os.truncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
