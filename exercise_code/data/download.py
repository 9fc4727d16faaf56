"""Fetch one file from the first mirror that has it, resuming what an earlier attempt left.

pooch verifies the checksum and puts the finished file in place in one step; its own HTTP downloader starts
from zero every time, so `ResumingDownloader` takes that role.  pooch, requests and tqdm are imported when a
download starts.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exercise_code.data.errors import DatasetError, DownloadError

ATTEMPTS = 3  # per mirror; a resumed attempt asks only for the bytes that are missing
CONNECT_S, READ_S = 10.0, 30.0
CHUNK_BYTES = 8192  # at most so much is received twice after a cut


class WrongFile(Exception):
    """A mirror answered, but not with the file that was asked for."""


class ResumingDownloader:
    """A pooch downloader: stream into `part` with HTTP Range, then move `part` to where pooch wants the file.

    Args:
        part: file that survives a broken transfer and is continued by the next one.
        size: expected length in bytes; None when unknown.
        progress: show a tqdm bar on stderr.
    """

    def __init__(self, part: Path, size: int | None, progress: bool) -> None:
        self.part, self.size, self.progress = part, size, progress
        self.resumed = False  # whether the last file was put together from more than one transfer

    def __call__(self, url: str, output_file: str | os.PathLike[str], pooch: Any, check_only: bool = False) -> None:
        import requests

        self.resumed = self._have() > 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._stream(url)
                break
            except requests.RequestException as problem:
                answered = getattr(problem, "response", None) is not None
                if attempt == ATTEMPTS or answered or self._have() == 0:
                    raise
                self.resumed = True
        os.replace(self.part, output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _stream(self, url: str) -> None:
        import requests
        from tqdm import tqdm

        have = self._have()
        if self.size is not None and have > self.size:
            self.part.unlink()
            have = 0
        if have == self.size:
            return
        headers = {"Accept-Encoding": "identity"}  # sizes and ranges must count the stored bytes
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_S, READ_S)) as response:
            if response.status_code == 416:
                if self.size is not None:
                    raise WrongFile(f"expected {self.size} bytes, the server has {have} or fewer")
                self.part.unlink()  # of unknown origin and length: start again
                return self._stream(url)
            response.raise_for_status()
            if response.status_code != 206 or not _range_starts_at(response, have):
                have = 0  # the server sends the whole file, whatever was asked for
            offered = _whole_length(response)
            if self.size is not None and offered is not None and offered != self.size:
                raise WrongFile(f"expected {self.size} bytes, the server offers {offered}")
            total = self.size if self.size is not None else offered
            with (
                self.part.open("ab" if have else "wb") as sink,
                tqdm(
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                    desc=self.part.stem,
                    disable=not self.progress,
                ) as bar,
            ):
                for chunk in response.iter_content(CHUNK_BYTES):
                    sink.write(chunk)
                    have += len(chunk)
                    bar.update(len(chunk))
                    if total is not None and have > total:
                        sink.close()
                        self.part.unlink()
                        raise WrongFile(f"expected {total} bytes, the server sends more")
        if total is not None and have < total:
            raise requests.exceptions.ChunkedEncodingError(f"cut after {have} of {total} bytes")


def retrieve(urls: Sequence[str], target: Path, *, size: int | None, sha256: str | None, progress: bool) -> None:
    """Put the verified file at `target`, trying `urls` in order; `target`.part is continued when it exists.

    Args:
        size: expected bytes, or None.
        sha256: 64 hexadecimal digits, or None when no checksum is known.

    Raises:
        DownloadError: no mirror could be reached, or every connection broke.
        DatasetError: a mirror sent a wrong file and no other had the right one; nothing is kept of it.
    """
    import pooch
    import requests

    part = target.with_name(target.name + ".part")
    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.WARNING)  # the progress bar already says what is going on
    reasons, wrong = [], False
    try:
        for url in urls:
            downloader = ResumingDownloader(part, size, progress)
            for again in (False, True):
                try:
                    pooch.retrieve(
                        url,
                        known_hash=sha256 and f"sha256:{sha256}",
                        fname=target.name,
                        path=target.parent,
                        downloader=downloader,
                    )
                    return
                except requests.RequestException as problem:
                    reasons.append(f"{urlsplit(url).netloc}: {_short(problem, part, size)}")
                    break
                except (WrongFile, ValueError) as problem:
                    # A ValueError is pooch's: wrong checksum, file removed.  If its beginning came from an
                    # earlier transfer, that part may be to blame, so it is asked for once more from byte 0.
                    if isinstance(problem, ValueError) and downloader.resumed and not again:
                        continue
                    wrong = True
                    reasons.append(f"{urlsplit(url).netloc}: {_wrong(problem)}")
                    break
    except OSError as problem:
        raise DatasetError(
            f"expected to write {target}, got: {problem}. Free space or set permissions, and repeat."
        ) from problem
    finally:
        log.setLevel(level)
    text = f"expected {target.name} from one of {len(urls)} mirrors, got: {'; '.join(reasons)}."
    if wrong:
        raise DatasetError(f"{text} A wrong file was removed. Repeat later, or take the files from another place.")
    raise DownloadError(f"{text} Check the network and repeat: what was received is kept and continued.")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two programs never write the same unfinished download.

    The second waits until the first has left; on Windows nobody waits.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder, "cifar10.lock")):
    ...     sorted(os.listdir(folder))
    ['cifar10.lock']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            import fcntl
        except ImportError:  # Windows: two downloads at once waste time there, the checksum still decides
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _range_starts_at(response: Any, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _whole_length(response: Any) -> int | None:
    """Length in bytes of the whole file according to the headers, or None."""
    if response.status_code == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None


def _short(problem: Any, part: Path, size: int | None) -> str:
    import requests

    if isinstance(problem, requests.HTTPError) and problem.response is not None:
        return f"HTTP {problem.response.status_code}"
    if isinstance(problem, requests.Timeout):
        return f"no answer within {READ_S:g} s"
    if isinstance(problem, requests.exceptions.ChunkedEncodingError) and part.exists():
        return f"connection cut after {part.stat().st_size} of {size or 'unknown'} bytes"
    return f"no connection ({type(problem).__name__})"


def _wrong(problem: Exception) -> str:
    # The numbers of pooch's checksum message, without its advice.
    found = re.search(r"expected (?:sha256:)?(\w+) but got (\w+)", str(problem))
    return f"expected sha256 {found[1]}, got {found[2]}" if found else str(problem)
