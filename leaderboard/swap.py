"""Puts a set of files in place of a folder in one step, or not at all.

The new folder is written and fsynced beside the old one, then the kernel exchanges the two names (renameat2),
so a visitor finds the whole old site or the whole new one. Where there is no such exchange, two renames do
it, with a gap of microseconds.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from leaderboard.schema import LeaderboardError

MARKER = "leaderboard.json"  # every built site has it, so a folder without it is not ours to replace
AT_FDCWD = -100
RENAME_EXCHANGE = 2
NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


def replace_folder(write: Callable[[Path], Sequence[str]], folder: Path) -> tuple[Path, Sequence[str]]:
    """Makes `folder` hold exactly what `write` puts into the empty folder it is given.

    `write` returns the relative paths of its files. Returns: the resolved path of the folder, and those of the files.

    Raises: LeaderboardError when the folder holds something that is not a built site, or the disk refuses;
    then nothing has changed.
    """
    folder = folder.resolve()  # a symlink stays, its target is replaced
    if folder == folder.parent:
        raise LeaderboardError(f"expected an output folder, got {folder}; name one that the site may own")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent):
            _refuse_foreign(folder)
            # the prefix lets the next build find and remove what a killed one left behind
            fresh = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
            try:
                fresh.chmod(0o755)  # mkdtemp makes it 0700
                names = write(fresh)
                _flush(names, fresh)
                _put_in_place(fresh, folder)
                _sync(folder.parent)
            finally:
                # holds the unfinished new site, or after the swap the old one
                shutil.rmtree(fresh, ignore_errors=True)
            for leftover in folder.parent.glob(f"{_prefix(folder)}*"):
                shutil.rmtree(leftover, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LeaderboardError(
            f"expected to write the site to {folder}, got '{reason}'; the old site is unchanged"
        ) from error
    return folder, names


def _prefix(folder: Path) -> str:
    return f".{folder.name}.swap-"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One build at a time per parent folder; the lock is on the folder itself, so no lock file stays."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LeaderboardError(f"expected a folder to write to, got the file {folder}; choose another --out")
    if any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise LeaderboardError(
            f"expected {folder} to be empty or a built site (with {MARKER}), got other files; change --out"
        )


def _flush(names: Sequence[str], root: Path) -> None:
    """Makes sure that all of the site is on the disk before anybody is shown it."""
    if not _sync_all(root):
        for name in names:
            _sync(root / name)
    for folder in {root, *((root / name).parent for name in names)}:
        _sync(folder)


def _sync_all(folder: Path) -> bool:
    """Flushes the folder's whole file system: one call where a large class has thousands of files. False: cannot."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle) == 0:
            return True
        code = ctypes.get_errno()
        if code in NO_EXCHANGE:
            return False
        raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_in_place(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
        return
    if _exchange(fresh, folder):
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
    folder.rename(old)  # an empty folder may be renamed over
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise


def _exchange(first: Path, second: Path) -> bool:
    """Swaps the names of two existing folders atomically; False when this system or file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code))
