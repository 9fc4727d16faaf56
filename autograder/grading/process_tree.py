"""What a tree of processes uses, seen from outside through /proc, and how to end all of it (Linux only)."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autograder.grading import control_groups

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_INODE_BYTES = 1024  # what the kernel keeps for a file in memory, however empty


@dataclass(frozen=True)
class Usage:
    # anonymous and shared memory, page tables, what sockets may hold, files without content; pages of mapped
    # files (libraries, inputs) are not counted
    memory_bytes: int
    cpu_s: float  # of the living processes and of their children that were waited for
    processes: int


def descendants(pid: int) -> list[int]:
    """`pid` and everything below it, parents first; processes that vanish while we look are left out.

    A child whose parent has died hangs below the first process of its pid namespace, so nothing started
    inside a sandbox can leave the tree of that sandbox.
    """
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in os.listdir(_PROC / str(parent) / "task"):
                text = (_PROC / str(parent) / "task" / task / "children").read_text()
                found.extend(int(child) for child in text.split())
    return found


def _kilobytes(text: str, *fields: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(fields))


def _memory(pids: list[int]) -> int:
    """Bytes; pages that processes share after a fork count in each of them, so this is an upper bound."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = ("RssAnon:", "RssShmem:", "VmPTE:", "VmSwap:")
            total += _kilobytes((_PROC / str(pid) / "status").read_text(), *fields)
    return total * 1024


@functools.cache
def _socket_bytes() -> int:
    """The most that one socket can hold: setsockopt doubles what it is asked for, up to this."""
    return 2 * int((_PROC / "sys/net/core/wmem_max").read_text())


def _kernel_memory(pids: list[int]) -> int:
    """An upper bound of what sockets hold that nobody reads, and of empty files, in the sandbox of `pids`."""
    for pid in reversed(pids):  # the last one started is inside for certain
        inside = _PROC / str(pid)
        with suppress(OSError, ValueError):
            if os.stat(inside / "ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
                continue
            sockets = int((inside / "net/sockstat").read_text().split()[2])
            total = sockets * _socket_bytes()
            return total + sum(_files(inside / "root", folder) for folder in ("tmp", "dev/shm")) * _INODE_BYTES
    return 0


def _files(root: Path, folder: str) -> int:
    """How many files a file system of the sandbox holds; 0 while the machine's own is still there instead."""
    place = os.open(root / folder, os.O_PATH)  # both questions go to one file system, whatever is mounted meanwhile
    try:
        if os.fstat(place).st_dev == os.stat(f"/{folder}").st_dev:
            return 0
        room = os.fstatvfs(place)
        return room.f_files - room.f_ffree
    finally:
        os.close(place)


def _exact_memory(pids: list[int]) -> int:
    """Bytes; shared pages count once. Walks the page tables, so it is slow, and it may be denied."""
    total = 0
    for pid in pids:
        text = ""
        with suppress(OSError):
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        if "Pss_Anon:" in text:
            total += _kilobytes(text, "Pss_Anon:", "Pss_Shmem:", "SwapPss:") * 1024
            with suppress(OSError):
                total += _kilobytes((_PROC / str(pid) / "status").read_text(), "VmPTE:") * 1024
        else:
            total += _memory([pid])
    return total


def start_time(pid: int) -> int | None:
    """Boot-time ticks when `pid` started: tells it from a later process of that id. None if it is dead."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return int(fields[19]) if fields[0] not in ("Z", "X") else None


def _stat(pid: int) -> list[str]:
    # the second field is the program's name, chosen by the program, in brackets: cut after the last bracket
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def measure(pid: int, memory_limit: int) -> Usage:
    """What the tree of `pid` uses now; memory is exact only where a cheap upper bound passes the limit."""
    pids = descendants(pid)
    cpu_ticks = 0
    for process in pids:
        with suppress(OSError):
            cpu_ticks += sum(int(value) for value in _stat(process)[11:15])  # utime, stime, cutime, cstime
    held = _kernel_memory(pids)
    memory = _memory(pids) + held
    if memory > memory_limit:
        memory = _exact_memory(pids) + held
    return Usage(memory_bytes=memory, cpu_s=cpu_ticks / _TICKS, processes=len(pids))


def payload_pid(pid: int) -> int | None:
    """Host process id of the program that a sandbox runs: where to send SIGINT to interrupt a kernel.

    `pid` is the process started from `Sandbox.command()`. Below it come the namespace's first process (inner
    id 1) and the program (inner id 2). Without a pid namespace it is `pid` itself. None before the program
    has started and after it has ended.
    """
    nested = False
    for process in descendants(pid):
        with suppress(OSError):
            status = (_PROC / str(process) / "status").read_text()
            inner = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            nested = nested or len(inner) > 1
            if len(inner) > 1 and inner[-1] == "2":
                return process
    name = ""
    with suppress(OSError):
        name = (_PROC / str(pid) / "comm").read_text().strip()
    return pid if name and name not in ("bwrap", "env") and not nested else None


def kill_tree(pid: int, *, also: dict[int, int] | None = None, patience_s: float = 30.0) -> bool:
    """SIGKILL everything at and below `pid`, wait until none of it runs (`pid` may stay a zombie to be
    reaped), and take its control group away.

    Args:
        also: process id -> start time of further ones, e.g. a namespace's first process that lost its parent.
    Returns:
        True when all is gone. A pid namespace's first process is gone only after everything in it is.
    """
    seen = dict(also or {})
    group = control_groups.of(pid)
    deadline = time.monotonic() + patience_s
    while True:
        for process in descendants(pid):
            started = start_time(process)
            if started is not None:
                seen.setdefault(process, started)
        # an id that was reused has another start time; children first, so that none is orphaned unseen
        alive = [process for process, started in seen.items() if start_time(process) == started]
        for process in reversed(alive):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if not alive:
            if group is not None:
                group.remove()
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)


def kill_marked(marker: str) -> None:
    """SIGKILL every process with `marker` in its environment; only for runs without a pid namespace."""
    needle = marker.encode()
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if needle in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


def running_with(marker: str) -> list[int]:
    """Living processes of this machine that have `marker` as one of their arguments."""
    needle, found = marker.encode(), []
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if needle in (entry / "cmdline").read_bytes().split(b"\0") and start_time(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


class Watch(threading.Thread):
    """Kills the tree of a long-lived process (a kernel) when `breach` says so. A context manager, or
    start/stop.

    Args:
        pid: the process started from `Sandbox.command()`.
        breach: called about 20 times a second with the pid; a reason ("memory", "timeout", ...) or None.
    Attributes:
        reason: why the tree was killed, None if it was not.
    """

    def __init__(self, pid: int, breach: Callable[[int], str | None], interval_s: float = 0.05) -> None:
        super().__init__(name=f"watch-{pid}", daemon=True)
        self.pid = pid
        self.reason: str | None = None
        self._breach, self._interval_s, self._done = breach, interval_s, threading.Event()

    def run(self) -> None:
        while not self._done.wait(self._interval_s):
            if start_time(self.pid) is None:
                return
            reason = self._breach(self.pid)
            if reason is not None:
                self.reason = reason
                kill_tree(self.pid)
                return

    def stop(self) -> None:
        self._done.set()
        self.join(timeout=10)

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
