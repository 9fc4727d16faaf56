"""Writes the files of a site. A large class has thousands of pages, so parts of a site are made and written side by side."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from leaderboard.schema import LeaderboardError

Part = Callable[[], Iterable[tuple[str, bytes]]]  # makes (relative posix path, content) of each of its files


def write_parts(parts: Sequence[Part], root: Path, *, beside: bool) -> list[str]:
    """Writes all files of all parts below `root` and returns their names, sorted.

    With `beside` every part but the first is made in a copy of this process (fork), where that is possible and safe.

    Raises: whatever a part raises; OSError; LeaderboardError when a copy of this process was killed.
    """
    if not (beside and sys.platform == "linux" and threading.active_count() == 1):
        return sorted(name for part in parts for name in _write(part, root))
    context = multiprocessing.get_context("fork")
    running = []
    for part in parts[1:]:
        answers, answer = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(part, root, answer))
        process.start()
        answer.close()  # so that the death of the copy is the end of the file here
        running.append((process, answers))
    try:
        names = _write(parts[0], root)
        for _process, answers in running:
            names += _received(answers)
    finally:
        for process, answers in running:
            answers.close()
            process.terminate()
            process.join()
    return sorted(names)


def _write(part: Part, root: Path) -> list[str]:
    names, folders = [], {root}
    for name, content in part():
        path = root / name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o755)
            folders.add(path.parent)
        # public whatever the umask: a web server reads it as another user
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with open(handle, "wb") as out:
            out.write(content)
            os.fchmod(handle, 0o644)
        names.append(name)
    return names


def _answer(part: Part, root: Path, answer: Connection) -> None:
    try:
        answer.send(_write(part, root))
    except BaseException as error:  # the reader raises it
        answer.send(error)


def _received(answers: Connection) -> list[str]:
    try:
        answer = answers.recv()
    except EOFError as error:
        raise LeaderboardError(
            "expected the process that writes the pages of users to end, got none: it was killed (is there enough "
            "memory?); the old site is unchanged, build again"
        ) from error
    if isinstance(answer, BaseException):
        raise answer
    return list(answer)
