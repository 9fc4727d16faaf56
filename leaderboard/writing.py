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
TOKEN = 4  # bytes
MOST_PARTS = 16_000  # whose numbers a pipe of Linux holds (64 KiB)


def write_parts(parts: Sequence[Part], root: Path, *, beside: bool) -> list[str]:
    """Writes all files of all parts below `root` and returns their names, sorted.

    With `beside` a copy of this process (fork) helps, where that is possible and safe: each of the two takes the next part
    that nobody has, until none is left.

    Raises: whatever a part raises; OSError; LeaderboardError when the copy was killed.
    """
    beside = beside and sys.platform == "linux" and threading.active_count() == 1 and len(parts) <= MOST_PARTS
    if not beside:
        return sorted(name for part in parts for name in _write(part, root))
    tokens = _tokens(len(parts))
    try:
        return sorted(_with_helper(parts, tokens, root))
    finally:
        os.close(tokens)


def _tokens(count: int) -> int:
    """A descriptor with the number of each part, which one reader gets: a pipe needs no lock for a killed process to keep."""
    tokens, filled = os.pipe()
    try:
        os.write(filled, b"".join(number.to_bytes(TOKEN, "big") for number in range(count)))
    finally:
        os.close(filled)
    return tokens


def _with_helper(parts: Sequence[Part], tokens: int, root: Path) -> list[str]:
    context = multiprocessing.get_context("fork")
    answers, answer = context.Pipe(duplex=False)
    helper = context.Process(target=_answer, args=(parts, tokens, root, answer))
    helper.start()
    answer.close()  # so that the death of the copy is the end of the file here
    try:
        return _write_some(parts, tokens, root) + _received(answers)
    finally:
        answers.close()
        helper.terminate()
        helper.join()


def _write_some(parts: Sequence[Part], tokens: int, root: Path) -> list[str]:
    names = []
    while token := os.read(tokens, TOKEN):
        names += _write(parts[int.from_bytes(token, "big")], root)
    return names


def _write(part: Part, root: Path) -> list[str]:
    names, folders = [], {""}
    for name, content in part():
        folder = name.rpartition("/")[0]
        if folder not in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder).chmod(0o755)
            folders.add(folder)
        # public whatever the umask: a web server reads it as another user
        handle = os.open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with open(handle, "wb") as out:
            out.write(content)
            os.fchmod(handle, 0o644)
        names.append(name)
    return names


def _answer(parts: Sequence[Part], tokens: int, root: Path, answer: Connection) -> None:
    try:
        answer.send(_write_some(parts, tokens, root))
    except BaseException as error:  # the reader raises it
        answer.send(error)


def _received(answers: Connection) -> list[str]:
    try:
        answer = answers.recv()
    except EOFError as error:
        raise LeaderboardError(
            "expected the second process that writes pages to end, got none: it was killed (is there enough memory?); "
            "the old site is unchanged, build again"
        ) from error
    if isinstance(answer, BaseException):
        raise answer
    return list(answer)
