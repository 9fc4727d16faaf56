"""Who grades: one holder of a lease at a time, and the rows that it has claimed.

The lock file of the course folder already keeps a second grading run of this machine out. The lease is in the record
itself, so it also holds where locks of files do not (some network drives, a deleted lock): it names host, process and
start of its holder and until when it is valid, a heartbeat renews it, and every write of a holder that has lost it fails.
A lease whose process is dead, on this machine, is void at once, any other when its time is over.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.errors import RecordsError
from autograder.grading.process_tree import start_time
from autograder.records.lock import coordinator
from autograder.records.rows import utc_text

if TYPE_CHECKING:
    from autograder.records.gradebook import Gradebook

VALID_S = 180.0  # how long a holder may be silent
BEAT_S = 30.0


@contextlib.contextmanager
def grading(course_dir: Path) -> Iterator[Gradebook]:
    """The record, open for the one grading run of a course folder.

    Raises:
        RecordsError: another run is at work, or there is no record.
    """
    from autograder.records.gradebook import Gradebook

    with coordinator(course_dir), Gradebook(course_dir) as book:
        book.take_lease(holder(), _until(), is_void)
        heart = _Heartbeat(course_dir, book.holder)
        heart.start()
        try:
            yield book
        finally:
            heart.stop()
            with contextlib.suppress(RecordsError):  # it may be lost; and it is void when this process has ended
                book.drop_lease()


def holder() -> str:
    """This process: "host:id:start", where an id that is given again has another start."""
    return f"{socket.gethostname()}:{os.getpid()}:{start_time(os.getpid()) or 0}"


def is_void(lease: str, until: str) -> bool:
    """Whether nobody can still be working under it."""
    if until < utc_text(datetime.now(UTC)):
        return True
    host, process, started = lease.rsplit(":", 2)
    return host == socket.gethostname() and start_time(int(process)) != (int(started) or None)


def _until() -> str:
    return utc_text(datetime.now(UTC) + timedelta(seconds=VALID_S))


class _Heartbeat(threading.Thread):
    """Renews the lease, whatever the coordinator waits for; a renewal that fails is tried again at the next beat."""

    def __init__(self, course_dir: Path, name: str) -> None:
        super().__init__(name="lease", daemon=True)
        self._course_dir, self._holder, self._done = course_dir, name, threading.Event()

    def run(self) -> None:
        from autograder.records.gradebook import Gradebook

        while not self._done.wait(BEAT_S):
            with contextlib.suppress(RecordsError), Gradebook(self._course_dir) as book:
                book.renew_lease(self._holder, _until())

    def stop(self) -> None:
        self._done.set()
        self.join(timeout=10)
