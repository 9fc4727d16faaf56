"""The trial log: one JSON line per event, appended and fsync'd, so that a search survives being killed at any byte.

    {"event": "search", "format": 1, "seed": 0, "space": ..., "searcher": ..., "budget": ..., "time": ...}
    {"event": "trial", "trial": 0, "config": {...}, "epochs": 5, "status": "ok", "value": 0.31, ..., "time": ...}
    {"event": "end", "reason": "searcher", ...}

Trials stand in the order in which they were proposed, so everything but the "time" of each line is the same for any number of
workers and any engine.  A trial that ends before its turn waits in a journal beside the log (`<log>.early`, fsync'd too)
and moves over when its turn comes; the journal goes when the search ends.  Reading a log joins both.
"""

import contextlib
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

FORMAT = 1
Event = dict[str, Any]

_open_files: "weakref.WeakSet[_Appender]" = weakref.WeakSet()


class LogError(ValueError):
    """A trial log that cannot be used; the message says why and what to do."""


class TrialLog:
    """The log of one search, open for appending and locked against a second writer.

    Args:
        path: of the log; made, with its folder, if it is not there.
        settings: what determines the results of the search, as plain JSON values.

    Attributes: finished, trial number -> event, of all trials on disk; end, the last event if the search is over.

    Raises:
        LogError: the file is no trial log, a line other than a torn last one is damaged, it belongs to a search with other
            settings (the message says which), or another process is writing to it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, TrialLog(f"{folder}/log", {"seed": 0}) as log:
    ...     log.expect([{"trial": 0}])
    ...     log.add({"event": "trial", "trial": 0, "value": 0.3})
    ...     print(log.finished[0]["value"], log.end)
    0.3 None
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._early_path = early_path(self.path)
        self._log = _Appender(self.path)
        self._early: _Appender | None = None
        try:
            events = self._log.recover()
            header = {"event": "search", "format": FORMAT, **settings}
            if events:
                _refuse_other_search(self.path, events[0], header)
            else:
                self._early_path.unlink(missing_ok=True)  # the journal of a log that is gone
                self._log.append([header | {"time": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}])
            self._written = _trials(self.path, events[1:])
            self.end = events[-1] if events and events[-1]["event"] == "end" else None
            self._waiting: dict[int, Event] = {}
            if self._early_path.exists():
                self._early = _Appender(self._early_path)
                early = _trials(self._early_path, self._early.recover(), repeats=True)
                self._waiting = {trial: event for trial, event in early.items() if trial not in self._written}
        except BaseException:
            self.close()
            raise
        self._order: list[int] = []
        self._next = 0

    @property
    def finished(self) -> dict[int, Event]:
        """The last event of every trial that has ended, by its number."""
        return self._written | self._waiting

    def expect(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Say which trials come next, as the parts of their events that are known before they run.

        Raises:
            LogError: the log has other trials at these places, so the search is not the one that wrote it.
        """
        on_disk, finished = list(self._written), self.finished
        for trial in trials:
            place = len(self._order)
            if place < len(on_disk) and on_disk[place] != trial["trial"]:
                raise LogError(
                    f"{self.path}: expected trial {trial['trial']} in place {place}, got trial {on_disk[place]}; the "
                    "searcher or its data have changed since: search into a new log"
                )
            event = finished.get(trial["trial"], {})
            for key, value in trial.items():
                if event and event.get(key) != value:
                    raise LogError(
                        f"{self.path}: trial {trial['trial']} was recorded with {key} {event.get(key)!r}, and is now "
                        f"proposed with {value!r}; the searcher or its data have changed since: search into a new log"
                    )
            self._order.append(trial["trial"])
        self._flush()

    def add(self, event: Event) -> None:
        """Record a finished trial durably: in the log if all before it are there, in the journal if not."""
        trial = event["trial"]
        self._waiting[trial] = event
        if trial != self._order[self._next]:
            if self._early is None:
                self._early = _Appender(self._early_path)
            self._early.append([event])
        self._flush()

    def finish(self, event: Event) -> None:
        """Record the end of the search, and remove the journal."""
        self._log.append([*(self._waiting[trial] for trial in self._order if trial in self._waiting), event])
        self._written |= self._waiting
        self._waiting, self.end = {}, event
        if self._early is not None:
            self._early.close()
            self._early = None
        self._early_path.unlink(missing_ok=True)

    def _flush(self) -> None:
        ready = []
        while self._next < len(self._order):
            trial = self._order[self._next]
            if trial in self._waiting:
                ready.append(self._waiting.pop(trial))
            elif trial not in self._written:
                break
            self._next += 1
        if ready:
            self._log.append(ready)
            self._written |= {event["trial"]: event for event in ready}

    def close(self) -> None:
        """Release the files; the search can be resumed."""
        self._log.close()
        if self._early is not None:
            self._early.close()

    def __enter__(self) -> "TrialLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Appender:
    """A file that lines are appended to, each write followed by fsync."""

    def __init__(self, path: Path):
        self.path = path
        new = not path.exists()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise LogError(f"{path}: expected a file to append to: {error.strerror}") from error
        _open_files.add(self)
        _lock(self._file, path)
        if new and hasattr(os, "O_DIRECTORY"):
            _sync_folder(path.parent)

    def append(self, events: Iterable[Event]) -> None:
        rest = memoryview(b"".join(encode(event) for event in events))
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)

    def recover(self) -> list[Event]:
        """All events; a last line without its end is cut off, for the write was interrupted."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        events = decode(self.path, content[:whole])
        if whole < len(content):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        return events

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _close_in_child() -> None:
    for appender in list(_open_files):  # or the child would keep the lock when its parent dies
        with contextlib.suppress(OSError):
            appender.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two writers at once are not noticed
        return
    deadline = time.monotonic() + 1  # a process that was just killed lets go in a moment
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                os.close(file)
                raise LogError(
                    f"{path}: another search is writing to this log; wait for it or choose another"
                ) from None
            time.sleep(0.02)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def early_path(path: Path) -> Path:
    """Journal of a log.

    >>> early_path(Path("search.jsonl")).name
    'search.jsonl.early'
    """
    return path.with_name(path.name + ".early")


def encode(event: Mapping[str, Any]) -> bytes:
    """An event as one line of the log.

    >>> encode({"event": "end"}).decode().splitlines()
    ['{"event": "end"}']
    """
    return json.dumps(event, allow_nan=False).encode() + b"\n"


def decode(path: Path, content: bytes) -> list[Event]:
    """Whole lines as events; LogError naming the first line that is not one.

    >>> decode(Path("log"), encode({"event": "end", "reason": "trials"}))
    [{'event': 'end', 'reason': 'trials'}]
    """
    events = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or event.get("event") not in ("search", "trial", "end"):
            raise LogError(
                f"{path}, line {number}: expected an event of a trial log, got {line[:60]!r}; restore the file, or search "
                "into a new one"
            )
        events.append(event)
    return events


def read_events(path: str | Path) -> tuple[Event, list[Event]]:
    """Header and trial events of a log that may be half written, journal included; nothing is changed.

    Raises:
        LogError: no trial log, or a damaged line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     TrialLog(f"{folder}/log", {"seed": 7}).close()
    ...     read_events(f"{folder}/log")[0]["seed"]
    7
    """
    path = Path(path)
    found: list[list[Event]] = []
    for file in (path, early_path(path)):
        content = file.read_bytes() if file == path or file.exists() else b""
        found.append(decode(file, content[: content.rfind(b"\n") + 1]))
    if not found[0] or found[0][0]["event"] != "search":
        raise LogError(f"{path}: expected a trial log, got {'an empty file' if not found[0] else 'other lines'}")
    trials = _trials(path, found[0][1:])
    return found[0][0], list((_trials(path, found[1], repeats=True) | trials).values())


def without_times(path: str | Path) -> bytes:
    """The log's bytes without what differs between two runs of one search: the "time" of every line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     TrialLog(f"{folder}/log", {"seed": 7}).close()
    ...     print(without_times(f"{folder}/log").decode(), end="")
    {"event": "search", "format": 1, "seed": 7}
    """
    events = decode(Path(path), Path(path).read_bytes())
    return b"".join(encode({key: value for key, value in event.items() if key != "time"}) for event in events)


def _trials(path: Path, events: Sequence[Event], *, repeats: bool = False) -> dict[int, Event]:
    trials: dict[int, Event] = {}
    for event in events:
        if event["event"] == "trial":
            if event["trial"] in trials and not repeats:
                raise LogError(f"{path}: trial {event['trial']} stands in it twice; restore the file")
            trials[event["trial"]] = event
    return trials


def _refuse_other_search(path: Path, logged: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if logged["event"] != "search":
        raise LogError(f"{path}: expected a trial log, got a file that begins with {logged['event']!r}")
    now = json.loads(encode(now))
    differences = [
        f"{place}: {json.dumps(was)[:80]} in the log, {json.dumps(becomes)[:80]} now"
        for place, was, becomes in _differences("", {k: v for k, v in logged.items() if k != "time"}, now)
    ]
    if differences:
        raise LogError(f"{path} belongs to another search: {'; '.join(differences)}. Give each search a log of its own")


def _differences(place: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ, as deep inside as can be said."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            yield from _differences(f"{place}.{key}" if place else key, was.get(key), now.get(key))
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (a, b) in enumerate(zip(was, now, strict=True)):
            yield from _differences(f"{place}[{i}]", a, b)
    elif was != now:
        yield place, was, now
